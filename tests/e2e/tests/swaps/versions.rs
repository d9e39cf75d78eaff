//! Rows say which version of the pipeline made them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use azenha_e2e::Database;
use azenha_e2e::versions::{Begun, Seen};
use serde_json::{Value, json};

use super::{Stage, send_rows};

/// Rows with a tag go to a topic, a table and objects; counts with the same tag go to a topic, and by two ways to tables.
/// Each sink that can writes the version, or passes on what another one wrote.
fn pipeline(tag: &str) -> String {
    let read = "columns: { $partition: read_in, $offset: read_at }, version_column: versao";
    format!(
        "name: counted
sources:
  rows: {{ topic: rows, partitions: 4, partitioned_by: [number], schema: {{ number: int64, device: text }} }}
steps:
  tagged: {{ transform: rename, from: rows, config: {{ columns: {{ tag: {{ constant: {tag} }} }} }} }}
  counts: {{ aggregate: tagged-count, from: tagged, by: [device], config: {{ tag: {tag} }} }}
sinks:
  seen: {{ from: tagged, topic: seen, {read} }}
  seen_table: {{ from: tagged, connection: warehouse, table: seen, {read} }}
  kept: {{ from: tagged, connection: lake, objects: kept, announce: kept, roll: {{ every: 200ms }}, {read} }}
  kept_table: {{ from: kept, connection: warehouse, table: kept }}
  counts_output: {{ from: counts, topic: counts_output, key: [device], version_column: versao }}
  counts_table: {{ from: counts_output, connection: warehouse, table: counts, key: [device] }}
  straight: {{ from: counts, connection: warehouse, table: straight, key: [device], version_column: versao }}
"
    )
}

/// Tasks in which the tag is made.
const OF_TAG: [&str; 5] = ["seen", "seen_table", "kept", "counts.fold", "counts"];

/// A host that runs version 1, with the tag `v1`.
fn stage() -> Result<Stage> {
    let mut stage = Stage::with_plugins(&[("tagged-count", pipeline("v1")), ("rename", pipeline("v1"))])?;
    ensure!(stage.put(&pipeline("v1"), "")?.status == 201);
    await_tasks(&mut stage, 1, &OF_TAG)?;
    Ok(stage)
}

/// Waits until every lane of some tasks runs a version.
fn await_tasks(stage: &mut Stage, version: u64, tasks: &[&str]) -> Result<()> {
    stage.wait_until(&format!("version {version} runs"), |stage| {
        let lanes = stage.lanes_of(|task| tasks.contains(&task))?;
        let runs = |lane: &Value| lane["version"] == version && lane["state"] == "running";
        Ok(lanes.len() == 4 * tasks.len() && lanes.iter().all(runs))
    })
}

/// The rows of a table: number, the partition and offset that they were read at, tag, and version.
async fn seen_in(stage: &Stage, table: &str) -> Result<Vec<Seen>> {
    let rows = format!("SELECT number, read_in, read_at, tag, versao FROM {table}");
    let rows: Vec<(i64, i64, i64, String, i64)> = warehouse(stage).await?.rows(&rows).await?;
    let seen = |(number, partition, offset, tag, version): (i64, i64, i64, String, i64)| Seen {
        record: number.to_string(),
        read_at: (partition, offset),
        tag,
        version,
    };
    Ok(rows.into_iter().map(seen).collect())
}

/// The last result of each device: how often, with which tag, by which version.
type Counts = BTreeMap<String, (i64, String, i64)>;

fn counts(stage: &Stage, tag_of: impl Fn(i64) -> String) -> Result<Counts> {
    let mut last = Counts::new();
    let mut reached = BTreeMap::new();
    for record in stage.results()? {
        let value = &record["value"];
        let count: (String, i64, String, i64) =
            serde_json::from_value(json!([value["device"], value["counted"], value["tag"], value["versao"]]))
                .with_context(|| format!("{value}"))?;
        let (device, counted, tag, version) = count;
        let before = reached.insert(record["partition"].to_string(), version);
        ensure!(before.is_none_or(|before| before <= version), "{value} after version {before:?}");
        ensure!(tag == tag_of(version), "{value}");
        last.insert(device, (counted, tag, version));
    }
    Ok(last)
}

async fn warehouse(stage: &Stage) -> Result<Database> {
    Database::open(&stage.azenha.data().join("warehouse.db")).await
}

async fn counts_in(stage: &Stage, table: &str) -> Result<Counts> {
    let rows = format!("SELECT device, counted, tag, versao FROM {table}");
    let rows: Vec<(String, i64, String, i64)> = warehouse(stage).await?.rows(&rows).await?;
    Ok(rows.into_iter().map(|(device, counted, tag, version)| (device, (counted, tag, version))).collect())
}

