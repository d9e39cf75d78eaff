//! New code is on probation, and not the version of the pipeline that it came with; what is not to be trusted is gone back
//! from.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Stage, TOKEN, definition, post_rows, tagged};

/// Has a version come into force that traps on every row, and waits until version 3 has counted each of them by the code of
/// before.
fn gone_back_from(plugin: &str) -> Result<Stage> {
    let mut stage = Stage::set()?;
    stage.send(500)?;
    stage.settle()?;
    ensure!(stage.put(&definition(plugin, "{ tag: b, fails: true }"), "")?.status == 200);
    stage.await_version(2)?;
    stage.send(2_000)?;
    stage.await_version(3)?;
    stage.send(100)?;
    stage.settle()?;
    stage.check_counts(0)?;
    Ok(stage)
}

#[test]
fn a_version_that_traps_on_everything_goes_back_by_itself_and_nothing_is_lost() -> Result<()> {
    let mut stage = gone_back_from("tagged-count")?;
    ensure!(stage.azenha.dead_letters("counted")?.is_empty(), "records that the bad version met are not lost");
    let versions = stage.versions()?;
    let note = versions.last().context("no version")?["note"].clone();
    ensure!(["by itself", "version 2"].iter().all(|words| note.to_string().contains(words)), "{note}");
    let listed = stage.show("/pipelines")?[0].clone();
    ensure!(listed["note"] == note && listed["version"] == 3 && listed["lag"] == 0, "{listed}");
    let went_back = |stage: &Stage| {
        let changes = stage.show("/audit")?["entries"].take();
        let by_itself = |entry: &&Value| entry["role"] == "host";
        Ok::<Vec<Value>, anyhow::Error>(changes.as_array().into_iter().flatten().filter(by_itself).cloned().collect())
    };
    stage.wait_until("it is written down", |stage| Ok(!went_back(stage)?.is_empty()))?;
    let entries = went_back(&stage)?;
    ensure!(entries.len() == 1 && entries[0]["version"] == "3" && entries[0].get("by").is_none(), "{entries:?}");
    ensure!(entries[0]["path"] == "/pipelines/counted/rollback?to=1", "{entries:?}");

    // Whoever trusts it at once has lanes that stand still, until a person goes back.
    ensure!(stage.put(&definition("tagged-count", "{ tag: b, fails: true }"), "?probation=0")?.status == 200);
    stage.await_version(4)?;
    stage.send(2_000)?;
    stage.wait_until("a lane has failed", |stage| Ok(stage.lanes()?.iter().any(|lane| lane["state"] == "failed")))?;
    let listed = stage.show("/pipelines")?[0].clone();
    ensure!(listed["state"] == "failed" && listed["error"].is_string(), "{listed}");
    let back = stage.call("POST", "/pipelines/counted/rollback", "", b"")?;
    ensure!(back.status == 200, "{back:?}");
    stage.await_version(5)?;
    stage.settle()?;
    stage.check_counts(0)
}

#[test]
fn whoever_applies_a_version_can_wait_for_it_and_is_told_if_it_is_gone_back_from() -> Result<()> {
    let mut stage = Stage::set()?;
    let server = format!("http://{}", stage.host()?.address);
    let environment = [("AZENHA_SERVER", server.as_str()), ("AZENHA_TOKEN", TOKEN)];
    let file = |stage: &Stage, definition: &str| stage.azenha.write("built/pipeline.yaml", definition);
    let good = file(&stage, &tagged("b"))?.display().to_string();
    let good = stage.azenha.run_with(["pipeline", "apply", &good, "--wait", "2"], &environment)?;
    ensure!(good.status.success(), "{}", good.text());
    stage.await_version(2)?;

    let bad = file(&stage, &definition("tagged-count", "{ tag: c, fails: true }"))?.display().to_string();
    let mut bad = stage.azenha.spawn_with(["pipeline", "apply", &bad, "--wait", "60"], &environment)?;
    let status = loop {
        if let Some(status) = bad.ended()? {
            break status;
        }
        stage.send(100)?;
        std::thread::sleep(Duration::from_millis(50));
    };
    // What it said last may be on its way.
    std::thread::sleep(Duration::from_millis(500));
    let said = bad.log();
    ensure!(status.code() == Some(1) && said.contains("version 4 is in force") && said.contains("by itself"), "{said}");
    stage.settle()?;
    stage.check_counts(0)
}

#[test]
fn a_version_that_has_migrated_the_state_and_then_fails_goes_back_by_itself_to_the_state_before() -> Result<()> {
    let stage = gone_back_from("tagged-count-next")?;
    ensure!(stage.last("tag")?.values().all(|tag| tag == "a"), "{:?}", stage.last("tag")?);
    // Nobody is taken back to what failed.
    let refused = stage.call("POST", "/pipelines/counted/rollback", "", b"")?;
    assert_eq!(refused.status, 404, "{refused:?}");
    Ok(())
}

/// Two steps count the same rows, each with a configuration of its own.
fn two(counts: &str, others: &str) -> String {
    let more = format!(
        "  others: {{ aggregate: tagged-count, from: rows, by: [device], config: {others} }}
sinks:
  others_output: {{ from: others, topic: others_output, key: [device] }}
"
    );
    definition("tagged-count", counts).replace("sinks:\n", &more)
}

