-- The shop's tables in SQL Server; schema.postgres.sql says why there are no foreign keys. Change data capture is switched
-- on for the database and for each table, and needs the server's agent.
CREATE TABLE produtos (
    id bigint PRIMARY KEY,
    nome nvarchar(200) NOT NULL,
    departamento nvarchar(200) NOT NULL,
    marca nvarchar(200),
    embalagem nvarchar(200)
);

CREATE TABLE pedidos (
    id bigint PRIMARY KEY,
    cliente_id bigint NOT NULL,
    loja_id bigint NOT NULL,
    criado_em datetime2(6) NOT NULL
);

CREATE TABLE itens_pedido (
    id bigint PRIMARY KEY,
    pedido_id bigint NOT NULL INDEX itens_pedido_pedido_id,
    produto_id bigint NOT NULL INDEX itens_pedido_produto_id,
    quantidade bigint NOT NULL,
    valor decimal(10, 2) NOT NULL,
    desconto decimal(10, 2) NOT NULL
);

EXEC sys.sp_cdc_enable_db;
EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 'produtos', @role_name = NULL;
EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 'pedidos', @role_name = NULL;
EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 'itens_pedido', @role_name = NULL;
