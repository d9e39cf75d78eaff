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

fn results(azenha: &Azenha) -> Result<(BTreeMap<i64, Value>, usize)> {
    last_values(azenha, "results")
}

/// The last value of each key, and how many records there are.
fn last_values(azenha: &Azenha, topic: &str) -> Result<(BTreeMap<i64, Value>, usize)> {
    let records = azenha.topic(topic)?;
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

/// Lines of some length, so that telling them takes several commits.
fn long_lines(count: i64) -> String {
    let text = "x".repeat(1_500);
    let line = |id: i64| {
        format!(
            "{{\"id\":{id},\"pedido_id\":{},\"produto_id\":1,\"produto\":\"{text}\",\"quantidade\":1,\"valor\":1.50,\
             \"desconto\":0}}\n",
            id % ORDERS
        )
    };
    (0..count).map(line).collect()
}

const MORE: &str = "
  joined: { join: itens, with: pedidos, on: { pedido_id: id }, columns: [cliente_id] }
  again:
    assemble: order-total
    tables: { pedidos: { from: pedidos, by: [id] }, itens: { from: itens, by: [pedido_id] } }
  named: { lookup: pedidos, from: clicks, on: { pedido: id }, columns: [cliente_id] }
sinks:
  again_results: { from: again, topic: again, key: [id] }
  joined_lines: { from: joined, topic: joined, key: [id], columns: [id, pedido_id, cliente_id] }
  named_clicks: { from: named, topic: named }
";

const CLICKS: &str = "
  clicks: { topic: clicks, schema: { pedido: int64 } }
steps:";

#[test]
fn who_begins_to_read_a_table_is_told_what_stands_there_also_if_the_host_dies_meanwhile() -> Result<()> {
    const LINES: i64 = 3_000;
    let azenha = Azenha::new()?;
    let (orders, lines) =
        (azenha.write("orders.ndjson", &orders())?, azenha.write("lines.ndjson", &long_lines(LINES))?);
    let few = PIPELINE.replace("{plugin}", "order-total");
    let before = azenha.write("before/pipeline.yaml", &few)?;
    azenha.run_once(&before, &[("pedidos", &orders), ("itens", &lines)], &["--strict"])?;
    let (first, written) = results(&azenha)?;

    let more = few.replace("\nsinks:", MORE.trim_end()).replace("\nsteps:", CLICKS);
    let after = azenha.write("after/pipeline.yaml", &more)?;
    let clicks: String = (0..ORDERS).map(|pedido| format!("{{\"pedido\":{pedido}}}\n")).collect();
    let clicks = azenha.write("clicks.ndjson", &clicks)?;
    let arguments = azenha.run_arguments(&after, &[("clicks", &clicks)], &["--once"]);
    let mut deaths = 0;
    for (point, nth) in [("commit.prepared", 3), ("commit.done", 4), ("commit.prepared", 8), ("commit.done", 12)] {
        let died = azenha.run_with(&arguments, &[("AZENHA_FAILPOINT", &format!("{point}:{nth}"))])?;
        deaths += u32::from(!died.status.success());
    }
    assert!(deaths >= 3, "{deaths} deaths");
    azenha.run_once(&after, &[("clicks", &clicks)], &["--strict"])?;
    assert_eq!(results(&azenha)?.1, written, "who knew everything is told nothing");
    assert_eq!(last_values(&azenha, "again")?.0, first);
    let (joined, _) = last_values(&azenha, "joined")?;
    assert_eq!(joined.len() as i64, LINES);
    assert!(joined.values().all(|line| line["cliente_id"] == 7));
    let named = azenha.topic("named")?;
    assert_eq!(named.len() as i64, ORDERS);
    assert!(named.iter().all(|click| click["value"]["cliente_id"] == 7), "{named:?}");

    // What reads a join and its results.
    let most = more.replace(
        "\nsinks:",
        "\n  third:\n    assemble: order-total\n    tables: \
        { pedidos: { from: pedidos, by: [id] }, itens: { from: joined, by: [pedido_id] } }\nsinks:\n  third_results: \
        { from: third, topic: third, key: [id] }\n  again_once_more: { from: again, topic: once_more, key: [id] }",
    );
    let most = azenha.write("most/pipeline.yaml", &most)?;
    azenha.run_once(&most, &[], &["--strict"])?;
    assert_eq!(last_values(&azenha, "third")?.0, first);
    assert_eq!(last_values(&azenha, "once_more")?.0, first);

    // Who went away missed what happened meanwhile.
    azenha.run_once(&before, &[("itens", &azenha.write("one.ndjson", &long_lines(1))?)], &["--strict"])?;
    let refused = azenha.run(azenha.run_arguments(&after, &[], &["--once"]))?;
    assert!(refused.text().contains("before, but not all the time"), "{}", refused.text());
    Ok(())
}

#[test]
fn a_group_of_more_rows_than_it_may_have_is_a_dead_letter_until_it_may() -> Result<()> {
    let azenha = Azenha::new()?;
    let (orders, lines) = (azenha.write("orders.ndjson", &orders())?, azenha.write("lines.ndjson", &lines())?);
    let of_rows = |most: u32| PIPELINE.replace("{plugin}", &format!("order-total\n    max_group_rows: {most}"));
    let three = azenha.write("three/pipeline.yaml", &of_rows(3))?;
    azenha.run_once(&three, &[("pedidos", &orders), ("itens", &lines)], &[])?;
    let letters = azenha.dead_letters("shop")?;
    assert_eq!(letters.iter().filter(|letter| letter["reason"].to_string().contains("has 4 rows, and 3")).count(), 300);
    let four = azenha.write("four/pipeline.yaml", &of_rows(4))?;
    azenha.run_once(&four, &[], &["--strict"])?;
    let (results, _) = results(&azenha)?;
    assert!(results.values().all(|total| total["linhas"] == 3) && results.len() as i64 == ORDERS);
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
