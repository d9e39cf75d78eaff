//! Records that are put back: once, whoever asks and whatever dies meanwhile.

use std::thread;

use anyhow::{Context, Result, ensure};
use azenha_e2e::Running;

use crate::helpers::{Scene, id, path};

/// Two ways for one record: what one refuses, the other may have taken.
const CLICKS: &str = "
name: clicks
sources:
  clicks: { topic: clicks_in, schema: { campaignId: text?, userId: text?, event: text?, timestamp: timestamp(ms) } }
steps:
  enriched: { transform: enrich-click, from: clicks }
sinks:
  out: { from: enriched, topic: clicks_out }
";

const REFUSED: &str = r#"{"campaignId":"","timestamp":60000}"#;

fn scene(pipeline: &str) -> Result<(Scene, String)> {
    let mut scene = Scene::start(&[("clicks", pipeline)], "commit_interval: 10ms\n")?;
    scene.send("clicks_in", &[REFUSED])?;
    let id = id(&scene.await_letters("clicks", 1)?[0]).to_owned();
    Ok((scene, id))
}

/// How many records the source holds.
fn records(host: &Running) -> Result<u64> {
    let offsets = azenha_e2e::get(&host.address, "/pipelines/clicks/offsets")?.json()?;
    offsets[0]["end"].as_u64().context(offsets.to_string())
}

#[test]
fn a_record_is_put_back_once_and_what_fails_again_is_another_letter() -> Result<()> {
    let (mut scene, first) = scene(CLICKS)?;
    let retried = scene.command(&["retry", "clicks", &first])?;
    ensure!(retried.status.success(), "{}", retried.text());
    assert_eq!(records(&scene.host)?, 2);
    let again = scene.decide("clicks", &first, "retry")?;
    assert!(again.status == 409 && again.body.contains("retried already"), "{again:?}");
    assert_eq!(scene.decide("clicks", &first, "discard")?.status, 409);

    let letters = scene.await_letters("clicks", 1)?;
    assert_ne!(id(&letters[0]), first);
    assert_eq!(scene.list("clicks", "all=true")?.len(), 2);
    assert_eq!(scene.show("clicks", &first)?["decision"]["verdict"], "retried");
    scene.host.terminate()?;
    let values: Vec<_> = scene.azenha.topic("clicks_in")?.into_iter().map(|record| record["value"].clone()).collect();
    assert_eq!(values, vec![serde_json::from_str::<serde_json::Value>(REFUSED)?; 2]);
    Ok(())
}

#[test]
fn a_letter_that_is_discarded_is_hidden_and_stays() -> Result<()> {
    let (mut scene, first) = scene(CLICKS)?;
    let discarded = scene.command(&["discard", "clicks", &first])?;
    ensure!(discarded.status.success(), "{}", discarded.text());
    assert!(scene.list("clicks", "")?.is_empty());
    let all = scene.list("clicks", "all=true")?;
    assert_eq!(all[0]["decision"]["verdict"], "discarded", "{all:?}");
    assert_eq!(scene.decide("clicks", &first, "retry")?.status, 409);
    scene.host.terminate()?;
    scene.restart(&["clicks"], &[])?;
    assert!(scene.list("clicks", "")?.is_empty(), "it is hidden after a restart, too");
    assert_eq!(records(&scene.host)?, 1);
    Ok(())
}

#[test]
fn of_many_who_retry_a_letter_at_a_time_one_does() -> Result<()> {
    let (scene, first) = scene(CLICKS)?;
    let answers: Vec<u16> = thread::scope(|threads| {
        let retry = || scene.decide("clicks", &first, "retry").map(|answer| answer.status);
        let asked: Vec<_> = (0..8).map(|_| threads.spawn(retry)).collect();
        asked.into_iter().map(|asked| asked.join().map_or(Ok(0), |status| status)).collect::<Result<_>>()
    })?;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|status| [200, 409].contains(status)), "{answers:?}");
    assert_eq!(records(&scene.host)?, 2);
    Ok(())
}

