-- The shop's tables in PostgreSQL.
--
-- There are no foreign keys: lines are loaded before their orders and products, products are deleted while old orders
-- still name them, and a line may outlive its order. A document is made of what is there. `REPLICA IDENTITY` stays as it
-- is: events without the row as it was before are enough.
CREATE TABLE produtos (
    id bigint PRIMARY KEY,
    nome text NOT NULL,
    departamento text NOT NULL,
    marca text,
    embalagem text
);

CREATE TABLE pedidos (
    id bigint PRIMARY KEY,
    cliente_id bigint NOT NULL,
    loja_id bigint NOT NULL,
    criado_em timestamp NOT NULL
);

CREATE TABLE itens_pedido (
    id bigint PRIMARY KEY,
    pedido_id bigint NOT NULL,
    produto_id bigint NOT NULL,
    quantidade bigint NOT NULL,
    valor numeric(10, 2) NOT NULL,
    desconto numeric(10, 2) NOT NULL
);

CREATE INDEX ON itens_pedido (pedido_id);
CREATE INDEX ON itens_pedido (produto_id);
