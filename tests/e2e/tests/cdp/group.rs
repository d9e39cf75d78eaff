//! Two hosts on Kafka. Customers are found in one lane of one of them, and that host is killed, again and again.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use azenha_e2e::cdp::Customers;
use azenha_e2e::kafka::Kafka;
use azenha_e2e::{Azenha, Group, OwnDatabase, OwnKafka, repository};
use serde_json::{Value, json};

use super::{Servers, by_customer, check_profiles};

const EVENTS: usize = 20_000;
/// Events a second: it lasts longer than the kills.
const RATE: &str = "500";
const PARTITIONS: i32 = 3;
const KILLS: usize = 3;

/// The task that finds customers, whose one lane is where all events meet.
const FINDING: (&str, u64) = ("clientes", 0);

struct Scene {
    cluster: OwnKafka,
    servers: Servers,
    group: Group,
    /// What the load writes.
    azenha: Azenha,
}

impl Scene {
    /// Two hosts that have shared the work, and no events.
    async fn new(cluster: OwnKafka, servers: Servers) -> Result<Self> {
        let brokers = cluster.brokers()?;
        Kafka::at(&brokers).create_topic("cdp_events", PARTITIONS).await?;
        let log = format!(
            "log: {{ kafka: {{ brokers: '{brokers}', session_timeout_ms: 6000, heartbeat_interval_ms: 1000, \
             transaction_timeout_ms: 10000 }} }}\n"
        );
        let config = log + &servers.connections()?;
        let azenha = Azenha::empty()?;
        azenha.write("host.yaml", &config)?;
        let group = Group::new(&[&repository().join("pipelines/cdp")], &config);
        Ok(Self { cluster, servers, group, azenha })
    }

    async fn play(&mut self) -> Result<()> {
        for _ in 0..2 {
            self.group.add()?;
        }
        self.group.wait_until_shared("cdp").await?;
        let (config, events) = (self.azenha.path("host.yaml").display().to_string(), EVENTS.to_string());
        let load = ["load", "--generator", "cdp", "--topic", "cdp_events", "--key", "id", "--broken", "0.02"];
        let how = ["--rate", RATE, "--records", &events, "--config", &config];
        let mut loading = self.azenha.spawn(load.iter().chain(&how))?;
        for _ in 0..KILLS {
            self.kill_the_finder().await?;
        }
        let mut ended = None;
        while ended.is_none() {
            ended = loading.ended()?;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        ensure!(ended.is_some_and(|status| status.success()), "{}", loading.log());
        self.check().await
    }

    /// Kills the host that finds customers once it is at work, and starts it again once the other one does it.
    async fn kill_the_finder(&mut self) -> Result<()> {
        let before = self.known().await;
        self.known_more_than(before).await?;
        let finding = (FINDING.0.to_owned(), FINDING.1);
        let mut finder = None;
        let found = async |group: &Group| {
            finder = group.running("cdp").iter().position(|lanes| lanes.contains(&finding));
            Ok(finder.is_some())
        };
        self.group.wait_until("a host finds customers", found).await?;
        let finder = finder.context("nobody finds customers")?;
        self.group.hosts()[finder].kill()?;
        let killed_at = self.known().await;
        self.known_more_than(killed_at).await?;
        println!("host {finder} was killed at {killed_at} events, and the other one went on");
        self.group.start(finder, &[])?;
        self.group.wait_until_shared("cdp").await
    }

    /// Events in the profiles so far.
    async fn known(&self) -> i64 {
        self.servers.profiles().await.map_or(0, |rows| by_customer(rows).values().map(|profile| profile.events).sum())
    }

    async fn known_more_than(&mut self, events: i64) -> Result<()> {
        let servers = &self.servers;
        let more = async |_: &Group| {
            let rows = servers.profiles().await.unwrap_or_default();
            Ok(by_customer(rows).values().map(|profile| profile.events).sum::<i64>() > events)
        };
        self.group.wait_until("more events are in profiles", more).await
    }

    /// Waits until everything has arrived, and compares with what the topic holds.
    async fn check(&mut self) -> Result<()> {
        let kafka = Kafka::at(&self.cluster.brokers()?);
        let values = kafka.read("cdp_events")?.into_iter().map(|record| {
            let value = record.value.unwrap_or_default();
            json!({ "value": serde_json::from_slice(&value).unwrap_or(Value::Null) })
        });
        let expected = Customers::of(&values.collect::<Vec<Value>>());
        ensure!(
            expected.events.len() + expected.dead == EVENTS,
            "{} events, {} dead",
            expected.events.len(),
            expected.dead
        );
        self.known_more_than(expected.events.len() as i64 - 1).await?;
        let servers = &self.servers;
        let arrived = async |_: &Group| {
            let found = servers.count_in_engine().is_ok_and(|count| count == expected.events.len());
            Ok(found && servers.event_ids().await?.len() == expected.events.len())
        };
        self.group.wait_until("every event is in both stores", arrived).await?;
        self.group.stop_all()?;
        let ids: BTreeSet<String> = self.servers.event_ids().await?.into_iter().collect();
        assert!(ids == expected.events, "other events than were sent");
        let letters = kafka.read("cdp.dead_letters")?;
        let letters =
            letters.iter().map(|letter| Ok(letter.json()?["id"].to_string())).collect::<Result<BTreeSet<_>>>()?;
        assert_eq!(letters.len(), expected.dead);
        check_profiles(&by_customer(self.servers.profiles().await?), &expected)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_are_those_of_the_events_whichever_host_finds_them_and_is_killed() -> Result<()> {
    let Some(cluster) = OwnKafka::start(1)? else { return Ok(()) };
    let Some(servers) = Servers::start(OwnDatabase::mariadb)? else { return Ok(()) };
    let mut scene = Scene::new(cluster, servers).await?;
    let played = scene.play().await;
    scene.group.judge("cdp", played)
}
