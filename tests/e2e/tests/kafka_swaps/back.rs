//! Going back with hosts that die on the way: to code that cannot read what there is, and from code that fails.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use azenha_e2e::figure;
use azenha_e2e::kafka::Record;
use azenha_e2e::numbered::{Load, PARTITIONS};
use serde_json::Value;
use tokio::time::sleep;

use super::hosts::{COUNTED, Hosts, NEXT, Outcome, definition, plugin, under_load};

/// Rounds of going over to other state and back.
const THERE_AND_BACK: u64 = 6;
/// Versions that fail on everything.
const FAILING: u64 = 3;
/// So many records of a lane prove nothing of the code that fails on them.
const FORGIVEN: u64 = 9;

/// Every other version has code of its own; the one behind it runs that of the first again.
fn tag_of(version: i64) -> String {
    format!("v{}", if version % 2 == 0 { version } else { 1 })
}

/// Goes over to code whose state the one before cannot read, and back, again and again; some hosts die on the way.
async fn there_and_back(hosts: &mut Hosts, _: &Load) -> Result<()> {
    for round in 0..THERE_AND_BACK {
        let version = 2 * round + 2;
        hosts.swap(&definition(NEXT, version)).await?;
        sleep(Duration::from_millis(hosts.random.u64(0..3_000))).await;
        // Now and then lanes are still going over.
        if round % 2 == 0 {
            hosts.await_version(version).await?;
        }
        hosts.change("POST", "/rollback", "").await?;
        if round % 3 == 1 {
            hosts.lose_one().await?;
        }
        hosts.await_version(version + 1).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_to_the_state_before_a_version_counts_every_record_once_whichever_hosts_die() -> Result<()> {
    let Some((mut outcome, worked)) = under_load(there_and_back).await? else { return Ok(()) };
    let checked = worked.and_then(|()| check_restored(&outcome));
    outcome.hosts.group.judge("going back", checked)
}

fn check_restored(outcome: &Outcome) -> Result<()> {
    let results = outcome.kafka.read(COUNTED)?;
    let standing = standing(&results);
    outcome.produced.check_growth("counted", &standing)?;
    check_code(&results, &standing)?;
    outcome.check_rows(tag_of).map(drop)
}

/// The last record of each key that has one.
fn standing(records: &[Record]) -> Vec<Record> {
    let last: BTreeMap<_, &Record> = records.iter().map(|record| (&record.key, record)).collect();
    last.into_values().filter(|record| record.value.is_some()).cloned().collect()
}

/// What stands is made by the code that is in force; the other one made something on the way.
fn check_code(results: &[Record], standing: &[Record]) -> Result<()> {
    let of_next = |records: &[Record]| {
        let values = records.iter().filter(|record| record.value.is_some()).map(Record::json);
        let values: Vec<Value> = values.collect::<Result<_>>()?;
        anyhow::Ok(values.iter().filter(|value| value["before"].is_i64()).count())
    };
    let undone = of_next(results)?;
    figure("results that were undone by going back", format_args!("{undone} of {}", results.len()));
    ensure!(undone > 0, "the other code never counted anything");
    ensure!(of_next(standing)? == 0, "results of what was undone stand");
    Ok(())
}

/// Puts versions that fail on every row. A host dies before lanes go over, while they do, or when the others have gone
/// back.
async fn fail_on_everything(hosts: &mut Hosts, _: &Load) -> Result<()> {
    for round in 0..FAILING {
        let version = 2 * round + 2;
        let failing = definition(plugin(1), version).replace("config: { tag:", "config: { fails: true, tag:");
        hosts.swap(&failing).await?;
        sleep(Duration::from_millis(hosts.random.u64(0..1_000))).await;
        hosts.lose_one().await?;
        hosts.await_whole(version + 1).await?;
    }
    let is_by_itself = |version: &&Value| version["note"].as_str().is_some_and(|note| note.contains("by itself"));
    let by_itself = hosts.versions()?.iter().filter(is_by_itself).count();
    ensure!(by_itself as u64 == FAILING, "{by_itself} versions were made by hosts");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_on_everything_goes_back_by_itself_and_loses_nothing_whichever_host_dies() -> Result<()> {
    let Some((mut outcome, worked)) = under_load(fail_on_everything).await? else { return Ok(()) };
    let checked = worked.and_then(|()| check_gone_back(&outcome));
    outcome.hosts.group.judge("going back by itself", checked)
}

/// Every record is counted once, or is one of the few that a lane committed as dead letters before there were enough of
/// them to judge by.
fn check_gone_back(outcome: &Outcome) -> Result<()> {
    let letters = outcome.dead_letters()?;
    figure("dead letters of versions that fail on everything", format_args!("{} of {FAILING} versions", letters.len()));
    ensure!(letters.len() as u64 <= FAILING * FORGIVEN * PARTITIONS as u64, "{letters:?}");
    outcome.produced.without(&letters)?.check_growth("counted", &outcome.kafka.read(COUNTED)?)?;
    outcome.check_rows(tag_of).map(drop)
}
