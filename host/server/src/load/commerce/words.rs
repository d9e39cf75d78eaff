//! What names are made of.

pub const FIRST_NAMES: [&str; 24] = [
    "Ana", "Beatriz", "Bruno", "Camila", "Carlos", "Clara", "Daniel", "Eduarda", "Felipe", "Fernanda", "Gabriel",
    "Helena", "Inês", "João", "Júlia", "Larissa", "Lucas", "Luíza", "Marcos", "Mônica", "Otávio", "Rafael", "Sônia",
    "Thaís",
];

pub const LAST_NAMES: [&str; 20] = [
    "Almeida",
    "Araújo",
    "Barbosa",
    "Cardoso",
    "Carvalho",
    "Conceição",
    "Costa",
    "Ferreira",
    "Gomes",
    "Gonçalves",
    "Lima",
    "Magalhães",
    "Melo",
    "Moraes",
    "Nóbrega",
    "Oliveira",
    "Pereira",
    "Ribeiro",
    "Santos",
    "Souza",
];

/// Cities, their states, and the first two digits of their postal codes.
pub const PLACES: [(&str, &str, u8); 16] = [
    ("São Paulo", "SP", 1),
    ("Campinas", "SP", 13),
    ("Rio de Janeiro", "RJ", 20),
    ("Niterói", "RJ", 24),
    ("Vitória", "ES", 29),
    ("Belo Horizonte", "MG", 30),
    ("Uberlândia", "MG", 38),
    ("Salvador", "BA", 40),
    ("Recife", "PE", 50),
    ("Fortaleza", "CE", 60),
    ("Belém", "PA", 66),
    ("Manaus", "AM", 69),
    ("Brasília", "DF", 70),
    ("Goiânia", "GO", 74),
    ("Curitiba", "PR", 80),
    ("Porto Alegre", "RS", 90),
];

pub const STREETS: [&str; 5] = ["Rua", "Avenida", "Travessa", "Alameda", "Praça"];

/// Categories, what is sold there, and about what it costs, in cents.
pub const KINDS: [(&str, &str, i64); 14] = [
    ("Calçados", "Tênis de corrida", 29_900),
    ("Calçados", "Sandália", 8_900),
    ("Calçados", "Bota", 34_900),
    ("Roupas", "Camiseta", 5_900),
    ("Roupas", "Calça jeans", 15_900),
    ("Roupas", "Jaqueta", 25_900),
    ("Casa", "Jogo de lençóis", 18_900),
    ("Casa", "Luminária", 12_900),
    ("Casa", "Panela de pressão", 22_900),
    ("Eletrônicos", "Fone de ouvido", 19_900),
    ("Eletrônicos", "Carregador portátil", 11_900),
    ("Beleza", "Perfume", 21_900),
    ("Esporte", "Bola de futebol", 9_900),
    ("Esporte", "Garrafa térmica", 7_900),
];

pub const QUALITIES: [&str; 8] =
    ["leve", "clássico", "premium", "compacto", "infantil", "reforçado", "básico", "especial"];

pub const COLOURS: [&str; 9] = ["azul", "preto", "branco", "vermelho", "verde", "cinza", "amarelo", "rosa", "marrom"];

pub const PAYMENTS: [&str; 4] = ["Pix", "Cartão de crédito", "Boleto bancário", "Cartão de débito"];

pub const SELLERS: [(&str, &str); 4] =
    [("1", "Loja principal"), ("2", "Casa Aurora"), ("3", "Passo Firme"), ("4", "Mundo Digital")];
