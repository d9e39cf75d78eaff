//! Records Debezium's events of changes to the shop's tables; `pipelines/orders/record` says when.

use std::env;

use anyhow::{Result, bail};
use azenha_e2e::{orders, repository};

/// Orders in the snapshot.
const ORDERS: usize = 120;
/// Statements that change them.
const STATEMENTS: usize = 400;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [postgres, brokers] = &arguments[..] else { bail!("usage: record-orders POSTGRES_URL KAFKA_BROKERS") };
    orders::record(postgres, brokers, &repository().join("pipelines/orders/sample"), ORDERS, STATEMENTS).await
}
