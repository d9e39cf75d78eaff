//! The CDC lake with live services: a PostgreSQL that changes at random, Debezium, Kafka and S3, and readers over it.
//!
//! AZENHA_TEST_SEED repeats the changes of a run.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use azenha_e2e::orders::{Changes, Kept, Live, Shop, Size, Strike, Tables, Transaction};
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
        live.settle().await?;
        a_change_of_one_row_replaces_one_object(&mut live).await
    };
    let outcome = outcome.await;
    live.finish(outcome).await
}

/// Longer than it takes from a change to the last object that is replaced for it.
const QUIET_MILLISECONDS: u64 = 15_000;

/// The latest order, and the folder that it is in.
const LATEST: &str = "(SELECT max(id) FROM pedidos)";

async fn a_change_of_one_row_replaces_one_object(live: &mut Live) -> Result<()> {
    let lake = BucketLake::called("live")?.context("it was there")?;
    let tags = || -> Result<[BTreeMap<String, String>; 2]> {
        Ok([lake.tags("gold", "pedidos")?, lake.tags("gold", "produtos")?])
    };
    live.pause(QUIET_MILLISECONDS).await?;
    let (before, told_before) = (tags()?, told(live)?);
    let update = format!("UPDATE pedidos SET loja_id = loja_id + 1 WHERE id = {LATEST}");
    live.apply(&[Transaction { changes: Vec::new(), statements: vec![update] }]).await?;
    live.settle().await?;
    live.pause(QUIET_MILLISECONDS).await?;
    let ([orders, products], told_after) = (tags()?, told(live)?);
    ensure!(products == before[1], "objects of another table were replaced");
    ensure!(orders.keys().eq(before[0].keys()), "objects came or went");
    let replaced: Vec<&String> =
        orders.iter().filter(|(path, tag)| before[0][*path] != **tag).map(|(path, _)| path).collect();
    let day = live
        .shop
        .rows(&format!("SELECT to_json(criado_em::date::text)::text FROM pedidos WHERE id = {LATEST}"))
        .await?;
    let folder = format!("dia={}/", day[0].as_str().context("no day")?);
    ensure!(
        replaced.len() == 1 && replaced[0].contains(&folder),
        "for a row of {folder} these were replaced: {replaced:?}"
    );
    // An object that is put again with the same bytes keeps its tag.
    let more =
        told_after.strip_prefix(told_before.as_slice()).context("announcements are gone, or products were replaced")?;
    ensure!(more == [replaced[0].as_str()], "for a row of {folder} these were announced: {more:?}");
    Ok(())
}

/// The paths that gold has announced, of the products before those of the orders.
fn told(live: &Live) -> Result<Vec<String>> {
    let mut told = Vec::new();
    for table in ["produtos", "pedidos"] {
        for record in live.kafka().read(&format!("lake_gold_{table}"))? {
            told.push(record.json()?["path"].as_str().context("an announcement without a path")?.to_owned());
        }
    }
    Ok(told)
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