/// A host on which two steps count.
fn stage(counts: &str, others: &str) -> Result<Stage> {
    let definition = two(counts, others);
    let stage = Stage::with_plugins(&[("tagged-count", definition.clone())])?;
    ensure!(stage.put(&definition, "")?.status == 201);
    Ok(stage)
}

/// Waits until the lanes of a step run a version.
fn await_step(stage: &mut Stage, step: &str, version: u64) -> Result<()> {
    stage.wait_until(&format!("{step} runs version {version}"), |stage| {
        let lanes = stage.lanes_of(|task| task == step || task == format!("{step}.fold"))?;
        let runs = |lane: &Value| lane["version"] == version && lane["state"] == "running";
        Ok(lanes.len() == 8 && lanes.iter().all(runs))
    })
}

#[test]
fn code_that_fails_is_gone_back_from_though_a_later_version_has_changed_something_else_meanwhile() -> Result<()> {
    let mut stage = stage("{ tag: a }", "{ tag: a }")?;
    await_step(&mut stage, "others", 1)?;
    stage.send(500)?;
    stage.settle()?;
    ensure!(stage.put(&two("{ tag: b, fails: true }", "{ tag: a }"), "")?.status == 200);
    await_step(&mut stage, "counts", 2)?;
    ensure!(stage.put(&two("{ tag: b, fails: true }", "{ tag: c }"), "")?.status == 200);
    await_step(&mut stage, "others", 3)?;
    stage.send(2_000)?;
    await_step(&mut stage, "counts", 4)?;
    stage.settle()?;
    stage.check_counts(0)?;
    ensure!(stage.azenha.dead_letters("counted")?.is_empty(), "records that the bad code met are not lost");
    let versions = stage.versions()?;
    let note = versions.last().context("no version")?["note"].to_string();
    ensure!(versions.len() == 4 && note.contains("back to version 1") && note.contains("version 2"), "{note}");
    Ok(())
}

#[test]
fn code_that_was_there_before_is_not_on_probation_when_another_step_changes() -> Result<()> {
    let mut stage = stage("{ tag: a, fails: true }", "{ tag: a }")?;
    await_step(&mut stage, "others", 1)?;
    stage.send(200)?;
    stage.settle()?;
    ensure!(stage.put(&two("{ tag: a, fails: true }", "{ tag: b }"), "?probation=10")?.status == 200);
    await_step(&mut stage, "others", 2)?;
    // Whoever opens its lanes anew knows that it has failed all along.
    stage.host.take().context("no host")?.kill()?;
    stage.start()?;
    await_step(&mut stage, "counts", 2)?;
    stage.send(200)?;
    stage.settle()?;
    ensure!(stage.versions()?.len() == 2, "{:?}", stage.versions()?);
    ensure!(stage.azenha.dead_letters("counted")?.len() == 400);
    Ok(())
}

#[test]
fn a_version_that_fails_on_everything_loses_nothing_though_rows_come_one_by_one() -> Result<()> {
    let mut stage = Stage::set()?;
    stage.send(100)?;
    stage.settle()?;
    ensure!(stage.put(&definition("tagged-count", "{ tag: b, fails: true }"), "")?.status == 200);
    stage.await_version(2)?;
    while stage.versions()?.len() == 2 {
        ensure!(stage.sent < 1_000, "nobody goes back");
        stage.send(1)?;
        thread::sleep(Duration::from_millis(100));
    }
    stage.await_version(3)?;
    stage.send(20)?;
    stage.settle()?;
    stage.check_counts(0)?;
    ensure!(stage.azenha.dead_letters("counted")?.is_empty(), "rows that came one by one are not lost");
    Ok(())
}

#[test]
fn a_letter_says_its_version_and_one_that_is_written_anew_after_going_back_takes_its_place() -> Result<()> {
    let mut stage = Stage::set()?;
    stage.send(100)?;
    post_rows(&stage.host()?.address, &["{".to_owned()])?;
    stage.settle()?;
    ensure!(stage.put(&definition("tagged-count-next", "{ tag: b }"), "")?.status == 200);
    stage.await_version(2)?;
    post_rows(&stage.host()?.address, &["[".to_owned()])?;
    stage.settle()?;
    let versions = |stage: &Stage| {
        let letters = stage.show("/pipelines/counted/dead-letters")?["letters"].take();
        Ok::<_, anyhow::Error>(
            letters.as_array().map(|all| all.iter().map(|it| it["version"].clone()).collect::<Vec<_>>()),
        )
    };
    ensure!(versions(&stage)? == Some(vec![json!(2), json!(1)]), "{:?}", versions(&stage)?);
    ensure!(stage.call("POST", "/pipelines/counted/rollback", "", b"")?.status == 200);
    stage.await_version(3)?;
    stage.settle()?;
    stage.wait_until("the record is read anew", |stage| Ok(versions(stage)? == Some(vec![json!(3), json!(1)])))?;
    stage.check_counts(0)
}
