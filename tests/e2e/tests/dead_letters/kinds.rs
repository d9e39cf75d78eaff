//! Every kind of dead letter: listed, shown, and reproduced elsewhere.

use std::fs;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, Database, repository};
use serde_json::Value;

use crate::helpers::{Elsewhere, Scene, id, text};

/// One step for each way to misbehave, with what its letter must say of it.
const DEEDS: [(&str, &str); 11] = [
    ("endless_loop", "timeout"),
    ("endless_allocation", "memory"),
    ("deep_recursion", "trap"),
    ("panic_on", "trap"),
    ("fail_everything", "error"),
    ("wrong_length", "contract"),
    ("offsets_backwards", "contract"),
    ("offsets_out_of_range", "contract"),
    ("invalid_utf8", "contract"),
    ("ten_million_rows", "contract"),
    ("unknown_rows", "contract"),
];

fn hostile() -> String {
    let step = |(deed, _): &(&str, &str)| {
        format!("  {deed}: {{ transform: hostile, from: clicks, config: {{ do: {deed} }} }}\n")
    };
    let sink = |(deed, _): &(&str, &str)| format!("  {deed}_out: {{ from: {deed}, topic: {deed}_out }}\n");
    let steps: String = DEEDS.iter().map(step).collect();
    let sinks: String = DEEDS.iter().map(sink).collect();
    format!(
        "name: hostile\nsources:\n  clicks: {{ topic: hostile_clicks, schema: {{ campaignId: text }} }}\nsteps:\n{steps}sinks:\n{sinks}"
    )
}

const QUICK: &str = "limits: { plugin_time: 200ms }\n";

/// Checks that a letter can be found and shown, and that replays on the host and elsewhere see its failure.
fn check(scene: &Scene, pipeline: &str, letter: &Value) -> Result<()> {
    let shown = scene.show(pipeline, id(letter))?;
    ensure!(shown["letter"]["reason"] == letter["reason"], "{shown}");
    let here = scene.replay(pipeline, id(letter), "")?;
    ensure!(here.status == 200 && here.json()?["reproduced"] == true, "{letter}: {here:?}");
    let bundle = scene.bundle(pipeline, id(letter))?;
    let replayed = Elsewhere::new()?.replay(&bundle, &[], &[])?;
    let said = text(&replayed);
    ensure!(replayed.status.success() && said.contains("\nreproduced"), "{letter}: {said}");
    Ok(())
}

