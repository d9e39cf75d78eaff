//! Tables and what is made of them, embedded: what changes when the code that makes results does.

use std::collections::BTreeMap;

use anyhow::Result;
use azenha_e2e::Azenha;
use serde_json::Value;

/// Lines by order; `{plugin}` makes one row of each order.
const PIPELINE: &str = "
name: shop
sources:
  pedidos:
    topic: pedidos
    key: [id]
    partitioned_by: [id]
    partitions: 2
    schema: { id: int64, cliente_id: int64, loja_id: int64, criado_em: timestamp(ms) }
  itens:
    topic: itens
    key: [id]
    partitioned_by: [id]
    partitions: 3
    schema:
      id: int64
      pedido_id: int64
      produto_id: int64
      produto: text?
      departamento: text?
      marca: text?
      quantidade: int64
      valor: decimal(2)
      desconto: decimal(2)
steps:
  made:
    assemble: {plugin}
    tables: { pedidos: { from: pedidos, by: [id] }, itens: { from: itens, by: [pedido_id] } }
sinks:
  results: { from: made, topic: results, key: [id] }
";

const ORDERS: i64 = 300;

fn orders() -> String {
    (0..ORDERS).map(|id| format!("{{\"id\":{id},\"cliente_id\":7,\"loja_id\":1,\"criado_em\":{id}}}\n")).collect()
}

/// Three lines an order, of one unit at 1.50 each.
fn lines() -> String {
    let line = |id: i64| {
        format!(
            "{{\"id\":{id},\"pedido_id\":{},\"produto_id\":1,\"quantidade\":1,\"valor\":1.50,\"desconto\":0}}\n",
            id % ORDERS
        )
    };
    (0..3 * ORDERS).map(line).collect()
}

/// The last value of each key, and how many records there are.
fn results(azenha: &Azenha) -> Result<(BTreeMap<i64, Value>, usize)> {
    let records = azenha.topic("results")?;
    let count = records.len();
    let last = records.into_iter().map(|record| (record["key"]["id"].as_i64().unwrap_or(-1), record["value"].clone()));
    Ok((last.collect(), count))
}

#[test]
fn new_code_over_old_rows_makes_every_result_anew_and_the_same_code_makes_none() -> Result<()> {
    let azenha = Azenha::new()?;
    let (orders, lines) = (azenha.write("orders.ndjson", &orders())?, azenha.write("lines.ndjson", &lines())?);
    let totals = azenha.write("totals/pipeline.yaml", &PIPELINE.replace("{plugin}", "order-total"))?;
    azenha.run_once(&totals, &[("pedidos", &orders), ("itens", &lines)], &["--strict"])?;
    let (first, written) = results(&azenha)?;
    assert_eq!(first.len() as i64, ORDERS);
    assert!(first.values().all(|total| total["linhas"] == 3 && total["liquido"] == "4.50"), "{first:?}");

    azenha.run_once(&totals, &[], &["--strict"])?;
    assert_eq!(results(&azenha)?.1, written, "the same code over the same rows writes nothing");

    // The step keeps its name and its rows; no record is read again.
    let documents = azenha.write("documents/pipeline.yaml", &PIPELINE.replace("{plugin}", "order-document"))?;
    azenha.run_once(&documents, &[], &["--strict"])?;
    let (second, _) = results(&azenha)?;
    assert_eq!(second.len() as i64, ORDERS);
    assert!(second.values().all(|document| document["itens"].as_array().is_some_and(|lines| lines.len() == 3)));
    Ok(())
}

#[test]
fn a_table_of_other_columns_is_not_read_back() -> Result<()> {
    let azenha = Azenha::new()?;
    let orders = azenha.write("orders.ndjson", &orders())?;
    let before = azenha.write("before/pipeline.yaml", &PIPELINE.replace("{plugin}", "order-total"))?;
    azenha.run_once(&before, &[("pedidos", &orders)], &["--strict"])?;
    let other = PIPELINE.replace("{plugin}", "order-total").replace("loja_id: int64", "loja_id: text");
    let after = azenha.write("after/pipeline.yaml", &other)?;
    let refused = azenha.run(azenha.run_arguments(&after, &[], &["--once"]))?;
    assert!(refused.text().contains("its state is of another definition"), "{}", refused.text());
    Ok(())
}
