//! The console in a real browser. The scripts in `tests/e2e/console` say what is looked at.

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, Running, get, repository};
use serde_json::{Value, json};

const CONFIG: &str = "http: { tokens: [{ name: deployer, token: deployer-0123456789abcdef, role: deployer }] }\n";

const TOKEN: &str = "deployer-0123456789abcdef";

const COUNTED: &str = "name: counted
sources:
  clicks:
    topic: clicks_in
    format: json
    partitions: 2
    schema: { campaignId: text, email: { type: text?, pii: true }, timestamp: timestamp(ms) }
    event_time: { field: timestamp, lateness: 30s }
steps:
  kept: { transform: filter, from: clicks, config: { column: campaignId, present: true } }
  counts: { aggregate: click-count, from: kept, by: [campaignId], window: { tumbling: 2m }, emit: changes }
sinks:
  kept_out: { from: kept, topic: kept_out }
  counts_out: { from: counts, topic: counts_out, key: [campaignId, start_time] }
  warehouse: { from: counts_out, connection: warehouse, table: click_counts, key: [campaignId, start_time] }
";

/// Rows are labelled by a plugin beside which another one is tried. It looks at the device; what is wrong looks at `other`.
const TRIED: &str = "name: tried
sources:
  rows: { topic: rows, schema: { number: int64, device: text, other: text, email: { type: text, pii: true } } }
steps:
  labelled:
    transform: rename
    from: rows
    config: { columns: { label: { concatenate: [the, { column: device }] } } }
sinks:
  labels: { from: labelled, topic: labels }
";

/// Its plugin fails where a row tells it to.
const UNRULY: &str = "name: unruly
sources:
  wishes: { topic: unruly_in, partitions: 1, schema: { campaignId: text } }
steps:
  counts: { aggregate: hostile-count, from: wishes, by: [campaignId] }
sinks:
  out: { from: counts, topic: unruly_out, key: [campaignId] }
";

/// A host that runs pipelines as they were applied, and the Python that drives the browser; none if there is no browser.
fn start() -> Result<Option<(Azenha, Running, String)>> {
    let Ok(python) = env::var("AZENHA_TEST_BROWSER") else {
        println!("skipped: AZENHA_TEST_BROWSER is not set");
        return Ok(None);
    };
    let azenha = Azenha::new()?;
    let config = azenha.write("host.yaml", CONFIG)?.display().to_string();
    let mut host = azenha.start(&[], &["--config", &config])?;
    let server = format!("http://{}", host.address);
    let environment = [("AZENHA_SERVER", server.as_str()), ("AZENHA_TOKEN", TOKEN)];
    for (name, text) in [("counted", COUNTED), ("tried", TRIED), ("unruly", UNRULY)] {
        let pipeline = azenha.write(&format!("{name}/pipeline.yaml"), text)?.display().to_string();
        let applied = azenha.run_with(["pipeline", "apply", &pipeline], &environment)?;
        ensure!(applied.status.success(), "{}", applied.text());
    }
    host.wait_until("the pipelines run", |host| Ok(get(&host.address, "/readyz")?.status == 200))?;
    Ok(Some((azenha, host, python)))
}

fn run(script: &str, arguments: &[&str]) -> Result<()> {
    let Some((_azenha, host, python)) = start()? else { return Ok(()) };
    let mut command = Command::new(python);
    command.arg(repository().join("tests/e2e/console").join(script)).args(arguments);
    command.env("AZENHA_SERVER", format!("http://{}", host.address)).env("AZENHA_TOKEN", TOKEN);
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    command.env("AZENHA_TEST_PLUGINS", target.join("plugins")).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{script}: {said}\n{}", host.log());
    Ok(())
}

#[test]
fn the_graph_connects_what_the_tasks_read_and_write_and_says_what_plugins_read() -> Result<()> {
    let azenha = Azenha::new()?;
    let pipeline = azenha.write("counted/pipeline.yaml", COUNTED)?;
    let host = azenha.start(&[&pipeline], &[])?;
    let graph = get(&host.address, "/pipelines/counted/graph")?.json()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let edges: BTreeSet<String> = graph["edges"]
        .as_array()
        .context("no edges")?
        .iter()
        .map(|edge| format!("{} -> {}", text(&edge["from"]), text(&edge["to"])))
        .collect();
    let expected = [
        "topic/clicks_in -> task/kept_out",
        "task/kept_out -> topic/kept_out",
        "topic/clicks_in -> task/counts.fold",
        "task/counts.fold -> topic/azenha.counted.counts.exchange",
        "topic/azenha.counted.counts.exchange -> task/counts",
        "task/counts -> topic/counts_out",
        "topic/counts_out -> task/warehouse",
        "task/warehouse -> store/warehouse/click_counts",
    ];
    assert_eq!(edges, expected.map(str::to_owned).into());
    let nodes = graph["nodes"].as_array().context("no nodes")?;
    let node = |id: &str| nodes.iter().find(|node| node["id"] == id).context("no such node");
    let kinds =
        ["topic/clicks_in", "topic/kept_out", "topic/azenha.counted.counts.exchange", "store/warehouse/click_counts"];
    let kinds = kinds.map(|id| node(id).map(|node| text(&node["kind"])).unwrap_or_default());
    assert_eq!(kinds, ["source", "topic", "internal", "table"]);
    let steps = &node("task/counts.fold")?["steps"];
    assert_eq!(
        steps[0],
        json!({ "name": "kept", "plugin": "filter", "reads": [{ "name": "campaignId", "personal": false }] })
    );
    assert_eq!((&steps[1]["name"], &steps[1]["plugin"]), (&json!("counts"), &json!("click-count")));
    assert_eq!(get(&host.address, "/pipelines/none/graph")?.status, 404);
    Ok(())
}

#[test]
fn a_person_sees_and_changes_what_runs_and_nothing_goes_wrong_in_the_browser() -> Result<()> {
    run("sees.py", &[])
}

#[test]
fn a_person_watches_what_a_candidate_does_differently_and_promotes_or_discards_it() -> Result<()> {
    run("tries.py", &[])
}

#[test]
fn a_person_replays_what_failed_and_tries_a_mended_plugin_on_it() -> Result<()> {
    run("replays.py", &[])
}

#[test]
fn the_first_page_says_what_somebody_has_to_look_at() -> Result<()> {
    run("night.py", &[])
}

#[test]
fn every_page_fits_on_a_phone_and_can_be_read_in_light_and_dark() -> Result<()> {
    run("looks.py", &[])
}

#[test]
fn everything_is_reached_by_keyboard() -> Result<()> {
    run("keyboard.py", &[])
}

#[test]
#[ignore = "it makes the pictures of docs/console.md anew"]
fn pictures_of_the_documentation() -> Result<()> {
    run("pictures.py", &[&repository().join("docs/images").display().to_string()])
}
