//! Assemblies, which make rows of the rows that tables have of a group: those of the orders system, over recorded events.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use azenha_e2e::orders::{recorded, recount};
use azenha_e2e::repository;
use serde_json::{Value, json};

use crate::stage::Stage;

/// The pipeline's plugins, and one that adds up in a way that its configuration names.
const PLUGINS: [&str; 3] = ["order-document", "order-total", "hostile-total"];

/// Every call, whatever it costs.
const ALL: &str = "?sample=1&budget=100";

/// Events that are sent at once.
const PORTION: usize = 60;

/// The columns of a total.
const TOTAL: [&str; 5] = ["linhas", "unidades", "bruto", "desconto", "liquido"];

/// The repository's pipeline.
fn live() -> Result<String> {
    Ok(fs::read_to_string(repository().join("pipelines/orders/pipeline.yaml"))?)
}

/// The pipeline with another plugin that adds orders up.
fn adding_up(deed: &str) -> Result<String> {
    let (plugin, other) = ("assemble: order-total", format!("assemble: hostile-total\n    config: {{ do: {deed} }}"));
    Ok(live()?.replace(plugin, &other))
}

fn orders() -> Result<Stage> {
    Stage::set("orders", &[&live()?, &adding_up("behave")?], &PLUGINS)
}

/// Sends the events of all tables.
fn send(stage: &mut Stage) -> Result<()> {
    for table in ["produtos", "pedidos"] {
        stage.append(&format!("loja.public.{table}"), &recorded(table)?)?;
    }
    send_lines(stage, 0)
}

/// Sends the events of lines in portions, so that there are many calls.
fn send_lines(stage: &mut Stage, round: u64) -> Result<()> {
    let lines = recorded("itens_pedido")?.iter().map(|event| in_round(event, round)).collect::<Result<Vec<_>>>()?;
    for portion in lines.chunks(PORTION) {
        stage.append("loja.public.itens_pedido", portion)?;
        stage.settle()?;
    }
    Ok(())
}

/// The event as it comes in another round: further on in the database's log, for one that was seen before is passed over.
fn in_round(event: &str, round: u64) -> Result<String> {
    let mut event: Value = serde_json::from_str(event)?;
    let lsn = event["source"]["lsn"].as_u64().context("an event without a position")?;
    event["source"]["lsn"] = json!(lsn + (round << 32));
    Ok(event.to_string())
}

/// Sends events until something is true, those of lines again and again: a candidate gets no call while it is at work on
/// others. Each round leaves the tables as they were.
fn send_until(stage: &mut Stage, what: &str, check: impl Fn(&Stage) -> Result<bool>) -> Result<()> {
    send(stage)?;
    let mut round = 0;
    while !check(stage)? {
        round += 1;
        ensure!(round < 20, "{what}: not in {round} rounds: {}", stage.host.log());
        send_lines(stage, round)?;
    }
    Ok(())
}

/// Sends the event of a new order, which has no lines.
fn send_order(stage: &mut Stage, id: i64) -> Result<()> {
    let last = recorded("pedidos")?.pop().context("no events")?;
    let mut event: Value = serde_json::from_str(&last)?;
    event["op"] = json!("c");
    event["before"] = Value::Null;
    event["after"] = json!({ "id": id, "cliente_id": 1, "loja_id": 1, "criado_em": 1_483_318_921_000_000_i64 });
    stage.append("loja.public.pedidos", &[event.to_string()])
}

/// Waits until the documents are what the events make of them.
async fn await_documents(stage: &Stage) -> Result<()> {
    let wanted = recount(&repository().join("pipelines/orders/sample")).await?;
    let found = wanted.await_in_sqlite(&stage.azenha.data().join("documentos.db")).await;
    found.with_context(|| stage.host.log())
}

/// All totals that were ever written, by order.
fn totals(stage: &Stage) -> Result<BTreeMap<i64, Vec<Value>>> {
    let mut totals: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    for record in stage.azenha.topic("TotalPedido")?.into_iter().filter(|record| !record["value"].is_null()) {
        let order = record["value"]["id"].as_i64().context("a total of no order")?;
        totals.entry(order).or_default().push(record["value"].clone());
    }
    Ok(totals)
}

/// An amount of money in cents.
fn cents(total: &Value, column: &str) -> Result<i64> {
    let text = total[column].as_str().with_context(|| format!("no {column}: {total}"))?;
    Ok(text.replace('.', "").parse()?)
}

/// Whether what was taken off is in a total.
fn is_right(total: &Value) -> Result<bool> {
    Ok(cents(total, "bruto")? == cents(total, "liquido")? + cents(total, "desconto")?)
}

