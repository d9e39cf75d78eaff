//! The whole system with real services: the shop's database, Debezium, Kafka, hosts, MongoDB.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;

use super::changes::Transaction;
use super::kept::Kept;
use super::shop::Shop;
use crate::kafka::Kafka;
use crate::{Azenha, Group, OwnConnect, OwnKafka, repository};

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// One of the hosts.
    Host,
    /// Connect with its connector.
    Connect,
    /// Both.
    HostAndConnect,
}

/// How much there is of everything.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Hosts that share the work.
    pub hosts: usize,
    /// Partitions of each change stream.
    pub partitions: u32,
}

/// The running system.
pub struct Live {
    /// The shop.
    pub shop: Shop,
    group: Group,
    connect: OwnConnect,
    kept: Kept,
    brokers: String,
    _kafka: OwnKafka,
    _directory: Azenha,
}

impl Live {
    /// Starts everything around the shop, whose tables go where `kept` says.
    pub async fn start(shop: Shop, kafka: OwnKafka, kept: Kept, size: Size) -> Result<Self> {
        let brokers = kafka.brokers()?;
        let directory = Azenha::new()?;
        let config = format!(
            "log: {{ kafka: {{ brokers: '{brokers}', session_timeout_ms: 6000, heartbeat_interval_ms: 1000, \
             transaction_timeout_ms: 10000 }} }}\n\
             connections: {{ {} }}\n",
            kept.connections()
        );
        let mut group = Group::new(&[&kept.pipeline(&directory, size.partitions)?], &config);
        // Hosts make the topics, with the partitions that the pipeline wants, before Connect does.
        let started = async {
            for _ in 0..size.hosts {
                group.add()?;
            }
            for pipeline in kept.pipelines() {
                group.wait_until_shared(pipeline).await?;
            }
            Ok(())
        };
        let started = started.await;
        group.judge(&format!("{}-start", kept.pipelines()[0]), started)?;
        let connect = OwnConnect::start(&brokers, &shop.connector(), shop.environment(&brokers)?)?;
        Ok(Self { shop, group, connect, kept, brokers, _kafka: kafka, _directory: directory })
    }

    /// What the topics hold.
    pub fn kafka(&self) -> Kafka {
        Kafka::at(&self.brokers)
    }

    /// Makes changes.
    pub async fn apply(&mut self, transactions: &[Transaction]) -> Result<()> {
        for transaction in transactions {
            self.shop.apply(transaction).await?;
        }
        Ok(())
    }

    /// Makes changes, and kills what the strikes say meanwhile: what is killed is away for a part of the changes.
    pub async fn apply_under(
        &mut self,
        strikes: &[Strike],
        transactions: &[Transaction],
        random: &mut Rng,
    ) -> Result<()> {
        let portion = transactions.len().div_ceil(2 * strikes.len());
        let mut portions = transactions.chunks(portion);
        for strike in strikes {
            self.apply(portions.next().unwrap_or_default()).await?;
            self.pause(random.u64(0..1_500)).await?;
            let host = random.usize(0..self.group.hosts().len());
            println!("{strike:?}, host {host}");
            self.kill(*strike, host)?;
            self.apply(portions.next().unwrap_or_default()).await?;
            self.pause(random.u64(0..1_500)).await?;
            self.revive(*strike, host)?;
        }
        ensure!(portions.next().is_none(), "changes are left");
        Ok(())
    }

    fn kill(&mut self, strike: Strike, host: usize) -> Result<()> {
        if strike != Strike::Host {
            self.connect.kill()?;
        }
        if strike != Strike::Connect {
            self.group.hosts()[host].kill()?;
        }
        Ok(())
    }

    fn revive(&mut self, strike: Strike, host: usize) -> Result<()> {
        if strike != Strike::Connect {
            self.group.start(host, &[])?;
        }
        if strike != Strike::Host {
            self.connect.restart()?;
        }
        Ok(())
    }

    /// Waits, and looks after the hosts.
    pub async fn pause(&mut self, milliseconds: u64) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        self.group.tend()
    }

    /// Registers the connector as `compose/` does, which changes nothing: it is registered.
    pub fn register_again(&self) -> Result<()> {
        let mut command = Command::new(repository().join("compose/connect/register.sh"));
        let registered = command.arg(self.shop.connector()).env("CONNECT", self.connect.url()?).output()?;
        ensure!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stderr));
        Ok(())
    }

    /// Makes changes that no change stream will ever tell of: the connector takes a new snapshot afterwards.
    pub async fn apply_unseen(&mut self, transactions: &[Transaction]) -> Result<()> {
        self.connect.kill()?;
        self.connect.forget()?;
        self.shop.forget_reader().await?;
        self.apply(transactions).await?;
        self.connect.restart()
    }

    /// Waits until what is kept is what the shop's database says.
    pub async fn settle(&mut self) -> Result<()> {
        let Self { group, kept, shop, .. } = self;
        let mut difference = None;
        let settled = group
            .wait_until("everything that is kept is right", async |group| {
                for pipeline in kept.pipelines() {
                    let lanes = group.lanes(pipeline);
                    let failed = lanes.iter().find(|(_, states)| states.iter().any(|state| state == "failed"));
                    ensure!(failed.is_none(), "a lane has failed: {failed:?}");
                }
                difference = kept.difference(shop).await?;
                Ok(difference.is_none())
            })
            .await;
        settled.with_context(|| difference.unwrap_or_default())
    }

    /// Stops the hosts, so that nothing is on its way any more, and compares once more. `outcome` is what came of it
    /// before; if anything was wrong, the hosts' logs are kept.
    pub async fn finish(mut self, outcome: Result<()>) -> Result<()> {
        let outcome = match outcome.and_then(|()| self.group.stop_all()) {
            Ok(()) => self.compare().await,
            failed => failed,
        };
        self.group.judge(self.kept.pipelines()[0], outcome)
    }

    async fn compare(&mut self) -> Result<()> {
        let difference = self.kept.difference(&mut self.shop).await?;
        ensure!(difference.is_none(), "after the hosts have stopped, {}", difference.unwrap_or_default());
        let kafka = self.kafka();
        self.kept.check_layers(|topic| kafka.read(topic))
    }
}
