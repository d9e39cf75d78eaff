-- What the documents must be, with decimals as text and times to the millisecond: id, `Pedido`, `TotalPedido`.
SELECT
    pedido.id,
    json_build_object(
        'id', pedido.id,
        'cliente_id', pedido.cliente_id,
        'loja_id', pedido.loja_id,
        'criado_em', to_char(pedido.criado_em, 'YYYY-MM-DD HH24:MI:SS.MS'),
        'linhas', count(item.id),
        'valor', coalesce(sum(item.valor), 0.00)::text,
        'itens', coalesce(
            json_agg(
                json_build_object(
                    'id', item.id,
                    'produto_id', item.produto_id,
                    'produto', produto.nome,
                    'departamento', produto.departamento,
                    'marca', produto.marca,
                    'quantidade', item.quantidade,
                    'bruto', (item.valor + item.desconto)::text,
                    'desconto', item.desconto::text,
                    'valor', item.valor::text
                )
                ORDER BY item.id
            ) FILTER (WHERE item.id IS NOT NULL),
            '[]'
        )
    )::text,
    json_build_object(
        'id', pedido.id,
        'linhas', count(item.id),
        'unidades', coalesce(sum(item.quantidade), 0),
        'bruto', coalesce(sum(item.valor + item.desconto), 0.00)::text,
        'desconto', coalesce(sum(item.desconto), 0.00)::text,
        'liquido', coalesce(sum(item.valor), 0.00)::text
    )::text
FROM pedidos AS pedido
LEFT JOIN itens_pedido AS item ON item.pedido_id = pedido.id
LEFT JOIN produtos AS produto ON produto.id = item.produto_id
GROUP BY pedido.id