#[test]
fn every_way_in_which_a_plugin_fails_is_seen_again_elsewhere() -> Result<()> {
    let mut scene = Scene::start(&[("hostile", &hostile())], QUICK)?;
    scene.send("hostile_clicks", &[r#"{"campaignId":"panic"}"#])?;
    let letters = scene.await_letters("hostile", DEEDS.len())?;
    for (deed, failure) in DEEDS {
        let letter = letters.iter().find(|letter| letter["step"] == deed).context(deed)?;
        let shown = scene.show("hostile", id(letter))?;
        assert_eq!(shown["letter"]["failure"], failure, "{shown}");
        check(&scene, "hostile", letter).with_context(|| deed.to_owned())?;
    }
    let panicked = letters.iter().find(|letter| letter["step"] == "panic_on").context("no letter")?;
    let said = text(&Elsewhere::new()?.replay(&scene.bundle("hostile", id(panicked))?, &[], &[])?);
    assert!(said.contains("panicked at") && said.contains("hostile::Hostile"), "a stack with names: {said}");
    Ok(())
}

const COUNTED: &str = "
name: counted
sources:
  clicks: { topic: counted_clicks, partitions: 1, schema: { group: text, campaignId: text } }
steps:
  counts: { aggregate: hostile-count, from: clicks, by: [group] }
sinks:
  out: { from: counts, topic: counted_out, key: [group] }
";

#[test]
fn what_an_aggregate_fails_on_is_seen_again_elsewhere() -> Result<()> {
    let mut scene = Scene::start(&[("counted", COUNTED)], QUICK)?;
    let wishes = ["good", "fail fold", "refuse fold", "fail finish", "refuse finish"];
    let rows: Vec<String> =
        wishes.iter().map(|wish| format!(r#"{{"group":"of {wish}","campaignId":"{wish}"}}"#)).collect();
    scene.send("counted_clicks", &rows.iter().map(String::as_str).collect::<Vec<_>>())?;
    let letters = scene.await_letters("counted", 4)?;
    let mut functions = Vec::new();
    for letter in &letters {
        let shown = scene.show("counted", id(letter))?;
        functions.push(format!("{} {}", shown["letter"]["basis"]["call"]["function"], shown["letter"]["cause"]));
        check(&scene, "counted", letter)?;
    }
    functions.sort();
    assert_eq!(
        functions,
        ["\"finish\" \"failed\"", "\"finish\" \"rejected\"", "\"fold\" \"failed\"", "\"fold\" \"rejected\""]
    );
    Ok(())
}

#[test]
fn a_merge_that_fails_is_seen_again_elsewhere() -> Result<()> {
    let merged = COUNTED.replace("partitions: 1", "partitions: 2");
    let mut scene = Scene::start(&[("counted", &merged)], QUICK)?;
    scene.send("counted_clicks", &[r#"{"group":"g","campaignId":"good"}"#])?;
    let address = scene.host.address.clone();
    scene.host.wait_until("the first row is counted", |_| {
        let metrics = azenha_e2e::get(&address, "/pipelines/counted")?.json()?;
        let tasks = metrics["tasks"].as_array().context("no tasks")?;
        let lanes = tasks.iter().filter(|task| task["task"] == "counts").flat_map(|task| task["lanes"].as_array());
        Ok(lanes.flatten().any(|lane| lane["records"].as_u64() > Some(0) && lane["lag"] == 0))
    })?;
    scene.send("counted_clicks", &[r#"{"group":"g","campaignId":"fail merge"}"#])?;
    let letters = scene.await_letters("counted", 1)?;
    assert_eq!(scene.show("counted", id(&letters[0]))?["letter"]["basis"]["call"]["function"], "merge");
    check(&scene, "counted", &letters[0])?;
    let refused = scene.decide("counted", id(&letters[0]), "retry")?;
    assert!(refused.status == 409 && refused.body.contains("no source"), "{refused:?}");
    Ok(())
}

const TOTALS: &str = "
name: totals
sources:
  pedidos: { topic: totals_orders, key: [id], schema: { id: int64 } }
  itens:
    topic: totals_lines
    key: [id]
    schema: { id: int64, pedido_id: int64, quantidade: int64, valor: decimal(2), desconto: decimal(2), nota: text }
steps:
  total:
    assemble: order-total
    tables: { pedidos: { from: pedidos, by: [id] }, itens: { from: itens, by: [pedido_id] } }
sinks:
  out: { from: total, topic: totals_out, key: [id] }
";

#[test]
fn a_group_that_an_assemble_refuses_is_seen_again_elsewhere() -> Result<()> {
    let mut scene = Scene::start(&[("totals", TOTALS)], QUICK)?;
    let line = |id: u32| {
        let most = format!("{}.99", "9".repeat(36));
        format!(r#"{{"id":{id},"pedido_id":7,"quantidade":1,"valor":"{most}","desconto":"0","nota":"PLANTED NOTE"}}"#)
    };
    scene.send("totals_lines", &[&line(1), &line(2)])?;
    scene.send("totals_orders", &[r#"{"id":7}"#])?;
    let letters = scene.await_letters("totals", 1)?;
    assert_eq!(letters[0]["cause"], "rejected", "{}", letters[0]);
    check(&scene, "totals", &letters[0])?;
    let bundle = fs::read(scene.bundle("totals", id(&letters[0]))?)?;
    assert!(!bundle.windows(12).any(|window| window == b"PLANTED NOTE"), "a column that is not read is not in it");
    let refused = scene.decide("totals", id(&letters[0]), "retry")?;
    assert!(refused.status == 409 && refused.body.contains("a group of rows"), "{refused:?}");
    Ok(())
}

#[test]
fn the_letters_of_the_clickstream_are_found_and_replayed() -> Result<()> {
    let yaml = fs::read_to_string(repository().join("pipelines/clickstream/pipeline.yaml"))?;
    let yaml = yaml.replace("partitions: 4", "partitions: 1");
    let mut scene = Scene::start(&[("clickstream", &yaml)], "{}")?;
    let click = |campaign: &str, minute: i64| format!(r#"{{"campaignId":{campaign},"timestamp":{}}}"#, minute * 60_000);
    scene.send(
        "click_events",
        &[
            &click("\"a\"", 1_000),
            &click("\"a\"", 2_000),
            &click("\"a\"", 1_000),
            &click("null", 2_000),
            "{\"campaignId\":7",
        ],
    )?;
    let letters = scene.await_letters("clickstream", 3)?;
    let of = |cause: &str| letters.iter().find(|letter| letter["cause"] == cause).context(cause.to_owned());
    check(&scene, "clickstream", of("rejected")?)?;
    check(&scene, "clickstream", of("late")?)?;
    check(&scene, "clickstream", of("decode")?)?;
    let refused = scene.decide("clickstream", id(of("late")?), "retry")?;
    assert!(refused.status == 409 && refused.body.contains("too late"), "{refused:?}");

    let rejected = scene.list("clickstream", "cause=rejected&step=enriched")?;
    assert_eq!((rejected.len(), id(&rejected[0])), (1, id(of("rejected")?)));
    assert!(scene.list("clickstream", "since=2100-01-01T00:00:00Z")?.is_empty());
    let listed = scene.command(&["list", "clickstream", "--cause", "late"])?;
    assert!(listed.stdout.contains(id(of("late")?)) && !listed.stdout.contains(id(of("decode")?)), "{}", listed.text());
    Ok(())
}

#[test]
fn a_page_of_letters_says_where_the_next_begins() -> Result<()> {
    let mut scene = Scene::start(&[("counted", COUNTED)], QUICK)?;
    scene.send("counted_clicks", &["{"; 7])?;
    let all: Vec<String> = scene.await_letters("counted", 7)?.iter().map(|letter| id(letter).to_owned()).collect();
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let query = format!("/pipelines/counted/dead-letters?limit=3{cursor}");
        let page = azenha_e2e::get(&scene.host.address, &query)?.json()?;
        let letters = page["letters"].as_array().context("no letters")?;
        paged.extend(letters.iter().map(|letter| id(letter).to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, all);
    for wrong in ["limit=0", "limit=201", "limit=x", "cursor=x", "since=yesterday", "colour=red"] {
        let answer = azenha_e2e::get(&scene.host.address, &format!("/pipelines/counted/dead-letters?{wrong}"))?;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
    Ok(())
}

const ELSE: &str = "
name: others
sources:
  events: { topic: others_events, format: bytes }
  read: { topic: others_objects, objects: lake, format: json, schema: { id: int64 } }
  rows: { topic: others_rows, schema: { name: text } }
sinks:
  kept: { from: events, connection: lake, objects: kept, format: lines, announce: others_objects, roll: { every: 1s } }
  good: { from: read, topic: others_good }
  table: { from: rows, connection: warehouse, table: names }
";

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_objects_and_stores_are_found_and_say_why_they_are_not_put_back() -> Result<()> {
    let azenha = Azenha::new()?;
    fs::create_dir(azenha.data())?;
    let mut warehouse = Database::open(&azenha.data().join("warehouse.db")).await?;
    warehouse.execute("CREATE TABLE names (name text NOT NULL CHECK (name <> 'bad'))").await?;
    let mut scene = Scene::start_in(azenha, &[("others", ELSE)], "{}", &[])?;
    scene.send("others_events", &["{\"id\":1}", "{\"id\":\"x"])?;
    scene.send("others_rows", &["{\"name\":\"bad\"}", "{\"name\":\"good\"}"])?;
    let letters = scene.await_letters("others", 2)?;
    let of = |cause: &str| letters.iter().find(|letter| letter["cause"] == cause).context(cause.to_owned());
    let (line, row) = (of("decode")?, of("refused")?);
    check(&scene, "others", line)?;
    let alone = text(&Elsewhere::new()?.replay(&scene.bundle("others", id(row))?, &[], &[])?);
    assert!(alone.contains("the store itself refused the row") && alone.contains(r#"{"name":"bad"}"#), "{alone}");
    let refused = scene.decide("others", id(line), "retry")?;
    assert!(refused.status == 409 && refused.body.contains("object"), "{refused:?}");
    // Nothing came of the row that the store refused: it may be tried again, and is refused again.
    assert_eq!(scene.decide("others", id(row), "retry")?.status, 200);
    scene.await_letters("others", 2)?;
    assert_eq!(warehouse.number("SELECT count(*) FROM names").await, Some(1));
    Ok(())
}

const NAMELESS: &str = "
name: nameless
sources:
  visits:
    topic: nameless_visits
    partitions: 1
    schema: { group: text, campaignId: text, email: { type: text?, pii: true }, at: timestamp(ms) }
    event_time: { field: at, lateness: 1s }
steps:
  counts: { aggregate: hostile-count, from: visits, by: [group], window: { tumbling: 1m }, columns: [campaignId] }
  people: { identify: [email], from: visits, profile: hostile-count, into: person, columns: [campaignId, email] }
sinks:
  out: { from: counts, topic: nameless_out, key: [group, start_time] }
  people_out: { from: people, topic: nameless_people, key: [person] }
";

#[test]
fn rows_without_a_name_are_so_elsewhere() -> Result<()> {
    let mut scene = Scene::start(&[("nameless", NAMELESS)], "{}")?;
    scene.send("nameless_visits", &[r#"{"group":"g","campaignId":"good","email":"","at":1}"#])?;
    let letters = scene.await_letters("nameless", 1)?;
    assert_eq!(letters[0]["cause"], "no_identifier");
    check(&scene, "nameless", &letters[0])
}

const ABSENT: &str = "
name: absent
sources:
  read: { topic: absent_objects, objects: lake, format: json, schema: { id: int64 } }
  # Records are taken for topics that hold records, and not announcements.
  said: { topic: absent_objects, format: bytes }
sinks:
  good: { from: read, topic: absent_good }
  heard: { from: said, connection: lake, objects: heard, format: lines }
";

#[test]
fn announcements_of_nothing_are_so_elsewhere() -> Result<()> {
    let azenha = Azenha::new()?;
    let folder = azenha.data().join("lake/a");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("other.ndjson"), "{\"id\":1}\n")?;
    fs::write(folder.join("broken.ndjson.gz"), "no gzip")?;
    let mut scene = Scene::start_in(azenha, &[("absent", ABSENT)], "{}", &[])?;
    scene.send(
        "absent_objects",
        &[
            "{",
            r#"{"path":"../a"}"#,
            r#"{"path":"a/nothing.ndjson"}"#,
            r#"{"path":"a/other.ndjson","sha256":"00"}"#,
            r#"{"path":"a/broken.ndjson.gz"}"#,
        ],
    )?;
    let letters = scene.await_letters("absent", 5)?;
    let (broken, others): (Vec<&Value>, Vec<&Value>) =
        letters.iter().partition(|letter| letter["reason"].as_str().is_some_and(|reason| reason.contains("broken")));
    for letter in others {
        check(&scene, "absent", letter)?;
    }
    let alone = Elsewhere::new()?.replay(&scene.bundle("absent", id(broken[0]))?, &[], &[])?;
    assert_eq!(alone.status.code(), Some(2), "{}", text(&alone));
    assert!(text(&alone).contains("look at the object itself"), "{}", text(&alone));
    Ok(())
}
