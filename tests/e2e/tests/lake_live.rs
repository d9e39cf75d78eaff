//! The CDC lake with live services: a PostgreSQL that changes at random, Debezium, Kafka and S3, and readers over it.
//!
//! AZENHA_TEST_SEED repeats the changes of a run.

use anyhow::Result;
use azenha_e2e::orders::{Changes, Kept, Live, Shop, Size, Strike, Tables};
use azenha_e2e::{BucketLake, OwnDatabase, OwnKafka, seed};
use fastrand::Rng;

#[tokio::test(flavor = "multi_thread")]
async fn gold_is_the_table_and_every_layer_announces_what_it_holds() -> Result<()> {
    let Some(lake) = BucketLake::called("live")? else { return Ok(()) };
    let (Some(kafka), Some(postgres)) = (OwnKafka::start(1)?, OwnDatabase::postgres()?) else { return Ok(()) };
    let mut shop = Shop::in_postgres(&postgres.url()?).await?;
    let tables = Tables::of_all()?;
    shop.load(&tables).await?;
    let mut changes = Changes::new(seed(), tables);
    let mut live = Live::start(shop, kafka, Kept::Lake(lake), Size { hosts: 1, partitions: 1 }).await?;
    let outcome = async {
        live.apply(&changes.take(5_000)).await?;
        live.settle().await
    };
    let outcome = outcome.await;
    live.finish(outcome).await
}

#[tokio::test(flavor = "multi_thread")]
async fn gold_is_the_table_though_hosts_and_connect_are_killed() -> Result<()> {
    let Some(lake) = BucketLake::called("killed")? else { return Ok(()) };
    let (Some(kafka), Some(postgres)) = (OwnKafka::start(1)?, OwnDatabase::postgres()?) else { return Ok(()) };
    let mut shop = Shop::in_postgres(&postgres.url()?).await?;
    let tables = Tables::of_first_orders(300)?;
    shop.load(&tables).await?;
    let seed = seed();
    let (mut changes, mut random) = (Changes::new(seed, tables), Rng::with_seed(seed));
    let mut strikes = [Strike::Host, Strike::Host, Strike::Connect, Strike::HostAndConnect];
    random.shuffle(&mut strikes);
    let mut live = Live::start(shop, kafka, Kept::Lake(lake), Size { hosts: 2, partitions: 1 }).await?;
    let outcome = async {
        live.shop.await_reader(&changes.last_of_each_table()).await?;
        live.apply_under(&strikes, &changes.take(2_000), &mut random).await?;
        live.settle().await
    };
    let outcome = outcome.await;
    live.finish(outcome).await
}