#[test]
fn a_record_of_which_something_went_through_is_put_back_only_if_that_may_be_repeated() -> Result<()> {
    let two_ways = CLICKS.to_owned() + "  kept: { from: clicks, topic: clicks_kept }\n";
    let (mut scene, first) = scene(&two_ways)?;
    let refused = scene.decide("clicks", &first, "retry")?;
    assert!(refused.status == 409 && refused.body.contains("`kept` reads it, too"), "{refused:?}");
    assert!(refused.body.contains("repeat=true"), "{refused:?}");
    assert_eq!(records(&scene.host)?, 1);
    assert_eq!(scene.decide("clicks", &first, "retry?repeat=true")?.status, 200);
    assert_eq!(records(&scene.host)?, 2);
    assert_eq!(scene.decide("clicks", &first, "retry?repeat=true")?.status, 409);
    scene.await_letters("clicks", 1)?;
    Ok(())
}

#[test]
fn a_record_that_nobody_could_decode_is_put_back_once_for_all_who_read_it() -> Result<()> {
    let two_ways = CLICKS.to_owned() + "  kept: { from: clicks, topic: clicks_kept }\n";
    let mut scene = Scene::start(&[("clicks", &two_ways)], "commit_interval: 10ms\n")?;
    scene.send("clicks_in", &["{"])?;
    let letters = scene.await_letters("clicks", 2)?;
    assert_eq!(scene.decide("clicks", id(&letters[0]), "retry")?.status, 200);
    let other = scene.decide("clicks", id(&letters[1]), "retry")?;
    assert!(other.status == 409 && other.body.contains("the same record"), "{other:?}");
    assert_eq!(records(&scene.host)?, 2);
    Ok(())
}

#[test]
fn records_of_tables_are_not_put_back() -> Result<()> {
    let table = "name: clicks\nsources:\n  clicks: { topic: clicks_in, key: [id], schema: { id: int64 } }\nsinks:\n  out: { from: clicks, connection: warehouse, table: rows, key: [id] }\n";
    let mut scene = Scene::start(&[("clicks", table)], "commit_interval: 10ms\n")?;
    scene.send("clicks_in", &["{\"id\":\"x\"}"])?;
    let letters = scene.await_letters("clicks", 1)?;
    let refused = scene.decide("clicks", id(&letters[0]), "retry?repeat=true")?;
    assert!(refused.status == 409 && refused.body.contains("is a table"), "{refused:?}");
    Ok(())
}

#[test]
fn what_is_not_there_is_not_found() -> Result<()> {
    let (scene, first) = scene(CLICKS)?;
    for (pipeline, id) in
        [("clicks", "0/clicks/enriched/clicks_in/0/99/0"), ("clicks", "x"), ("nobody", first.as_str())]
    {
        assert_eq!(azenha_e2e::get(&scene.host.address, &path(pipeline, id, ""))?.status, 404, "{pipeline} {id}");
        for what in ["retry", "discard"] {
            assert_eq!(scene.decide(pipeline, id, what)?.status, 404, "{pipeline} {id} {what}");
        }
    }
    Ok(())
}

/// A host that dies at a place while it puts a record back; then another one that is asked the same.
fn die_at(place: &str, records_then: u64) -> Result<()> {
    let (mut scene, first) = scene(CLICKS)?;
    scene.host.terminate()?;
    scene.restart(&["clicks"], &[("AZENHA_FAILPOINT", place)])?;
    // Nobody answers any more.
    ensure!(scene.decide("clicks", &first, "retry").is_err(), "the host did not die at {place}");
    scene.restart(&["clicks"], &[])?;
    ensure!(records(&scene.host)? == records_then, "{place}: {} records", records(&scene.host)?);
    let again = scene.decide("clicks", &first, "retry")?;
    ensure!(again.status == if records_then == 1 { 200 } else { 409 }, "{place}: {again:?}");
    ensure!(records(&scene.host)? == 2, "{place}: it is put back once");
    Ok(())
}

#[test]
fn a_host_that_dies_before_it_is_decided_has_put_nothing_back() -> Result<()> {
    die_at("letter.taken", 1)
}

#[test]
fn a_host_that_dies_after_it_was_decided_has_put_the_record_back() -> Result<()> {
    die_at("letter.decided", 2)
}
