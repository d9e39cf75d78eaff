-- The shop's tables in MariaDB and MySQL; schema.postgres.sql says why there are no foreign keys. Here there is one more
-- reason: rows that a foreign key's CASCADE deletes or changes are not in the binary log, so no change stream tells of
-- them.
CREATE TABLE produtos (
    id bigint PRIMARY KEY,
    nome varchar(200) NOT NULL,
    departamento varchar(200) NOT NULL,
    marca varchar(200),
    embalagem varchar(200)
) CHARACTER SET utf8mb4;

CREATE TABLE pedidos (
    id bigint PRIMARY KEY,
    cliente_id bigint NOT NULL,
    loja_id bigint NOT NULL,
    criado_em datetime(6) NOT NULL
);

CREATE TABLE itens_pedido (
    id bigint PRIMARY KEY,
    pedido_id bigint NOT NULL,
    produto_id bigint NOT NULL,
    quantidade bigint NOT NULL,
    valor decimal(10, 2) NOT NULL,
    desconto decimal(10, 2) NOT NULL,
    INDEX (pedido_id),
    INDEX (produto_id)
);
