-- As views.postgres.sql, in SQLite's words. Amounts are cents, times are microseconds since 1970.
SELECT
    pedido.id,
    json_object(
        'id', pedido.id,
        'cliente_id', pedido.cliente_id,
        'loja_id', pedido.loja_id,
        'criado_em', datetime(pedido.criado_em / 1000000, 'unixepoch') || format('.%03d', pedido.criado_em / 1000 % 1000),
        'linhas', count(item.id),
        'valor', format('%d.%02d', coalesce(sum(item.valor), 0) / 100, coalesce(sum(item.valor), 0) % 100),
        'itens', json_group_array(
            json_object(
                'id', item.id,
                'produto_id', item.produto_id,
                'produto', produto.nome,
                'departamento', produto.departamento,
                'marca', produto.marca,
                'quantidade', item.quantidade,
                'bruto', format('%d.%02d', (item.valor + item.desconto) / 100, (item.valor + item.desconto) % 100),
                'desconto', format('%d.%02d', item.desconto / 100, item.desconto % 100),
                'valor', format('%d.%02d', item.valor / 100, item.valor % 100)
            )
            ORDER BY item.id
        ) FILTER (WHERE item.id IS NOT NULL)
    ),
    json_object(
        'id', pedido.id,
        'linhas', count(item.id),
        'unidades', coalesce(sum(item.quantidade), 0),
        'bruto', format(
            '%d.%02d',
            coalesce(sum(item.valor + item.desconto), 0) / 100,
            coalesce(sum(item.valor + item.desconto), 0) % 100
        ),
        'desconto', format('%d.%02d', coalesce(sum(item.desconto), 0) / 100, coalesce(sum(item.desconto), 0) % 100),
        'liquido', format('%d.%02d', coalesce(sum(item.valor), 0) / 100, coalesce(sum(item.valor), 0) % 100)
    )
FROM pedidos AS pedido
LEFT JOIN itens_pedido AS item ON item.pedido_id = pedido.id
LEFT JOIN produtos AS produto ON produto.id = item.produto_id
GROUP BY pedido.id
