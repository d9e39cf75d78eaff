//! Going back to code that cannot read the state that there is: from the state before.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Stage, definition, post_rows};

#[test]
fn code_that_cannot_read_what_a_later_version_wrote_goes_on_from_the_state_before_it_and_counts_every_record_once()
-> Result<()> {
    let mut stage = Stage::set()?;
    stage.send(2_000)?;
    stage.settle()?;
    ensure!(stage.put(&definition("tagged-count-next", "{ tag: b }"), "")?.status == 200);
    stage.send(1_000)?;
    stage.await_version(2)?;
    // The first device that only the later version meets.
    let row = |number: u64| json!({"number": number, "device": "late"}).to_string();
    post_rows(&stage.host()?.address, &(0..7).map(row).collect::<Vec<_>>())?;
    stage.send(1_000)?;
    stage.settle()?;
    let before: u64 = stage.last("before")?.values().filter_map(Value::as_u64).sum();
    ensure!(before >= 2_000, "{before} rows were counted before");

    let planned = stage.call("POST", "/pipelines/counted/rollback?dry_run=true", "", b"")?.json()?;
    assert_eq!(planned["accepted"], true, "{planned}");
    let restored = |task: &Value| task["state"] == "restored" && task["detail"].as_str().is_some_and(says_records);
    ensure!(planned["plan"]["tasks"].as_array().is_some_and(|tasks| tasks.iter().any(restored)), "{planned}");
    let back = stage.call("POST", "/pipelines/counted/rollback", "", b"")?;
    ensure!(back.status == 200, "{back:?}");
    stage.send(1_000)?;
    stage.await_version(3)?;
    stage.send(1_000)?;
    stage.settle()?;

    // Every device, whose count is that of all its rows, by the earlier code.
    stage.check_counts(0)?;
    assert_eq!(stage.last("counted")?["\"late\""], 7);
    ensure!(stage.last("tag")?.values().all(|tag| tag == "a"), "{:?}", stage.last("tag")?);
    // There and back again, with a host that dies on the way: what was undone once does not come back.
    for version in [4, 6, 8, 10] {
        ensure!(stage.put(&definition("tagged-count-next", &format!("{{ tag: v{version} }}")), "")?.status == 200);
        stage.send(500)?;
        stage.await_version(version)?;
        stage.send(500)?;
        let back = stage.call("POST", "/pipelines/counted/rollback", "", b"")?;
        ensure!(back.status == 200, "{back:?}");
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..80)));
        stage.host.take().context("no host")?.kill()?;
        stage.start()?;
        stage.await_version(version + 1)?;
        stage.settle()?;
        stage.check_counts(0).with_context(|| format!("after going back from version {version}"))?;
    }
    ensure!(stage.last("tag")?.values().all(|tag| tag == "a"), "{:?}", stage.last("tag")?);
    ensure!(stage.azenha.dead_letters("counted")?.is_empty(), "what was undone is nobody's letter");
    Ok(())
}

/// Whether a plan says how many records are read again.
fn says_records(detail: &str) -> bool {
    detail.contains("the state before version 2") && detail.contains("records are read again")
}

#[test]
fn a_rollback_that_would_count_rows_twice_is_refused_and_says_why() -> Result<()> {
    let mut stage = Stage::set()?;
    let added = |plugin: &str| definition(plugin, "{ tag: a }").replace(", key: [device] }", " }");
    ensure!(stage.put(&added("tagged-count"), "")?.status == 200);
    stage.send(100)?;
    stage.settle()?;
    ensure!(stage.put(&added("tagged-count-next"), "")?.status == 200);
    stage.await_version(3)?;
    let refused = stage.call("POST", "/pipelines/counted/rollback", "", b"")?;
    assert_eq!(refused.status, 409, "{refused:?}");
    let said = refused.json()?.to_string();
    ensure!(said.contains("have no key") && said.contains("counts_output"), "{said}");
    Ok(())
}
