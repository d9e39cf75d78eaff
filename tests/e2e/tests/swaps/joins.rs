//! Joins, assemblies and lookups keep their rows whatever code comes, and tasks that do not change do not notice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azenha_e2e::orders::{TABLES, recorded, recount};
use azenha_e2e::repository;
use serde_json::{Value, json};

use super::{Stage, component};

/// Tasks, each with a version.
type Versions = BTreeSet<(String, u64)>;

/// The versions that the lanes of all tasks run; 0 where one does not run.
fn running(stage: &Stage) -> Result<Versions> {
    let shown = stage.show("/pipelines/counted")?;
    let mut running = Versions::new();
    for task in shown["tasks"].as_array().into_iter().flatten() {
        let name = task["task"].as_str().context("no task")?;
        for lane in task["lanes"].as_array().into_iter().flatten() {
            let version = lane["version"].as_u64().filter(|_| lane["state"] == "running");
            running.insert((name.to_owned(), version.unwrap_or_default()));
        }
    }
    Ok(running)
}

/// The tasks of which the log says that lanes began a version.
fn begun(stage: &Stage, version: u64) -> Result<Versions> {
    let versions = stage.versions()?;
    let is_it = |found: &&Value| found["version"] == version;
    let lanes = versions.iter().filter(is_it).flat_map(|found| found["lanes"].as_array()).flatten();
    lanes.map(|lane| Ok((lane["task"].as_str().context("no task")?.to_owned(), version))).collect()
}

/// Waits until each task runs its version, and until those of the last one, and no others, have said that they began it.
fn await_versions(stage: &mut Stage, last: u64, tasks: &[(&str, u64)]) -> Result<()> {
    let wanted: Versions = tasks.iter().map(|(task, version)| ((*task).to_owned(), *version)).collect();
    stage.wait_until(&format!("{tasks:?} run"), |stage| Ok(running(stage)? == wanted))?;
    let of_last: Versions = wanted.into_iter().filter(|(_, version)| *version == last).collect();
    stage.wait_until(&format!("{of_last:?} began"), |stage| Ok(begun(stage, last)? == of_last))
}

/// Has the host die in the middle of what it does, and starts it again.
fn restart(stage: &mut Stage) -> Result<()> {
    std::thread::sleep(Duration::from_millis(fastrand::u64(0..80)));
    stage.host.take().context("no host")?.kill()?;
    stage.start()
}

/// Parts in which events are sent.
const PARTS: usize = 5;

/// The repository's pipeline, in which orders have so many lines at most, and are added up once more by other steps.
fn orders(lines: u32, more: &[&str]) -> Result<String> {
    let text = fs::read_to_string(repository().join("pipelines/orders/pipeline.yaml"))?;
    let (steps, sinks) = text.split_once("\nsinks:\n").context("no sinks")?;
    let (_, total) = steps.split_once("  total:\n").context("no totals")?;
    let more_steps: String = more.iter().map(|step| format!("  {step}:\n{total}")).collect();
    let more_sinks = more.iter().map(|step| format!("  {step}_sink: {{ from: {step}, topic: {step}, key: [id] }}\n"));
    let text = format!("{steps}{more_steps}\nsinks:\n{}{sinks}", more_sinks.collect::<String>());
    let limited = format!("assemble: order-document\n    max_group_rows: {lines}");
    Ok(text.replace("name: orders", "name: counted").replace("assemble: order-document", &limited))
}

/// Sends one of the parts of what was recorded of each table.
fn send_part(stage: &Stage, part: usize) -> Result<()> {
    for table in TABLES {
        let events = recorded(table)?;
        let part = events.chunks(events.len().div_ceil(PARTS)).nth(part).context("there are too few events")?;
        stage.append(&format!("loja.public.{table}"), part)?;
    }
    Ok(())
}

