//! Pauses, and positions that are set meanwhile.

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, Running};
use serde_json::json;

use crate::helpers::{
    ADMIN, COPY, COUNTED, await_number, await_state, change, click, client, offsets, put, set_offsets, show, start,
};

/// Waits until both sinks have written everything.
fn await_written(host: &mut Running) -> Result<()> {
    host.wait_until("everything is written", |host| Ok(offsets(host, "copy")?.iter().all(|lane| lane["lag"] == 0)))
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

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_sink_can_be_sent_back_and_forth() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    put(&host, "copy", COPY, &[])?;
    await_state(&mut host, "copy", "running")?;
    let campaigns: Vec<String> = (0..20).map(|number| format!("campaign_{number}")).collect();
    click(&host, "copied", &campaigns.iter().map(String::as_str).collect::<Vec<_>>())?;
    await_number(&azenha, "SELECT COUNT(*) FROM rows", 20).await?;
    await_written(&mut host)?;
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
        (json!([]), 422),
        (
            json!([{ "task": "rows", "partition": 0, "position": 0 }, { "task": "rows", "partition": 0, "position": 1 }]),
            422,
        ),
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
    await_written(&mut host)?;
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
