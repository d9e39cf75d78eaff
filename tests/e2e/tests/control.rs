//! What a group of hosts runs is defined through the API, and kept in the log.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Answer, Azenha, Click, Database, Running, get, post, repository, send};
use serde_json::{Value, json};

const READER: &str = "reader-0123456789";
const WRITER: &str = "writer-0123456789";
const ADMIN: &str = "admin-0123456789";

const TOKENS: &str = "
http:
  tokens:
    - { name: reader, token: reader-0123456789, rights: [read] }
    - { name: writer, token: writer-0123456789, rights: [read, write] }
    - { name: admin, token: admin-0123456789, rights: [read, write, plugins] }
";

/// Copies clicks to a table that holds each as often as it was written.
const COPY: &str = "name: copy
sources:
  clicks: { topic: copied, partitions: 2, partitioned_by: [campaignId], schema: { campaignId: text, timestamp: timestamp(ms) } }
sinks:
  output: { from: clicks, topic: copy_output }
  rows: { from: clicks, connection: warehouse, table: rows }
";

/// Counts clicks with plugins.
const COUNTED: &str = "name: counted
sources:
  clicks: { topic: clicks_in, schema: { campaignId: text, timestamp: timestamp(ms) } }
steps:
  kept: { transform: filter, from: clicks, config: { column: campaignId, present: true } }
  counts: { aggregate: click-count, from: kept, by: [campaignId] }
sinks:
  counts_output: { from: counts, topic: counts_output, key: [campaignId] }
  warehouse: { from: counts_output, connection: warehouse, table: counts, key: [campaignId] }
";

/// A host with tokens, that runs what the log defines.
fn start(azenha: &Azenha) -> Result<Running> {
    let config = azenha.write("host.yaml", TOKENS)?;
    azenha.start(&[], &["--config", &config.display().to_string()])
}

fn call(host: &Running, token: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
    let bearer = format!("Bearer {token}");
    send(&host.address, method, path, &[headers, &[("Authorization", &bearer)]].concat(), body.as_bytes())
}

fn put(host: &Running, name: &str, definition: &str, more: &[(&str, &str)]) -> Result<Answer> {
    let headers = [&[("Content-Type", "application/yaml")], more].concat();
    call(host, WRITER, "PUT", &format!("/pipelines/{name}"), &headers, definition)
}

fn show(host: &Running, path: &str) -> Result<Value> {
    let answer = call(host, READER, "GET", path, &[], "")?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    answer.json()
}

fn change(host: &Running, what: &str) -> Result<Answer> {
    call(host, WRITER, "POST", &format!("/pipelines/{what}"), &[], "")
}

fn await_state(host: &mut Running, name: &str, state: &str) -> Result<()> {
    host.wait_until(&format!("{name} is {state}"), |host| {
        Ok(show(host, &format!("/pipelines/{name}"))?["state"] == state)
    })
}

