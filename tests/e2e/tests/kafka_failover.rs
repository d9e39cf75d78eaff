//! Three brokers, of which the one that leads the input dies: the pipeline goes on, and nothing is lost.

use anyhow::{Result, ensure};
use azenha_e2e::numbered::{Load, NUMBERED};
use azenha_e2e::{OwnDatabase, OwnKafka, Postgres, Trial};

/// Records a second.
const RATE: u64 = 2_000;
/// Records that must get through before the broker dies, and again while it is away.
const WHILE: i64 = 5_000;

/// Loses a broker in the middle of the work.
async fn lose_leader(trial: &mut Trial, load: &Load, kafka: &OwnKafka) -> Result<()> {
    copies(trial, WHILE).await?;
    let leader = trial.kafka.leader(NUMBERED, 0)?;
    kafka.kill(leader)?;
    let (copied, acknowledged) = (trial.copied().await, load.acknowledged());
    println!("broker {leader} is killed behind {copied} copies");
    copies(trial, copied + WHILE).await?;
    ensure!(load.acknowledged() > acknowledged, "nothing was acknowledged while the broker was away");
    ensure!(trial.kafka.leader(NUMBERED, 0)? != leader, "the broker that is dead still leads");
    Ok(())
}

/// Waits for rows in the table.
async fn copies(trial: &mut Trial, rows: i64) -> Result<()> {
    let postgres = trial.postgres.clone();
    let sql = format!("SELECT (count(*) >= {rows})::int::bigint FROM copies");
    let enough = async |_: &_| Ok(postgres.number(&sql).await == Some(1));
    trial.group.wait_until(&format!("{rows} copies"), enough).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_the_input_is_killed_and_the_pipeline_goes_on() -> Result<()> {
    let Some(kafka) = OwnKafka::start(3)? else { return Ok(()) };
    let Some(postgres) = OwnDatabase::postgres()? else { return Ok(()) };
    let url = postgres.url()?;
    let mut trial = Trial::start(&kafka.brokers()?, Postgres::at(&url), &url).await?;
    let load = Load::start(&trial.kafka, RATE, 1)?;
    let survived = lose_leader(&mut trial, &load, &kafka).await;
    let checked = trial.finish(load).await;
    trial.group.judge("failover", survived.and(checked))
}
