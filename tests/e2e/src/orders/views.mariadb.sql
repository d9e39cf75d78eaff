-- As views.postgres.sql, in MariaDB's words.
SELECT
    pedido.id,
    JSON_OBJECT(
        'id', pedido.id,
        'cliente_id', pedido.cliente_id,
        'loja_id', pedido.loja_id,
        'criado_em', CAST(CAST(pedido.criado_em AS DATETIME(3)) AS CHAR),
        'linhas', count(item.id),
        'valor', CAST(coalesce(sum(item.valor), 0.00) AS CHAR),
        'itens', JSON_EXTRACT(
            IF(
                count(item.id) = 0,
                '[]',
                JSON_ARRAYAGG(
                    JSON_OBJECT(
                        'id', item.id,
                        'produto_id', item.produto_id,
                        'produto', produto.nome,
                        'departamento', produto.departamento,
                        'marca', produto.marca,
                        'quantidade', item.quantidade,
                        'bruto', CAST(item.valor + item.desconto AS CHAR),
                        'desconto', CAST(item.desconto AS CHAR),
                        'valor', CAST(item.valor AS CHAR)
                    )
                    ORDER BY item.id
                )
            ),
            '$'
        )
    ),
    JSON_OBJECT(
        'id', pedido.id,
        'linhas', count(item.id),
        'unidades', coalesce(sum(item.quantidade), 0),
        'bruto', CAST(coalesce(sum(item.valor + item.desconto), 0.00) AS CHAR),
        'desconto', CAST(coalesce(sum(item.desconto), 0.00) AS CHAR),
        'liquido', CAST(coalesce(sum(item.valor), 0.00) AS CHAR)
    )
FROM pedidos AS pedido
LEFT JOIN itens_pedido AS item ON item.pedido_id = pedido.id
LEFT JOIN produtos AS produto ON produto.id = item.produto_id
GROUP BY pedido.id
