//! The CDC lake with live services, while the object store has troubles: it refuses connections, accepts them and says
//! nothing, cuts them midway through requests and answers, and dies.
//!
//! AZENHA_TEST_SEED repeats the changes and the moments of a run.

use anyhow::{Result, ensure};
use azenha_conformance::proxy::{Lost, Proxy, Serving};
use azenha_e2e::orders::{Changes, Kept, Live, Shop, Size, Tables, Transaction};
use azenha_e2e::{BucketLake, OwnDatabase, OwnKafka, OwnObjects, is_there, seed};
use fastrand::Rng;

/// What the object store does to its clients.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// It closes connections at once.
    Refuses,
    /// It never answers.
    Stalls,
    /// Connections end midway.
    Cuts(Lost),
    /// It dies and comes back.
    Dies,
}

/// Every trouble at least once, and one of them in the middle of what another one left.
const TROUBLES: [Trouble; 8] = [
    Trouble::Refuses,
    Trouble::Stalls,
    Trouble::Cuts(Lost::Request),
    Trouble::Cuts(Lost::Answer),
    Trouble::Cuts(Lost::Request),
    Trouble::Cuts(Lost::Answer),
    Trouble::Stalls,
    Trouble::Dies,
];

/// Cuts of one trouble of that kind.
const CUTS: usize = 8;

struct Store {
    server: OwnObjects,
    proxy: Proxy,
    random: Rng,
    cuts: usize,
}

impl Store {
    /// Makes changes while the store has a trouble, and for a while after them.
    async fn suffer(&mut self, trouble: Trouble, live: &mut Live, changes: &[Transaction]) -> Result<()> {
        println!("{trouble:?}");
        match trouble {
            Trouble::Refuses => self.proxy.serve(Serving::Refuse),
            Trouble::Stalls => self.proxy.serve(Serving::Stall),
            Trouble::Cuts(lost) => return self.cut(lost, live, changes).await,
            Trouble::Dies => self.server.crash()?,
        }
        live.apply(changes).await?;
        live.pause(self.random.u64(500..6_000)).await?;
        self.proxy.serve(Serving::Forward);
        Ok(())
    }

    async fn cut(&mut self, lost: Lost, live: &mut Live, changes: &[Transaction]) -> Result<()> {
        for changes in changes.chunks(changes.len().div_ceil(CUTS).max(1)) {
            self.proxy.cut_after(self.random.usize(0..60), lost);
            live.apply(changes).await?;
            live.pause(self.random.u64(200..1_500)).await?;
            self.cuts += usize::from(self.proxy.has_cut());
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gold_is_the_table_though_the_object_store_refuses_stalls_cuts_and_dies() -> Result<()> {
    if !is_there("AZENHA_TEST_DUCKDB") {
        return Ok(());
    }
    let (Some(kafka), Some(postgres), Some(server)) =
        (OwnKafka::start(1)?, OwnDatabase::postgres()?, OwnObjects::start()?)
    else {
        return Ok(());
    };
    let lake = BucketLake::on(&server.url()?, "faults")?;
    let proxy = Proxy::start(lake.server()).await;
    let lake = lake.behind(proxy.address(), "3s");
    let seed = seed();
    let tables = Tables::of_first_orders(300)?;
    let mut shop = Shop::in_postgres(&postgres.url()?).await?;
    shop.load(&tables).await?;
    let mut changes = Changes::new(seed, tables);
    let mut store = Store { server, proxy, random: Rng::with_seed(seed), cuts: 0 };
    let mut troubles = TROUBLES;
    store.random.shuffle(&mut troubles);
    let mut live = Live::start(shop, kafka, Kept::Lake(lake), Size { hosts: 2, partitions: 1 }).await?;
    let outcome = async {
        for trouble in troubles {
            store.suffer(trouble, &mut live, &changes.take(250)).await?;
        }
        println!("{} cuts", store.cuts);
        ensure!(store.cuts > 0, "no cut met a connection");
        live.settle().await
    };
    let outcome = outcome.await;
    live.finish(outcome).await
}
