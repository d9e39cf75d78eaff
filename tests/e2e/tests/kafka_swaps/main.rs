//! A hundred swaps of a plugin while three hosts count a stream on Kafka, one of them killed every ten swaps: nothing
//! is lost or doubled, and each record is processed by exactly one version.

mod back;
mod hosts;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azenha_e2e::kafka::Kafka;
use azenha_e2e::numbered::Load;
use azenha_e2e::{figure, is_long};
use tokio::time::sleep;

use hosts::{COUNTED, Hosts, LANES, Outcome, RATE, definition, plugin, under_load};

/// One host is killed every so many swaps.
const KILL_EVERY: u64 = 10;
/// Records that are sent at once with each swap under full load.
const AT_ONCE: u64 = 30_000;

/// Swaps; the long form has more of them.
fn swaps() -> u64 {
    if is_long() { 400 } else { 100 }
}

/// Of every twenty swaps ten are made under full load. Pauses are measured in the others, at the fixed rate; those
/// under full load are told beside them.
fn is_under_full_load(number: u64) -> bool {
    (number / KILL_EVERY) % 2 == 1
}

/// How long lanes stood still in swaps without a kill, in milliseconds.
#[derive(Default)]
struct Swapped {
    /// At the fixed rate, with nothing of a backlog left.
    steady: Vec<f64>,
    /// Under full load.
    full: Vec<f64>,
    /// Lanes that were on their way to another host, in the swap that follows a kill.
    moving: usize,
    /// The same in other swaps: a group of a busy machine takes a host for lost now and then.
    astray: usize,
}

async fn swap_again_and_again(hosts: &mut Hosts, load: &Load) -> Result<Swapped> {
    let mut swapped = Swapped::default();
    for number in 2..=swaps() + 1 {
        let pauses = if is_under_full_load(number) {
            load.add(AT_ONCE);
            &mut swapped.full
        } else {
            hosts.catch_up().await?;
            &mut swapped.steady
        };
        hosts.swap(&definition(plugin(number), number)).await?;
        match number % KILL_EVERY {
            0 => hosts.lose_one().await?,
            // The group finds together meanwhile: a lane may be opened with this version on the host that it goes to.
            1 => {
                hosts.await_whole(number).await?;
                hosts.learn()?;
                let stayed = hosts.pauses(number);
                swapped.moving += LANES.saturating_sub(stayed.len());
                pauses.extend(stayed);
            }
            _ => {
                let switched = hosts.await_over(number).await?;
                swapped.astray += LANES.saturating_sub(switched.len());
                pauses.extend(switched);
            }
        }
        sleep(Duration::from_millis(hosts.random.u64(100..300))).await;
    }
    Ok(swapped)
}

/// The value in the middle, and the highest one.
fn spread(values: &[f64]) -> Result<(f64, f64)> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().zip(values.last().copied()).context("no lane went over")
}

fn tell(Swapped { steady, full, moving, astray }: &Swapped) -> Result<()> {
    for (load, pauses) in [(format!("at {RATE} records/s"), steady), (format!("with {AT_ONCE} at once"), full)] {
        let (median, worst) = spread(pauses)?;
        let said = format!("p50 {median:.1} ms, worst {worst:.1} ms of {} lanes", pauses.len());
        figure(&format!("pause of a lane in swaps without a kill, {load}"), said);
    }
    figure("lanes that were on their way to another host in the swap after a kill", moving);
    figure("lanes that were on their way to another host without a kill", astray);
    ensure!(astray * 20 < steady.len() + full.len(), "too many lanes were opened anew without a kill");
    Ok(())
}

/// Each result was made by the code of the version that it says, which its tag tells. The results of a window are made
/// by one lane: where a version begins there, the one before has ended.
fn check_tags(kafka: &Kafka) -> Result<()> {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for record in kafka.read(COUNTED)? {
        let value = record.json()?;
        let tag = value["tag"].as_str().and_then(|tag| tag.strip_prefix('v')?.parse::<u64>().ok());
        let tag = tag.with_context(|| format!("{value} has no tag"))?;
        ensure!(value["versao"] == tag, "{value} says another version than made it");
        let window = format!("{} {}", value["device"], value["start_time"]);
        let before = last.insert(window, tag).unwrap_or(0);
        ensure!(before <= tag, "{value}: version {tag} after {before} at {}/{}", record.partition, record.offset);
        seen.insert(tag);
    }
    figure("versions with results", format_args!("{} of {}", seen.len(), swaps() + 1));
    ensure!(seen.len() as u64 > swaps() / 2, "too few of {} versions have results", swaps());
    Ok(())
}

/// Each record was processed by one version, and each version that no host died in processed some.
fn check_rows(outcome: &Outcome) -> Result<()> {
    let made = outcome.check_rows(|version| format!("v{version}"))?;
    figure("versions that made rows", format_args!("{} of {}", made.len(), swaps() + 1));
    let idle: Vec<u64> = (2..=swaps() + 1).filter(|number| !made.contains(&(*number as i64))).collect();
    ensure!(idle.iter().all(|number| number % KILL_EVERY == 0), "nothing was processed by versions {idle:?}");
    Ok(())
}

fn check(outcome: &Outcome, swapped: &Swapped) -> Result<()> {
    let told = tell(swapped);
    outcome.produced.check_growth("counted", &outcome.kafka.read(COUNTED)?)?;
    check_tags(&outcome.kafka)?;
    check_rows(outcome)?;
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_swaps_under_load_with_hosts_killed_lose_and_double_nothing_and_each_record_has_one_version()
-> Result<()> {
    let Some((mut outcome, worked)) = under_load(swap_again_and_again).await? else { return Ok(()) };
    let checked = worked.and_then(|swapped| check(&outcome, &swapped));
    outcome.hosts.group.judge("swaps", checked)
}
