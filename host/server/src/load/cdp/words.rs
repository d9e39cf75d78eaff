//! What texts, visits and telephone numbers are made of.

/// Browsers first, then apps.
pub const AGENTS: [&str; 9] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
    "Mozilla/5.0 (Linux; Android 14; SM-A546E) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
    "LojaApp/7.4 (Android 14; moto g84)",
    "LojaApp/7.4 (iOS 18.1; iPhone15,2)",
    "LojaApp/7.3 (Android 13; SM-A145M)",
];

/// Medium, source and name.
pub const CAMPAIGNS: [(&str, &str, &str); 7] = [
    ("cpc", "google", "marca"),
    ("cpc", "google", "calcados_inverno"),
    ("paid_social", "instagram", "volta_as_aulas"),
    ("social", "facebook", "comunidade"),
    ("email", "newsletter", "semana_do_cliente"),
    ("affiliate", "cupons", "primeira_compra"),
    ("referral", "blog", "guia_de_presentes"),
];

pub const DIALLING_CODES: [u8; 20] = [11, 13, 19, 21, 24, 27, 31, 34, 41, 48, 51, 61, 62, 71, 81, 85, 91, 92, 98, 67];

/// How somebody came to the product; `{p}` stands for it, in lower case, `{n}` for a small number.
pub const BEGINNINGS: [&str; 12] = [
    "Comprei {p} para usar no dia a dia",
    "Pedi {p} pelo aplicativo na semana passada",
    "Faz {n} dias que recebi {p}",
    "Ganhei {p} de presente da minha irmã",
    "Depois de pesquisar em {n} lojas, escolhi {p}",
    "Esta é a segunda vez que compro {p} com vocês",
    "Meu marido queria {p} havia muito tempo",
    "Encontrei {p} na promoção de aniversário da loja",
    "Levei {p} para a viagem das férias",
    "Comprei {p} por indicação de uma colega de trabalho",
    "Escolhi {p} para o aniversário da minha filha",
    "Já tinha {p} de outra marca e resolvi trocar",
];

pub const SUBJECTS: [&str; 12] = [
    "O acabamento",
    "A embalagem",
    "O material",
    "A entrega",
    "O tamanho",
    "A cor",
    "O atendimento",
    "A qualidade",
    "O conjunto",
    "A costura",
    "O encaixe",
    "A montagem",
];

pub const PRAISES: [&str; 12] = [
    "superou as minhas expectativas",
    "é exatamente como nas fotos do anúncio",
    "vale cada centavo que paguei",
    "surpreendeu a família inteira",
    "continua impecável depois de {n} semanas de uso",
    "não decepcionou em nenhum momento",
    "me pareceu muito melhor do que o da concorrência",
    "ficou perfeito desde o primeiro dia",
    "mostra um cuidado que não se vê todo dia",
    "foi a melhor surpresa do mês",
    "resolveu um problema que eu tinha havia anos",
    "agradou até quem costuma reclamar de tudo",
];

pub const FAULTS: [&str; 12] = [
    "chegou com {n} dias de atraso",
    "veio com defeito e ninguém soube explicar",
    "deixou de funcionar depois de {n} dias",
    "não corresponde ao que está no anúncio",
    "estragou na primeira lavagem",
    "parece de outra marca, bem inferior",
    "chegou amassando e rasgando por todos os lados",
    "não tem nada a ver com as fotos",
    "faz um barulho estranho desde o começo",
    "soltou logo na primeira semana",
    "me obrigou a voltar {n} vezes à loja",
    "desbotou em menos de um mês",
];

pub const CONTENT: [&str; 10] = [
    "Recomendo a todos que procuram qualidade.",
    "Com certeza comprarei outra vez!",
    "Nota dez para a equipe, parabéns!",
    "Já indiquei para {n} amigas.",
    "Continuem assim, vocês ganharam um cliente fiel.",
    "Pelo preço, não existe nada melhor no mercado.",
    "A vendedora foi atenciosa do começo ao fim.",
    "Agora só falta chegar em outras cores.",
    "Fazia tempo que uma compra não dava tão certo!",
    "Obrigada pelo carinho no bilhete que veio junto.",
];

pub const DEMANDS: [&str; 10] = [
    "Quero meu dinheiro de volta o quanto antes!",
    "Solicito a troca imediata do produto.",
    "Aguardo uma solução com urgência.",
    "Já abri {n} chamados e ninguém me respondeu.",
    "Se não resolverem em {n} dias, vou procurar o Procon.",
    "Exijo uma explicação por escrito.",
    "O protocolo do atendimento anterior termina em {n}{n}{n}.",
    "Enviei as fotos do defeito {n} vezes pelo formulário.",
    "Nunca fui tão mal atendido em uma loja!",
    "Preciso da nota fiscal para acionar a garantia.",
];

pub const QUESTIONS: [&str; 10] = [
    "Qual é o prazo de entrega para {c}?",
    "Vocês ainda têm este modelo em outra cor?",
    "A garantia cobre defeitos de fabricação?",
    "Posso trocar na loja de {c} mesmo tendo comprado pelo site?",
    "O pagamento em {n} vezes tem juros?",
    "Qual é a diferença para o modelo do ano passado?",
    "Serve para uso profissional, todos os dias?",
    "Como faço para retirar o pedido na loja de {c}?",
    "É possível embrulhar para presente?",
    "Existe desconto para quem leva {n} unidades?",
];

pub const FEATURES: [&str; 16] = [
    "tecido que respira e seca depressa",
    "costuras reforçadas nos pontos de maior uso",
    "garantia de {n} meses contra defeitos",
    "acabamento feito à mão por artesãos do interior",
    "material reciclado, sem abrir mão da resistência",
    "peso reduzido para acompanhar qualquer rotina",
    "desenho pensado para a casa brasileira",
    "manutenção simples, basta um pano úmido",
    "embalagem que cabe em qualquer armário",
    "ajuste em {n} posições",
    "resistência à água e ao sol forte",
    "cores que não desbotam com o tempo",
    "encaixe firme e silencioso",
    "isolamento que dura até {n} horas",
    "fecho de metal que não enferruja",
    "manual completo em português",
];