/// Sends one click of each campaign.
fn click(host: &Running, topic: &str, campaigns: &[&str]) -> Result<()> {
    let click = |campaign: &&str| Click { campaign: (*campaign).to_owned(), timestamp: 1_700_000_000_000 }.json();
    let body = campaigns.iter().map(click).collect::<Vec<_>>().join("\n");
    let kind = [("Content-Type", "application/x-ndjson")];
    let answer = call(host, WRITER, "POST", &format!("/topics/{topic}/records"), &kind, &body)?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

/// Waits until a query of the warehouse gives a number.
async fn await_number(azenha: &Azenha, sql: &str, expected: i64) -> Result<()> {
    let mut database = Database::open(&azenha.data().join("warehouse.db")).await?;
    let mut found = None;
    for _ in 0..1_500 {
        found = database.number(sql).await;
        if found == Some(expected) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    anyhow::bail!("`{sql}` gives {found:?} instead of {expected}")
}

/// A command of `azenha` against a host.
fn client(azenha: &Azenha, host: &Running, token: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = azenha.command(arguments)?;
    command.env("AZENHA_SERVER", format!("http://{}", host.address)).env("AZENHA_TOKEN", token);
    Ok(command.output()?)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The component of one of the repository's plugins.
fn component(azenha: &Azenha, name: &str) -> Result<Vec<u8>> {
    // Checking a pipeline that names it builds it, if that has to be.
    let pipeline = azenha.write("counted/pipeline.yaml", COUNTED)?;
    azenha.succeed(["validate", &pipeline.display().to_string()])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let file = target.join("plugins").join(format!("{name}.wasm"));
    fs::read(&file).with_context(|| file.display().to_string())
}

/// The same plugin in more bytes: a custom section that nobody reads.
fn longer(plugin: &[u8], bytes: usize) -> Vec<u8> {
    let content = [&[7_u8], &b"padding"[..], &vec![0; bytes]].concat();
    let mut section = vec![0];
    let mut length = content.len();
    while length >= 0x80 {
        section.push(length as u8 | 0x80);
        length >>= 7;
    }
    section.push(length as u8);
    [plugin, &section, &content].concat()
}

fn upload(host: &Running, token: &str, name: &str, bytes: &[u8]) -> Result<Answer> {
    let bearer = format!("Bearer {token}");
    send(&host.address, "PUT", &format!("/plugins/{name}"), &[("Authorization", &bearer)], bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_survive_a_kill_and_deleted_pipelines_stay_deleted() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    let created = put(&host, "copy", COPY, &[])?;
    assert_eq!((created.status, created.etag.as_deref()), (201, Some("\"1\"")), "{created:?}");
    let other =
        COPY.replace("name: copy", "name: other").replace("copy_output", "other_output").replace("rows", "others");
    assert_eq!(put(&host, "other", &other, &[])?.status, 201);
    await_state(&mut host, "copy", "running")?;
    click(&host, "copied", &["spring", "summer"])?;
    await_number(&azenha, "SELECT COUNT(*) FROM rows", 2).await?;
    let deleted = call(&host, WRITER, "DELETE", "/pipelines/other", &[], "")?;
    assert!(deleted.status == 200 && deleted.json()?["note"].as_str().is_some_and(|note| note.contains("stay")));
    host.kill()?;

    let mut host = start(&azenha)?;
    assert_eq!(call(&host, READER, "GET", "/pipelines/other", &[], "")?.status, 404);
    let copy = show(&host, "/pipelines/copy")?;
    assert_eq!((&copy["version"], &copy["definition"]["text"]), (&json!(1), &json!(COPY)));
    assert_eq!(copy["definition"]["by"], "writer");
    await_state(&mut host, "copy", "running")?;
    click(&host, "copied", &["autumn"])?;
    await_number(&azenha, "SELECT COUNT(*) FROM rows", 3).await?;
    // One that is defined anew goes on where the deleted one stopped.
    let again = put(&host, "other", &other, &[("If-None-Match", "*")])?;
    assert_eq!((again.status, again.etag.as_deref()), (201, Some("\"3\"")), "{again:?}");
    await_number(&azenha, "SELECT COUNT(*) FROM others", 3).await
}

#[test]
fn a_wrong_definition_changes_nothing_and_says_where_it_is_wrong() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    assert_eq!(put(&host, "copy", COPY, &[])?.status, 201);
    await_state(&mut host, "copy", "running")?;
    let wrong = COPY.replace("{ from: clicks, connection", "{ from: klicks, connection");
    let refused = put(&host, "copy", &wrong, &[])?;
    assert_eq!(refused.status, 422, "{refused:?}");
    let found = &refused.json()?["diagnostics"][0];
    assert_eq!((&found["line"], &found["column"]), (&json!(6), &json!(17)), "{found}");
    assert!(found["help"].as_str().is_some_and(|help| help.contains("`clicks`")), "{found}");
    for (name, definition, status) in [
        ("another", COPY, 422),
        ("copy", "name: copy", 422),
        ("copy", &COPY.replace("topic: copied", "topic: azenha.definitions"), 422),
        ("copy", &COPY.replace("partitions: 2", "partitions: 3"), 422),
        ("copy", &format!("{COPY}# {}", "x".repeat(300 << 10)), 413),
    ] {
        assert_eq!(put(&host, name, definition, &[])?.status, status, "{name}: {:.100}", definition);
    }
    let no_yaml = call(&host, WRITER, "PUT", "/pipelines/copy", &[("Content-Type", "text/plain")], COPY)?;
    assert_eq!(no_yaml.status, 415);
    let unknown_plugin = put(&host, "counted", COUNTED, &[])?;
    assert!(
        unknown_plugin.status == 422 && unknown_plugin.body.contains("azenha plugin push filter"),
        "{unknown_plugin:?}"
    );
    let copy = show(&host, "/pipelines/copy")?;
    assert_eq!((&copy["version"], &copy["state"]), (&json!(1), &json!("running")));
    assert_eq!(show(&host, "/pipelines")?.as_array().map(Vec::len), Some(1));
    Ok(())
}

#[test]
fn a_change_is_made_only_of_the_version_that_it_is_meant_for() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha)?;
    let versions = |header: &'static str, value: &'static str, definition: &str| -> Result<(u16, Option<String>)> {
        let answer = put(&host, "copy", definition, &[(header, value)])?;
        Ok((answer.status, answer.etag))
    };
    let changed = COPY.replace("table: rows", "table: other_rows");
    assert_eq!(versions("If-Match", "\"1\"", COPY)?.0, 412);
    assert_eq!(versions("If-None-Match", "*", COPY)?, (201, Some("\"1\"".to_owned())));
    assert_eq!(versions("If-None-Match", "*", &changed)?.0, 412);
    assert_eq!(versions("If-Match", "\"1\"", &changed)?, (200, Some("\"2\"".to_owned())));
    assert_eq!(versions("If-Match", "\"1\"", COPY)?.0, 412);
    assert_eq!(versions("If-Match", "*", &changed)?, (200, Some("\"2\"".to_owned())), "what is the same is no change");
    Ok(())
}

#[test]
fn a_definition_may_be_json_too() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    let definition = json!({
        "name": "copy",
        "sources": { "clicks": { "topic": "copied", "schema": { "campaignId": "text" } } },
        "sinks": { "output": { "from": "clicks", "topic": "copy_output" } },
    });
    let as_json = [("Content-Type", "application/json")];
    let text = format!("{definition:#}");
    assert_eq!(call(&host, WRITER, "PUT", "/pipelines/copy", &as_json, &text)?.status, 201);
    await_state(&mut host, "copy", "running")?;
    let wrong = text.replace("\"from\": \"clicks\"", "\"from\": \"klicks\"").replace("  ", "\t");
    let refused = call(&host, WRITER, "PUT", "/pipelines/copy", &as_json, &wrong)?;
    assert_eq!((refused.status, &refused.json()?["diagnostics"][0]["line"]), (422, &json!(5)), "{refused:?}");
    Ok(())
}