fn samples(shadow: &Value) -> Result<&Vec<Value>> {
    shadow["samples"].as_array().filter(|samples| !samples.is_empty()).with_context(|| format!("no samples: {shadow}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_that_make_the_same_show_only_equal_rows() -> Result<()> {
    let mut stage = orders()?;
    ensure!(stage.try_beside("documento", ALL, &live()?)?.status == 201);
    let other = stage.try_beside("total", ALL, &adding_up("behave")?)?;
    ensure!(other.status == 201 && other.json()?["plugin"] == "hostile-total", "{other:?}");
    let enough = |stage: &Stage| Ok(stage.compared("documento")? >= 100 && stage.compared("total")? >= 100);
    send_until(&mut stage, "rows of both are compared", enough)?;
    for step in ["documento", "total"] {
        let shadow = stage.shadow(step)?;
        for nothing in ["different", "only_live", "only_candidate"] {
            ensure!(shadow["rows"][nothing] == 0, "{step}: {shadow}");
        }
        let columns = shadow["columns"].as_object().context("no columns")?;
        ensure!(columns.values().all(|column| column["different"] == 0), "{step}: {shadow}");
        ensure!(shadow["not_compared"] == json!([]) && shadow["samples"] == json!([]), "{step}: {shadow}");
        ensure!(shadow["calls"]["assemble"]["sampled"].as_u64() > Some(0), "{step}: {shadow}");
        for plugin in ["live", "candidate"] {
            ensure!(shadow["memory"][plugin].as_u64() > Some(0), "{step}: {shadow}");
            ensure!(shadow["cost"]["nanoseconds_a_row"][plugin].as_f64() > Some(0.0), "{step}: {shadow}");
        }
    }
    for column in TOTAL {
        ensure!(stage.shadow("total")?["columns"][column]["equal"].as_u64() >= Some(100), "{column}");
    }
    await_documents(&stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_bug_is_shown_with_its_column_and_orders_and_never_reaches_the_store() -> Result<()> {
    let mut stage = orders()?;
    ensure!(stage.try_beside("total", ALL, &adding_up("forget_discounts")?)?.status == 201);
    let seen = |stage: &Stage| Ok(stage.shadow("total")?["rows"]["different"].as_u64() >= Some(20));
    send_until(&mut stage, "the bug is seen", seen)?;
    let shadow = stage.shadow("total")?;
    let (rows, columns) = (&shadow["rows"], &shadow["columns"]);
    ensure!(rows["equal"] != 0 && rows["only_live"] == 0 && rows["only_candidate"] == 0, "{rows}");
    ensure!(columns["bruto"] == json!({ "equal": rows["equal"], "different": rows["different"] }), "{columns}");
    for right in ["linhas", "unidades", "desconto", "liquido"] {
        ensure!(columns[right]["different"] == 0, "{right}: {columns}");
    }
    let written = totals(&stage)?;
    for sample in samples(&shadow)? {
        let (live, candidate) = (&sample["made"]["live"]["row"], &sample["made"]["candidate"]["row"]);
        ensure!(sample["columns"] == json!(["bruto"]) && candidate["bruto"] == live["liquido"], "{sample}");
        ensure!(cents(live, "desconto")? != 0 && is_right(live)?, "{sample}");
        let order = sample["input"]["id"].as_i64().context("a sample without its key")?;
        let of_order = written.get(&order).with_context(|| format!("nothing was written of {order}"))?;
        let is_it = |total: &Value| TOTAL.iter().all(|column| total[column] == live[column]);
        ensure!(of_order.iter().any(is_it), "order {order} never came to {live}: {of_order:?}");
    }

    await_documents(&stage).await?;
    for total in totals(&stage)?.values().flatten() {
        ensure!(is_right(total)?, "the candidate wrote {total}");
    }
    ensure!(stage.azenha.dead_letters("orders")?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_only_the_candidate_makes_is_shown_with_its_key_and_not_written() -> Result<()> {
    let mut stage = orders()?;
    ensure!(stage.try_beside("total", ALL, &adding_up("keep_gone")?)?.status == 201);
    let seen = |stage: &Stage| Ok(stage.shadow("total")?["rows"]["only_candidate"].as_u64() > Some(0));
    send_until(&mut stage, "an order that is gone is seen", seen)?;
    let shadow = stage.shadow("total")?;
    ensure!(shadow["rows"]["different"] == 0 && shadow["rows"]["only_live"] == 0, "{shadow}");
    for sample in samples(&shadow)? {
        ensure!(sample["input"]["id"].is_i64() && sample["columns"] == json!([]), "{sample}");
        ensure!(sample["made"]["live"] == json!({}) && sample["made"]["candidate"]["row"].is_object(), "{sample}");
    }
    await_documents(&stage).await
}

#[test]
fn a_candidate_that_traps_shows_on_which_order_and_one_that_always_does_is_suspended() -> Result<()> {
    let mut stage = orders()?;
    // Lines first: then hardly an order is seen without any.
    stage.append("loja.public.itens_pedido", &recorded("itens_pedido")?)?;
    stage.append("loja.public.pedidos", &recorded("pedidos")?)?;
    stage.settle()?;
    ensure!(stage.try_beside("total", ALL, &adding_up("panic_on_empty")?)?.status == 201);
    let mut order = 1;
    while stage.shadow("total")?["rows"]["only_live"] == 0 {
        send_order(&mut stage, order)?;
        order += 1;
        stage.settle()?;
        ensure!(order < 1_000, "{}", stage.shadow("total")?);
    }
    let shadow = stage.shadow("total")?;
    let sample = &samples(&shadow)?[0];
    ensure!(sample["input"]["id"].as_i64().is_some_and(|id| (1..order).contains(&id)), "{sample}");
    ensure!(sample["made"]["live"]["row"]["linhas"] == 0, "{sample}");
    ensure!(sample["made"]["candidate"]["failed"].as_str().is_some_and(|why| why.contains("no lines")), "{sample}");
    ensure!(shadow["problems"]["live"]["failed"] == 0, "{shadow}");

    ensure!(stage.try_beside("total", ALL, &adding_up("panic_on_everything")?)?.status == 201);
    while stage.shadow("total")?.get("suspended").is_none() {
        send_order(&mut stage, order)?;
        order += 1;
        stage.settle()?;
        ensure!(order < 2_000, "{}", stage.shadow("total")?);
    }
    stage.settle()?;
    let written = totals(&stage)?;
    ensure!((1..order).all(|id| written.contains_key(&id)), "lanes do not notice: {written:?}");
    ensure!(stage.azenha.dead_letters("orders")?.is_empty(), "its failures are nobody's");
    Ok(())
}

#[test]
fn a_candidate_is_promoted_or_discarded() -> Result<()> {
    let mut stage = orders()?;
    send(&mut stage)?;
    let last_of = |record: Value| (record["key"].to_string(), record["value"].clone());
    let discounted = totals(&stage)?.values().flatten().filter(|total| total["desconto"] != "0.00").count();
    ensure!(discounted > 50, "{discounted}");
    ensure!(stage.try_beside("total", ALL, &adding_up("forget_discounts")?)?.status == 201);
    let path = stage.shadow_path("total");
    let promoted = stage.call("POST", &format!("{path}/promote"), "", b"")?;
    ensure!(promoted.status == 200, "{promoted:?}");
    stage.wait_until("every total is made anew", |stage| {
        let last: BTreeMap<String, Value> = stage.azenha.topic("TotalPedido")?.into_iter().map(last_of).collect();
        Ok(last.values().all(|total| total["bruto"] == total["liquido"]))
    })?;
    ensure!(stage.call("GET", &path, "", b"")?.status == 404, "what it was beside is no more");

    ensure!(stage.try_beside("total", "", &live()?)?.status == 201);
    ensure!(stage.call("DELETE", &path, "", b"")?.status == 204);
    for (method, path) in [("DELETE", path.clone()), ("GET", path.clone()), ("POST", format!("{path}/promote"))] {
        ensure!(stage.call(method, &path, "", b"")?.status == 404, "{method} {path}");
    }
    Ok(())
}

#[test]
fn a_candidate_that_reads_something_else_than_the_live_assembly_is_refused() -> Result<()> {
    let stage = orders()?;
    let refused = |step: &str, options: &str, candidate: &str, status: u16, why: &str| -> Result<()> {
        let answer = stage.try_beside(step, options, candidate)?;
        ensure!(answer.status == status && answer.body.contains(why), "{candidate}: {answer:?}");
        Ok(())
    };
    let live = live()?;
    let total = |before: &str, after: &str| {
        let (others, total) = live.split_once("  total:").unwrap_or_default();
        format!("{others}  total:{}", total.replacen(before, after, 1))
    };
    refused("total", "?plugin=order-document", &live, 409, "the candidate reads column `pedidos.cliente_id`")?;
    let by = total("by: [pedido_id]", "by: [produto_id]");
    refused("total", "", &by, 409, "differs from what is in force at /steps/total/tables/itens/by")?;
    let table = total("from: itens", "from: itens_pedido");
    refused("total", "", &table, 409, "at /steps/total/tables/itens/from")?;
    let tables = total("      itens: { from: itens, by: [pedido_id] }\n", "");
    refused("total", "", &tables, 409, "at /steps/total/tables/itens")?;
    let rows = total("assemble: order-total", "assemble: order-total\n    max_group_rows: 5");
    refused("total", "", &rows, 409, "at /steps/total/max_group_rows")?;
    refused("total", "", &adding_up("nothing_known")?, 422, "nothing_known")?;
    refused("itens", "", &live, 409, "step `itens` runs no plugin")?;
    refused("pedidos", "", &live, 409, "step `pedidos` runs no plugin")?;
    ensure!(stage.show("/pipelines/orders/shadows")? == json!({}));

    // What reads less is no harm.
    ensure!(stage.try_beside("documento", "?plugin=order-total", &live)?.status == 201);
    Ok(())
}