/// What each order comes to, as the last record of its key in a topic says.
fn totals(stage: &Stage, topic: &str) -> Result<BTreeMap<String, Value>> {
    let mut totals = BTreeMap::new();
    for record in stage.azenha.topic(topic)? {
        let order = record["key"].to_string();
        match &record["value"] {
            Value::Null => totals.remove(&order),
            total => totals.insert(order, total.clone()),
        };
    }
    Ok(totals)
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_and_assemblies_go_over_with_their_rows_and_what_does_not_change_is_untouched() -> Result<()> {
    let first = orders(100_000, &[])?;
    let mut stage = Stage::with_plugins(&[("order-document", first.clone()), ("order-total", first.clone())])?;
    ensure!(stage.put(&first, "")?.status == 201);
    let untouched = [("itens_pedido.table", 1), ("produtos.table", 1), ("documentos", 1), ("totais", 1)];
    let of_first = [("pedidos.table", 1), ("itens", 1), ("documento", 1), ("total", 1)];
    await_versions(&mut stage, 1, &[&untouched[..], &of_first].concat())?;
    send_part(&stage, 0)?;
    stage.settle()?;

    // Whoever reads a join or a table from now on is told of all rows that it has.
    ensure!(stage.put(&orders(5_000, &["de_novo"])?, "")?.status == 200);
    send_part(&stage, 1)?;
    let of_second = [("pedidos.table", 2), ("itens", 2), ("documento", 2), ("de_novo", 2), ("total", 1)];
    await_versions(&mut stage, 2, &[&untouched[..], &of_second].concat())?;
    send_part(&stage, 2)?;

    // The same component with a remark, and so with another digest.
    stage.push("order-total", &[component("order-total")?, vec![0, 5, 4, b'n', b'e', b'x', b't']].concat())?;
    ensure!(stage.put(&orders(5_000, &["de_novo", "outra_vez"])?, "")?.status == 200);
    send_part(&stage, 3)?;
    let switched = [("pedidos.table", 3), ("itens", 3), ("total", 3), ("de_novo", 3), ("outra_vez", 3)];
    await_versions(&mut stage, 3, &[&untouched[..], &switched, &[("documento", 2)]].concat())?;

    send_part(&stage, 4)?;
    restart(&mut stage)?;
    let wanted = recount(&repository().join("pipelines/orders/sample")).await?;
    let found = wanted.await_in_sqlite(&stage.azenha.data().join("documentos.db")).await;
    found.with_context(|| format!("{:?}", stage.lanes()))?;
    for again in ["de_novo", "outra_vez"] {
        stage.wait_until("all add up alike", |stage| Ok(totals(stage, again)? == totals(stage, "TotalPedido")?))?;
    }
    ensure!(totals(&stage, "outra_vez")?.len() == wanted.totals.len(), "orders are missing");
    let of_second = of_second.iter().filter(|(_, version)| *version == 2);
    let of_second: Versions = of_second.map(|(task, version)| ((*task).to_owned(), *version)).collect();
    assert_eq!(begun(&stage, 2)?, of_second, "somebody else began version 2 later");
    ensure!(stage.azenha.dead_letters("counted")?.is_empty());
    Ok(())
}

const PRODUCTS: i64 = 40;

/// Clicks, each of which finds its product; other sinks may follow.
fn lookup(tag: &str, more: &str) -> String {
    format!(
        "name: counted
sources:
  clicks: {{ topic: clicks, partitions: 3, partitioned_by: [id], schema: {{ id: int64, product: int64 }} }}
  products: {{ topic: products, key: [id], schema: {{ id: int64, name: text }} }}
steps:
  tagged: {{ transform: rename, from: clicks, config: {{ columns: {{ tag: {{ constant: {tag} }} }} }} }}
  named: {{ lookup: products, from: tagged, on: {{ product: id }} }}
sinks:
  named_clicks: {{ from: named, topic: named_clicks }}
{more}"
    )
}

/// Sends clicks, whose products follow from their ids.
fn click(stage: &Stage, ids: Range<i64>) -> Result<()> {
    let click = |id: i64| json!({ "id": id, "product": id % PRODUCTS }).to_string();
    stage.append("clicks", &ids.map(click).collect::<Vec<_>>())
}

/// The ids of the clicks that have found something.
fn named(stage: &Stage) -> Result<BTreeSet<i64>> {
    let records = stage.azenha.topic("named_clicks")?;
    records.iter().map(|record| record["value"]["id"].as_i64().context("a click without an id")).collect()
}

#[test]
fn either_half_of_a_lookup_goes_over_and_each_row_finds_its_row_once() -> Result<()> {
    let first = lookup("v1", "");
    let mut stage = Stage::with_plugins(&[("rename", first.clone())])?;
    ensure!(stage.put(&first, "")?.status == 201);
    await_versions(&mut stage, 1, &[("products.table", 1), ("named.repartition", 1), ("named", 1)])?;
    let product = |id: i64| json!({ "id": id, "name": format!("product {id}") }).to_string();
    stage.append("products", &(0..PRODUCTS).map(product).collect::<Vec<_>>())?;
    click(&stage, 0..500)?;

    ensure!(stage.put(&lookup("v2", ""), "")?.status == 200);
    click(&stage, 500..1_000)?;
    await_versions(&mut stage, 2, &[("products.table", 1), ("named.repartition", 2), ("named", 1)])?;
    click(&stage, 1_000..1_500)?;

    ensure!(stage.put(&lookup("v2", "  copies: { from: named, topic: copies }\n"), "")?.status == 200);
    click(&stage, 1_500..2_000)?;
    await_versions(&mut stage, 3, &[("products.table", 1), ("named.repartition", 2), ("named", 3)])?;
    click(&stage, 2_000..2_500)?;
    restart(&mut stage)?;
    click(&stage, 2_500..3_000)?;

    stage.wait_until("every click is there", |stage| Ok(named(stage)?.len() == 3_000))?;
    stage.settle()?;
    let records = stage.azenha.topic("named_clicks")?;
    ensure!(records.len() == 3_000, "{} records of 3,000 clicks", records.len());
    for value in records.iter().map(|record| &record["value"]) {
        let id = value["id"].as_i64().context("a click without an id")?;
        ensure!(value["name"] == format!("product {}", id % PRODUCTS), "{value}");
        ensure!(value["tag"] == "v2" || id < 1_000, "the first code was at work on {value}");
    }
    ensure!(stage.azenha.dead_letters("counted")?.is_empty());
    Ok(())
}
