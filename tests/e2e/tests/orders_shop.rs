//! What the tests of the orders system compare with: documents that the shop's database recomputes by itself.

use std::env;

use anyhow::{Context, Result};
use azenha_e2e::orders::{Changes, Shop, Tables};
use azenha_e2e::{Postgres, is_there};

async fn in_postgres(database: &str) -> Result<Option<Shop>> {
    if !is_there("AZENHA_TEST_POSTGRES") {
        return Ok(None);
    }
    let postgres = Postgres::create(&env::var("AZENHA_TEST_POSTGRES")?, database).await?;
    Shop::in_postgres(postgres.url()).await.map(Some)
}

#[tokio::test]
async fn documents_of_before_changes_are_missing_stale_and_left_over_after_them() -> Result<()> {
    let Some(mut shop) = in_postgres("orders_stale").await? else { return Ok(()) };
    let tables = Tables::of_first_orders(100)?;
    shop.load(&tables).await?;
    let before = shop.views().await?;
    assert_eq!(before.orders.len(), 100);
    let mut stale = String::new();
    for transaction in Changes::new(1, tables).take(400) {
        let documents = shop.views().await?;
        shop.apply(&transaction).await?;
        stale += &shop.views().await?.difference(&documents).unwrap_or_default();
    }
    for told in ["is missing", "is stale", "is left over"] {
        assert!(stale.contains(told), "no document {told}");
    }
    assert!(shop.views().await?.difference(&before).is_some());
    Ok(())
}

#[tokio::test]
async fn postgresql_and_mariadb_recompute_the_same_documents() -> Result<()> {
    let (Some(mut postgres), true) = (in_postgres("orders_same").await?, is_there("AZENHA_TEST_MARIADB")) else {
        return Ok(());
    };
    let mut mariadb = Shop::in_mariadb(&env::var("AZENHA_TEST_MARIADB")?, "orders_same").await?;
    let tables = Tables::of_all()?;
    for shop in [&mut postgres, &mut mariadb] {
        shop.load(&tables).await?;
        for transaction in Changes::new(7, tables.clone()).take(1_000) {
            shop.apply(&transaction).await?;
        }
    }
    let documents = postgres.views().await?;
    let total = documents.totals.values().next().context("no totals")?;
    assert!(total["liquido"].is_string(), "money is text, every digit of it: {total}");
    assert_eq!(documents.difference(&mariadb.views().await?), None);
    Ok(())
}