#[test]
fn of_many_writers_of_one_version_one_wins() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha)?;
    put(&host, "copy", COPY, &[])?;
    let texts: Vec<String> =
        (0..8).map(|number| COPY.replace("table: rows", &format!("table: rows_{number}"))).collect();
    let (address, bearer) = (host.address.as_str(), format!("Bearer {WRITER}"));
    let headers = [("Content-Type", "application/yaml"), ("If-Match", "\"1\""), ("Authorization", bearer.as_str())];
    let write = |text: &String| send(address, "PUT", "/pipelines/copy", &headers, text.as_bytes());
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let writers: Vec<_> = texts.iter().map(|text| scope.spawn(move || write(text))).collect();
        let status = |written: Result<Answer>| written.map_or(0, |answer| answer.status);
        writers.into_iter().map(|writer| writer.join().map_or(0, status)).collect()
    });
    let counted = statuses.iter().fold(BTreeMap::<u16, usize>::new(), |mut counted, status| {
        *counted.entry(*status).or_default() += 1;
        counted
    });
    assert_eq!(counted, BTreeMap::from([(200, 1), (412, 7)]));
    assert_eq!(show(&host, "/pipelines/copy")?["version"], 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_the_command_line_applies_counts_clicks() -> Result<()> {
    let azenha = Azenha::new()?;
    let mut host = start(&azenha)?;
    let file = azenha.write("counted/pipeline.yaml", COUNTED)?.display().to_string();
    let refused = client(&azenha, &host, WRITER, &["pipeline", "apply", &file])?;
    assert!(refused.status.code() == Some(1) && said(&refused).contains("the right `plugins`"), "{}", said(&refused));
    let applied = client(&azenha, &host, ADMIN, &["pipeline", "apply", &file])?;
    assert!(applied.status.success() && said(&applied).contains("version 1"), "{}", said(&applied));
    await_state(&mut host, "counted", "running")?;
    click(&host, "clicks_in", &["spring", "autumn", "spring"])?;
    await_number(&azenha, "SELECT click_count FROM counts WHERE campaignId = 'spring'", 2).await?;

    let again = client(&azenha, &host, ADMIN, &["pipeline", "apply", &file])?;
    assert_eq!(said(&again), "pipeline `counted`: version 1\n", "nothing was changed");
    let list = said(&client(&azenha, &host, READER, &["pipeline", "list"])?);
    assert!(list.contains("counted") && list.contains("running"), "{list}");
    let status = said(&client(&azenha, &host, READER, &["pipeline", "status", "counted"])?);
    assert!(status.contains("counts_output") || status.contains("warehouse"), "{status}");
    let plugins = said(&client(&azenha, &host, READER, &["plugin", "list"])?);
    assert!(plugins.contains("click-count") && plugins.contains("filter"), "{plugins}");

    let wrong = azenha.write("wrong.yaml", &COUNTED.replace("from: kept,", "from: keptt,"))?.display().to_string();
    let (applied, validated) =
        (client(&azenha, &host, ADMIN, &["pipeline", "apply", &wrong])?, azenha.run(["validate", &wrong])?);
    assert_eq!((applied.status.code(), said(&applied)), (Some(1), validated.stderr));
    for (command, state) in [("pause", "paused"), ("resume", "running"), ("restart", "running")] {
        let output = client(&azenha, &host, WRITER, &["pipeline", command, "counted"])?;
        assert!(output.status.success(), "{}", said(&output));
        await_state(&mut host, "counted", state)?;
    }
    click(&host, "clicks_in", &["spring"])?;
    await_number(&azenha, "SELECT click_count FROM counts WHERE campaignId = 'spring'", 3).await?;
    let deleted = said(&client(&azenha, &host, WRITER, &["pipeline", "delete", "counted"])?);
    assert!(deleted.contains("deleted"), "{deleted}");
    let unknown = client(&azenha, &host, WRITER, &["pipeline", "pause", "counted"])?;
    assert!(unknown.status.code() == Some(1) && said(&unknown).contains("`counted`"), "{}", said(&unknown));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_pipeline_stays_paused_and_loses_nothing() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    put(&host, "copy", COPY, &[])?;
    await_state(&mut host, "copy", "running")?;
    click(&host, "copied", &["spring"])?;
    await_number(&azenha, "SELECT COUNT(*) FROM rows", 1).await?;
    assert_eq!(change(&host, "copy/pause")?.status, 200);
    await_state(&mut host, "copy", "paused")?;
    click(&host, "copied", &["summer", "autumn"])?;
    host.terminate()?;

    let mut host = start(&azenha)?;
    assert_eq!(show(&host, "/pipelines/copy")?["state"], "paused");
    await_number(&azenha, "SELECT COUNT(*) FROM rows", 1).await?;
    let lag: u64 = offsets(&host, "copy")?
        .iter()
        .filter(|lane| lane["task"] == "rows")
        .filter_map(|lane| lane["lag"].as_u64())
        .sum();
    assert_eq!(lag, 2);
    assert_eq!(change(&host, "copy/resume")?.status, 200);
    await_state(&mut host, "copy", "running")?;
    await_number(&azenha, "SELECT COUNT(*) FROM rows", 3).await?;
    assert_eq!(change(&host, "nobody/pause")?.status, 404);
    Ok(())
}

fn offsets(host: &Running, pipeline: &str) -> Result<Vec<Value>> {
    let offsets = show(host, &format!("/pipelines/{pipeline}/offsets"))?;
    offsets.as_array().cloned().context("no offsets")
}

fn set_offsets(host: &Running, pipeline: &str, offsets: &Value) -> Result<Answer> {
    let kind = [("Content-Type", "application/json")];
    call(host, WRITER, "PATCH", &format!("/pipelines/{pipeline}/offsets"), &kind, &offsets.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_sink_can_be_sent_back_and_forth() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    put(&host, "copy", COPY, &[])?;
    await_state(&mut host, "copy", "running")?;
    let campaigns: Vec<String> = (0..20).map(|number| format!("campaign_{number}")).collect();
    click(&host, "copied", &campaigns.iter().map(String::as_str).collect::<Vec<_>>())?;
    await_number(&azenha, "SELECT COUNT(*) FROM rows", 20).await?;
    let start_over =
        json!([{ "task": "rows", "partition": 1, "position": 0 }, { "task": "output", "partition": 1, "position": 0 }]);
    assert_eq!(set_offsets(&host, "copy", &start_over)?.status, 409, "it runs");
    change(&host, "copy/pause")?;
    await_state(&mut host, "copy", "paused")?;
    for (wrong, status) in [
        (json!([{ "task": "nobody", "partition": 0, "position": 0 }]), 422),
        (json!([{ "task": "rows", "partition": 2, "position": 0 }]), 422),
        (json!([{ "task": "rows", "partition": 0, "position": 100 }]), 422),
        (json!([{ "task": "rows", "partition": 0 }]), 422),
    ] {
        assert_eq!(set_offsets(&host, "copy", &wrong)?.status, status, "{wrong}");
    }
    let moved = set_offsets(&host, "copy", &start_over)?;
    assert_eq!(moved.status, 200, "{moved:?}");
    let lanes = offsets(&host, "copy")?;
    let position = |task: &str, partition: u64| {
        let lane = lanes.iter().find(|lane| lane["task"] == task && lane["partition"] == partition);
        lane.map(|lane| (lane["position"].as_u64(), lane["end"].as_u64()))
    };
    let again = position("rows", 1).and_then(|(_, end)| end).context("no lane")?;
    assert!(again > 0, "every campaign is in one partition");
    assert_eq!(position("rows", 1).and_then(|(position, _)| position), Some(0));
    assert_eq!(position("rows", 0).map(|(position, end)| position == end), Some(true), "the other lane stays");
    change(&host, "copy/resume")?;
    await_number(&azenha, "SELECT COUNT(*) FROM rows", 20 + again as i64).await?;
    await_state(&mut host, "copy", "running")?;
    host.wait_until("everything is written", |host| Ok(offsets(host, "copy")?.iter().all(|lane| lane["lag"] == 0)))?;
    assert_eq!(azenha.topic("copy_output")?.len() as u64, 20 + again);
    assert_eq!(show(&host, "/pipelines/copy")?["definition"]["generation"], 1);
    Ok(())
}

#[test]
fn a_step_with_state_is_not_sent_back() -> Result<()> {
    let azenha = Azenha::new()?;
    let mut host = start(&azenha)?;
    let file = azenha.write("counted/pipeline.yaml", COUNTED)?.display().to_string();
    ensure!(client(&azenha, &host, ADMIN, &["pipeline", "apply", &file])?.status.success());
    change(&host, "counted/pause")?;
    await_state(&mut host, "counted", "paused")?;
    let refused = set_offsets(&host, "counted", &json!([{ "task": "counts", "partition": 0, "position": 0 }]))?;
    assert!(
        refused.status == 409 && refused.body.contains("keeps state") && refused.body.contains("another name"),
        "{refused:?}"
    );
    Ok(())
}

#[test]
fn a_plugin_is_uploaded_only_by_who_may_and_only_if_it_is_one() -> Result<()> {
    let azenha = Azenha::new()?;
    let plugin = component(&azenha, "filter")?;
    let host = start(&azenha)?;
    for (token, name, bytes, status) in [
        (WRITER, "filter", &plugin[..], 403),
        ("nobody-0123456789", "filter", &plugin, 401),
        (ADMIN, "Filter", &plugin, 422),
        (ADMIN, "filter", b"no plugin", 422),
        (ADMIN, "filter", &plugin[..plugin.len() / 2], 422),
        (ADMIN, "filter", &longer(&plugin, 17 << 20), 413),
    ] {
        let answer = upload(&host, token, name, bytes)?;
        assert_eq!(answer.status, status, "{token} {name} {}: {answer:?}", bytes.len());
        assert!(!answer.body.contains("0123456789"), "a token is repeated: {answer:?}");
    }
    assert_eq!(show(&host, "/plugins")?, json!([]));
    let uploaded = upload(&host, ADMIN, "filter", &plugin)?;
    assert_eq!(uploaded.status, 200, "{uploaded:?}");
    let detail = uploaded.json()?;
    assert_eq!((&detail["size"], &detail["world"]), (&json!(plugin.len()), &json!("transform")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_goes_on_with_the_bytes_that_it_was_defined_with() -> Result<()> {
    let azenha = Azenha::new()?;
    let (filter, count) = (component(&azenha, "filter")?, component(&azenha, "click-count")?);
    let mut host = start(&azenha)?;
    // More than fits into one record of the log.
    let long = longer(&filter, 3 << 20);
    let first = upload(&host, ADMIN, "filter", &long)?.json()?["digest"].clone();
    upload(&host, ADMIN, "click-count", &count)?;
    let pieces = azenha.topic("azenha.plugins")?.len();
    upload(&host, ADMIN, "filter", &long)?;
    assert_eq!(azenha.topic("azenha.plugins")?.len(), pieces + 1, "the same bytes are written once");
    assert_eq!(put(&host, "counted", COUNTED, &[])?.status, 201);
    await_state(&mut host, "counted", "running")?;

    let second = upload(&host, ADMIN, "filter", &filter)?.json()?;
    assert_eq!((&second["used_by"], &second["earlier_used_by"]), (&json!([]), &json!(["counted"])));
    host.kill()?;
    let mut host = start(&azenha)?;
    await_state(&mut host, "counted", "running")?;
    let plugins = |host: &Running| {
        Ok::<_, anyhow::Error>(show(host, "/pipelines/counted")?["definition"]["plugins"]["filter"].clone())
    };
    assert_eq!(plugins(&host)?, first);
    click(&host, "clicks_in", &["spring"])?;
    await_number(&azenha, "SELECT click_count FROM counts WHERE campaignId = 'spring'", 1).await?;
    let anew = put(&host, "counted", COUNTED, &[])?;
    assert_eq!((anew.status, anew.etag.as_deref()), (200, Some("\"2\"")));
    assert_eq!(plugins(&host)?, second["digest"]);
    Ok(())
}

#[test]
fn without_tokens_nobody_uploads_and_no_other_site_may_ask() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = azenha.start(&[], &[])?;
    let refused = send(&host.address, "PUT", "/plugins/filter", &[], b"\0asm")?;
    assert!(refused.status == 403 && refused.body.contains("tokens"), "{refused:?}");
    let yaml = ("Content-Type", "application/yaml");
    let from_a_page =
        send(&host.address, "PUT", "/pipelines/copy", &[yaml, ("Origin", "https://shop.example")], COPY.as_bytes())?;
    assert_eq!(from_a_page.status, 403);
    assert_eq!(send(&host.address, "PUT", "/pipelines/copy", &[yaml], COPY.as_bytes())?.status, 201);
    for topic in ["azenha.definitions", "azenha.plugins", "copy_output"] {
        let answer = post(&host.address, &format!("/topics/{topic}/records"), "application/json", "[{}]")?;
        assert_eq!(answer.status, 404, "{topic}");
    }
    Ok(())
}

#[test]
fn beyond_this_machine_the_host_listens_only_with_tokens() -> Result<()> {
    let azenha = Azenha::empty()?;
    let data = azenha.data().display().to_string();
    let refused = azenha.run(["run", "--data", &data, "--listen", "0.0.0.0:0"])?;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("tokens"), "{refused:?}");

    let config = azenha.write("host.yaml", TOKENS)?.display().to_string();
    let mut host = azenha.start(&[], &["--config", &config])?;
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/docs", 200), ("/metrics", 401), ("/pipelines", 401)] {
        assert_eq!(get(&host.address, path)?.status, status, "{path}");
    }
    host.terminate()?;
    let port = host.address.rsplit(':').next().context("no port")?.to_owned();
    let mut host =
        azenha.spawn(["run", "--data", &data, "--config", &config, "--listen", &format!("0.0.0.0:{port}")])?;
    host.address = format!("127.0.0.1:{port}");
    host.wait_until("the host is ready", |host| {
        Ok(get(&host.address, "/readyz").is_ok_and(|answer| answer.status == 200))
    })?;
    assert_eq!(call(&host, READER, "GET", "/pipelines", &[], "")?.status, 200);
    Ok(())
}

#[test]
fn a_definition_that_does_not_start_is_shown_and_the_others_run() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    put(&host, "copy", COPY, &[])?;
    let plain = "name: plain\nsources:\n  clicks: { topic: copied, schema: { campaignId: text } }\n\
                 sinks:\n  output: { from: clicks, topic: plain_output }\n";
    let refused = put(&host, "plain", plain, &[])?;
    assert_eq!(refused.status, 201, "{refused:?}");
    host.terminate()?;

    let config = azenha.write("host.yaml", &format!("{TOKENS}connections: {{}}\n"))?.display().to_string();
    let mut host = azenha.start(&[], &["--config", &config])?;
    let copy = show(&host, "/pipelines/copy")?;
    assert_eq!(copy["state"], "failed", "{copy}");
    assert!(
        copy["error"].as_str().is_some_and(|error| error.contains("copy:6:") && error.contains("`warehouse`")),
        "{copy}"
    );
    await_state(&mut host, "plain", "running")
}

#[test]
fn a_file_and_the_log_do_not_define_one_pipeline() -> Result<()> {
    let azenha = Azenha::empty()?;
    let file = azenha.write("copy/pipeline.yaml", COPY)?;
    let config = azenha.write("host.yaml", TOKENS)?.display().to_string();
    let mut host = azenha.start(&[Path::new(&file)], &["--config", &config])?;
    for answer in [put(&host, "copy", COPY, &[])?, change(&host, "copy/pause")?] {
        assert!(answer.status == 409 && answer.body.contains("pipeline.yaml"), "{answer:?}");
    }
    host.terminate()?;
    let mut host = start(&azenha)?;
    assert_eq!(put(&host, "copy", COPY, &[])?.status, 201);
    host.terminate()?;
    let data = azenha.data().display().to_string();
    let refused = azenha.run(["run", &file.display().to_string(), "--data", &data, "--once"])?;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("azenha pipeline delete copy"), "{refused:?}");
    Ok(())
}