/// Everything that was written says one version, and the right one.
async fn check_all(stage: &mut Stage, tag_of: impl Fn(i64) -> String + Copy) -> Result<()> {
    stage.settle()?;
    stage.check_counts(0)?;
    let mut begun = Begun::default();
    begun.learn(&stage.versions()?)?;
    let seen = |record: &Value| Seen::of(record["value"]["number"].to_string(), &record["value"]);
    let rows = stage.azenha.topic("seen")?.iter().map(seen).collect::<Result<Vec<_>>>()?;
    begun.check_seen("seen", &rows, stage.sent, tag_of)?;
    for (task, table) in [("seen_table", "seen"), ("kept", "kept")] {
        begun.check_seen(task, &seen_in(stage, table).await?, stage.sent, tag_of)?;
    }
    let last = counts(stage, tag_of)?;
    for table in ["counts", "straight"] {
        let found = counts_in(stage, table).await?;
        ensure!(found == last, "table {table}: {found:?}, not {last:?}");
    }
    let letters = stage.azenha.dead_letters("counted")?;
    ensure!(letters.is_empty(), "{letters:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_say_the_version_that_ran_at_their_offset_through_swaps_under_load_and_a_rollback() -> Result<()> {
    let mut stage = stage()?;
    let (address, is_over, portions) = (stage.host()?.address.clone(), AtomicBool::new(false), AtomicU64::new(0));
    let load = || {
        let mut sent = 0;
        while !is_over.load(Relaxed) {
            send_rows(&address, sent..sent + 100)?;
            sent += 100;
            portions.fetch_add(1, Relaxed);
        }
        Ok::<_, anyhow::Error>(sent)
    };
    let sent = thread::scope(|scope| {
        let load = scope.spawn(load);
        // Until a portion was sent that was begun after this.
        let await_rows = || {
            let before = portions.load(Relaxed);
            while portions.load(Relaxed) < before + 2 && !load.is_finished() {
                thread::sleep(Duration::from_millis(5));
            }
        };
        let swapped = (2..=6).try_for_each(|version| {
            await_rows();
            ensure!(stage.put(&pipeline(&format!("v{version}")), "")?.status == 200);
            await_tasks(&mut stage, version, &OF_TAG)
        });
        let back = swapped.and_then(|()| {
            let back = stage.call("POST", "/pipelines/counted/rollback?to=3", "", b"")?;
            ensure!(back.status == 200, "{back:?}");
            await_tasks(&mut stage, 7, &OF_TAG)
        });
        await_rows();
        is_over.store(true, Relaxed);
        let sent = load.join().map_err(|_| anyhow!("the load failed"))??;
        back.map(|()| sent)
    })?;
    stage.sent = sent;
    println!("{sent} rows were sent");
    let tag_of = |version| format!("v{}", if version == 7 { 3 } else { version });
    check_all(&mut stage, tag_of).await?;
    let versions: BTreeSet<i64> =
        warehouse(&stage).await?.numbers("SELECT versao FROM seen").await?.into_iter().collect();
    ensure!(versions == (1..=7).collect(), "rows are of {versions:?} only");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_in_the_middle_of_swaps_leaves_one_version_in_each_row() -> Result<()> {
    let mut stage = stage()?;
    for version in 2..=6 {
        stage.send(1_000)?;
        ensure!(stage.put(&pipeline(&format!("v{version}")), "")?.status == 200);
        thread::sleep(Duration::from_millis(fastrand::u64(0..80)));
        stage.host.take().context("no host")?.kill()?;
        stage.start()?;
        await_tasks(&mut stage, version, &OF_TAG)?;
    }
    check_all(&mut stage, |version| format!("v{version}")).await
}

/// How many rows of a table have each value in a column; those that have none are the first.
async fn numbers(stage: &Stage, table: &str, column: &str) -> Result<Vec<(Option<i64>, i64)>> {
    let counted = format!("SELECT {column}, count(*) FROM {table} GROUP BY {column} ORDER BY {column}");
    warehouse(stage).await?.rows(&counted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_column_comes_goes_and_changes_its_name_like_anything_else_and_groups_go_on() -> Result<()> {
    let (with, renamed) = (pipeline("a"), pipeline("a").replace("versao", "feita_por"));
    let without = with.replace(", version_column: versao", "");
    let mut stage = Stage::with_plugins(&[("tagged-count", with.clone()), ("rename", with.clone())])?;
    ensure!(stage.put(&without, "")?.status == 201);
    await_tasks(&mut stage, 1, &OF_TAG)?;
    stage.send(200)?;
    stage.settle()?;

    let planned = stage.put(&with, "?dry_run=true")?.json()?;
    let tasks = planned["plan"]["tasks"].as_array().context("no plan")?;
    let change = |name: &str| tasks.iter().find(|task| task["task"] == name).map(|task| &task["change"]);
    ensure!(planned["accepted"] == true && change("counts") == Some(&json!("switched")), "{planned}");
    ensure!(change("counts.fold") == Some(&json!("untouched")), "{planned}");

    // The first half of the aggregation makes no rows.
    let of_rows = ["seen", "seen_table", "kept", "counts", "counts_table", "straight"];
    for (version, definition) in (2..).zip([&with, &renamed, &without]) {
        ensure!(stage.put(definition, "")?.status == 200);
        await_tasks(&mut stage, version, &of_rows)?;
        stage.send(200)?;
        stage.settle()?;
        stage.check_counts(0)?;
    }
    let columns: Vec<(Value, Value)> = stage
        .results()?
        .iter()
        .map(|record| (record["value"]["versao"].clone(), record["value"]["feita_por"].clone()))
        .collect();
    let of = |versions: (Value, Value)| columns.iter().filter(|found| **found == versions).count();
    ensure!(of((json!(2), Value::Null)) > 0 && of((Value::Null, json!(3))) > 0 && of((Value::Null, Value::Null)) > 0);
    for (column, version) in [("versao", 2), ("feita_por", 3)] {
        ensure!(numbers(&stage, "seen", column).await? == [(None, 600), (Some(version), 200)], "{column}");
        for table in ["counts", "straight"] {
            let found = numbers(&stage, table, column).await?;
            ensure!(found == [(Some(version), 20)], "{column} of {table}: {found:?}");
        }
    }
    Ok(())
}

/// Orders and their lines, of which a plugin makes one row.
fn orders(max_group_rows: u32) -> String {
    let line = "{ id: int64, pedido_id: int64, quantidade: int64, valor: decimal(2), desconto: decimal(2) }";
    format!(
        "name: counted
sources:
  pedidos: {{ topic: pedidos, key: [id], schema: {{ id: int64 }} }}
  itens: {{ topic: itens, key: [id], schema: {line} }}
steps:
  made:
    assemble: order-total
    tables: {{ pedidos: {{ from: pedidos, by: [id] }}, itens: {{ from: itens, by: [pedido_id] }} }}
    max_group_rows: {max_group_rows}
sinks:
  results: {{ from: made, topic: results, key: [id], version_column: versao }}
  table: {{ from: made, connection: warehouse, table: results, key: [id], version_column: versao }}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_other_code_makes_as_before_keeps_the_version_that_wrote_it() -> Result<()> {
    let mut stage = Stage::with_plugins(&[("order-total", orders(100))])?;
    ensure!(stage.put(&orders(100), "")?.status == 201);
    let await_version = |stage: &mut Stage, version: u64| {
        stage.wait_until(&format!("version {version} runs"), |stage| {
            let made = stage.lanes_of(|task| task == "made")?;
            Ok(made.len() == 1 && made[0]["version"] == version && made[0]["state"] == "running")
        })
    };
    await_version(&mut stage, 1)?;
    let post = |stage: &Stage, topic: &str, rows: Vec<Value>| {
        stage.append(topic, &rows.iter().map(Value::to_string).collect::<Vec<_>>())
    };
    let line = |id: i64, units: i64| json!({"id": id, "pedido_id": id, "quantidade": units, "valor": 1, "desconto": 0});
    post(&stage, "pedidos", (0..20).map(|id| json!({"id": id})).collect())?;
    post(&stage, "itens", (0..20).map(|id| line(id, 1)).collect())?;
    // What a result holds, and by which version.
    let made = |stage: &Stage| -> Result<BTreeMap<i64, (i64, i64)>> {
        let of = |record: Value| {
            let value = &record["value"];
            let of = (value["unidades"].as_i64().unwrap_or(-1), value["versao"].as_i64().unwrap_or(-1));
            (record["key"]["id"].as_i64().unwrap_or(-1), of)
        };
        Ok(stage.azenha.topic("results")?.into_iter().map(of).collect())
    };
    stage.wait_until("all results are there", |stage| {
        Ok(made(stage)?.len() == 20 && made(stage)?.values().all(|made| *made == (1, 1)))
    })?;

    ensure!(stage.put(&orders(99), "")?.status == 200);
    await_version(&mut stage, 2)?;
    post(&stage, "itens", vec![line(7, 5)])?;
    let expected: BTreeMap<i64, (i64, i64)> = (0..20).map(|id| (id, if id == 7 { (5, 2) } else { (1, 1) })).collect();
    stage.wait_until("one result is another one", |stage| Ok(made(stage)?[&7] != (1, 1)))?;
    ensure!(made(&stage)? == expected, "{:?}", made(&stage)?);
    stage.settle()?;
    let rows: Vec<(i64, i64, i64)> = warehouse(&stage).await?.rows("SELECT id, unidades, versao FROM results").await?;
    let found: BTreeMap<i64, (i64, i64)> =
        rows.into_iter().map(|(id, units, version)| (id, (units, version))).collect();
    ensure!(found == expected, "{found:?}");
    Ok(())
}

#[test]
fn a_pipeline_that_is_a_file_is_version_0() -> Result<()> {
    let azenha = azenha_e2e::Azenha::new()?;
    let file = azenha.write("counted/pipeline.yaml", &pipeline("a"))?;
    let rows = azenha.write("rows.ndjson", "{\"number\":1,\"device\":\"device-1\"}\n")?;
    azenha.run_once(&file, &[("rows", &rows)], &["--strict"])?;
    for topic in ["seen", "counts_output"] {
        let records = azenha.topic(topic)?;
        ensure!(records.len() == 1 && records[0]["value"]["versao"] == 0, "{topic}: {records:?}");
    }
    Ok(())
}
