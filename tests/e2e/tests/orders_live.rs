//! The orders system with live services: 2,000 random inserts, updates and deletes over three tables, and every document
//! in MongoDB is what the source database recomputes.
//!
//! AZENHA_TEST_SEED repeats the changes of a run.

use std::env;

use anyhow::Result;
use azenha_e2e::orders::{Changes, Kept, Live, Shop, Size, Strike, Tables, change_across_snapshot};
use azenha_e2e::{Mongo, OwnDatabase, OwnKafka, is_long, is_there, seed};
use fastrand::Rng;

/// Statements of a run.
const STATEMENTS: usize = 2_000;
/// Statements that no change stream tells of.
const UNSEEN: usize = 200;

/// A database of its own on the tests' MongoDB; none if there is no MongoDB.
async fn mongo(database: &str) -> Result<Option<Mongo>> {
    if !is_there("AZENHA_TEST_MONGODB") {
        return Ok(None);
    }
    Mongo::at(&env::var("AZENHA_TEST_MONGODB")?, database).await.map(Some)
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_what_the_database_recomputes() -> Result<()> {
    let Some(mongo) = mongo("orders_live").await? else { return Ok(()) };
    let (Some(kafka), Some(postgres)) = (OwnKafka::start(1)?, OwnDatabase::postgres()?) else { return Ok(()) };
    let mut shop = Shop::in_postgres(&postgres.url()?).await?;
    let tables = Tables::of_all()?;
    shop.load(&tables).await?;
    let mut changes = Changes::new(seed(), tables);
    let mut live = Live::start(shop, kafka, Kept::Documents(mongo), Size { hosts: 1, partitions: 1 }).await?;
    let outcome = async {
        // While the snapshot is still being taken.
        live.apply(&changes.take(STATEMENTS)).await?;
        live.settle().await?;
        live.register_again()?;
        live.apply_unseen(&changes.take(UNSEEN)).await?;
        live.settle().await
    };
    let outcome = outcome.await;
    live.finish(outcome).await
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_transaction_that_overlaps_the_snapshot_count() -> Result<()> {
    let Some(mongo) = mongo("orders_overlapped").await? else { return Ok(()) };
    let (Some(kafka), Some(postgres)) = (OwnKafka::start(1)?, OwnDatabase::postgres()?) else { return Ok(()) };
    let url = postgres.url()?;
    let mut shop = Shop::in_postgres(&url).await?;
    let tables = Tables::of_first_orders(20)?;
    let (gone, changed) = (tables.lines[0].id, tables.orders[1]);
    shop.load(&tables).await?;
    let overlap = tokio::spawn(async move {
        let change = format!(
            "DELETE FROM itens_pedido WHERE id = {gone}; UPDATE pedidos SET cliente_id = 1 WHERE id = {changed}"
        );
        change_across_snapshot(&url, &change).await
    });
    let mut live = Live::start(shop, kafka, Kept::Documents(mongo), Size { hosts: 1, partitions: 1 }).await?;
    let outcome = async {
        overlap.await??;
        live.settle().await
    };
    let outcome = outcome.await;
    live.finish(outcome).await
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_right_though_hosts_and_connect_are_killed() -> Result<()> {
    let Some(mongo) = mongo("orders_killed").await? else { return Ok(()) };
    let (Some(kafka), Some(postgres)) = (OwnKafka::start(1)?, OwnDatabase::postgres()?) else { return Ok(()) };
    let mut shop = Shop::in_postgres(&postgres.url()?).await?;
    let tables = Tables::of_first_orders(300)?;
    shop.load(&tables).await?;
    let seed = seed();
    let (mut changes, mut random) = (Changes::new(seed, tables), Rng::with_seed(seed));
    let mut strikes = [Strike::Host, Strike::Host, Strike::Connect, Strike::HostAndConnect];
    random.shuffle(&mut strikes);
    let mut live = Live::start(shop, kafka, Kept::Documents(mongo), Size { hosts: 2, partitions: 3 }).await?;
    let outcome = async {
        live.shop.await_reader(&changes.last_of_each_table()).await?;
        live.apply_under(&strikes, &changes.take(STATEMENTS), &mut random).await?;
        live.settle().await
    };
    let outcome = outcome.await;
    live.finish(outcome).await
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_a_shop_in_mariadb_are_right_too() -> Result<()> {
    let Some(mongo) = mongo("orders_mariadb").await? else { return Ok(()) };
    let (Some(kafka), Some(mariadb)) = (OwnKafka::start(1)?, OwnDatabase::mariadb()?) else { return Ok(()) };
    let mut shop = Shop::in_mariadb(&mariadb.url()?, "loja").await?;
    let tables = Tables::of_first_orders(if is_long() { usize::MAX } else { 200 })?;
    shop.load(&tables).await?;
    let mut changes = Changes::new(seed(), tables);
    let mut live = Live::start(shop, kafka, Kept::Documents(mongo), Size { hosts: 1, partitions: 2 }).await?;
    let outcome = async {
        live.apply(&changes.take(STATEMENTS)).await?;
        live.settle().await
    };
    let outcome = outcome.await;
    live.finish(outcome).await
}
