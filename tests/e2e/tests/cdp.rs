//! The customer data platform: events of several sources, some of them broken, into tables of events and of profiles, with
//! a host that is killed at random; both must be what is found again from the topic by other means.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azenha_e2e::cdp::{Customers, Profile};
use azenha_e2e::{Azenha, Database, Running, get, is_there, repository, seed};
use fastrand::Rng;
use serde_json::Value;
use sqlx::mysql::MySqlConnection;
use sqlx::{Connection, Row};

const EVENTS: usize = 40_000;
const KILLS: usize = 12;

const EVENT_IDS: &str = "SELECT id FROM eventos";
const PROFILES: &str = "SELECT customer, events, purchases, value_cents, sources FROM perfis";

/// A customer's row as the database gives it.
type ProfileRow = (String, i64, i64, i64, String);

fn profiles(rows: Vec<ProfileRow>) -> BTreeMap<String, Profile> {
    let profile = |(customer, events, purchases, value_cents, sources)| {
        (customer, Profile { events, purchases, value_cents, sources })
    };
    rows.into_iter().map(profile).collect()
}

/// Where the tables are.
enum Tables {
    Embedded,
    MariaDb(String),
}

struct Scene {
    azenha: Azenha,
    tables: Tables,
}

impl Scene {
    /// A topic of two partitions that holds events, and nobody who has read them.
    fn new(tables: Tables, seed: u64) -> Result<Self> {
        let azenha = Azenha::new()?;
        let url = match &tables {
            Tables::Embedded => format!("sqlite:{}", azenha.path("cdp.db").display()),
            Tables::MariaDb(url) => url.clone(),
        };
        azenha.write("host.yaml", &format!("connections: {{ cdp: {{ url: \"{url}\" }} }}\n"))?;
        let (data, records, seed) = (azenha.data().display().to_string(), EVENTS.to_string(), seed.to_string());
        let load = ["load", "--generator", "cdp", "--topic", "cdp_events", "--partitions", "2", "--data", &data];
        azenha.succeed(load.into_iter().chain(["--records", &records, "--broken", "0.02", "--seed", &seed]))?;
        Ok(Self { azenha, tables })
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let config = self.azenha.path("host.yaml").display().to_string();
        let more = [more, &["--config", &config]].concat();
        self.azenha.run_arguments(&repository().join("pipelines/cdp"), &[], &more)
    }

    async fn event_ids(&self) -> Result<Vec<String>> {
        match &self.tables {
            Tables::Embedded => {
                let rows: Vec<(String,)> = Database::open(&self.azenha.path("cdp.db")).await?.rows(EVENT_IDS).await?;
                Ok(rows.into_iter().map(|(id,)| id).collect())
            }
            Tables::MariaDb(url) => {
                let rows = sqlx::query(EVENT_IDS).fetch_all(&mut MySqlConnection::connect(url).await?).await?;
                rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
            }
        }
    }

    async fn profiles(&self) -> Result<BTreeMap<String, Profile>> {
        let rows = match &self.tables {
            Tables::Embedded => Database::open(&self.azenha.path("cdp.db")).await?.rows(PROFILES).await?,
            Tables::MariaDb(url) => {
                sqlx::query_as(PROFILES).fetch_all(&mut MySqlConnection::connect(url).await?).await?
            }
        };
        Ok(profiles(rows))
    }

    /// Kills the host at random moments, some of which are in the middle of the work.
    async fn torment(&self, random: &mut Rng) -> Result<()> {
        let mut in_the_middle = 0;
        for _ in 0..KILLS {
            let mut running = self.azenha.spawn(self.arguments(&["--once"]))?;
            tokio::time::sleep(Duration::from_millis(random.u64(100..900))).await;
            running.kill()?;
            let written = self.event_ids().await.map_or(0, |ids| ids.len());
            in_the_middle += usize::from(written > 0 && written < EVENTS * 9 / 10);
        }
        println!("{in_the_middle} of {KILLS} kills fell in the middle of the work");
        Ok(())
    }

    /// Runs to the end, and compares.
    async fn check(&self) -> Result<Customers> {
        self.azenha.succeed(self.arguments(&["--once"]))?;
        let expected = Customers::of(&self.azenha.topic("cdp_events")?);
        let ids = self.event_ids().await?;
        ensure!(ids.len() + expected.dead == EVENTS, "{} events, {} dead letters", ids.len(), expected.dead);
        assert!(expected.dead > EVENTS / 100, "{} events are broken", expected.dead);
        assert_eq!(self.azenha.dead_letters("cdp")?.len(), expected.dead);
        assert!(ids.into_iter().collect::<BTreeSet<_>>() == expected.events, "other events than were sent");
        let found = self.profiles().await?;
        assert_eq!(found.values().map(|profile| profile.events).sum::<i64>() as usize, expected.events.len());
        let differing = expected.profiles.iter().find(|(customer, profile)| found.get(*customer) != Some(*profile));
        if let Some((customer, profile)) = differing {
            anyhow::bail!("{customer}: {:?}, not {profile:?}", found.get(customer));
        }
        assert_eq!(found.len(), expected.profiles.len(), "profiles that nobody has");
        Ok(expected)
    }

    /// Asks the queries of a host that has nothing left to do.
    fn ask(&self, expected: &Customers) -> Result<()> {
        let config = self.azenha.path("host.yaml").display().to_string();
        let host = self.azenha.start(&[&repository().join("pipelines/cdp")], &["--config", &config])?;
        check_search(&host, expected)?;
        check_profiles(&host, expected)?;
        check_refusals(&host)
    }
}

fn rows(host: &Running, path: &str) -> Result<(Vec<Value>, Value)> {
    let answer = get(&host.address, path)?;
    ensure!(answer.status == 200, "{path}: {}", answer.body);
    let answer = answer.json()?;
    Ok((answer["rows"].as_array().context("no rows")?.clone(), answer["next"].clone()))
}

/// All pages of a search are the events that hold the words.
fn check_search(host: &Running, expected: &Customers) -> Result<()> {
    let question = "/eventos_db/?q=VOU+procurar+o+procon&desde=2020-01-01T00:00:00Z&limit=500";
    let (mut found, mut path) = (BTreeSet::new(), question.to_owned());
    loop {
        let (page, next) = rows(host, &path)?;
        for row in page {
            let text = row["text"].as_str().unwrap_or_default();
            assert!(text.contains("vou procurar o Procon"), "{row}");
            assert!(found.insert(row["id"].as_str().unwrap_or_default().to_owned()), "{row} came twice");
        }
        match next.as_str() {
            Some(next) => path = format!("{question}&cursor={next}"),
            None => break,
        }
    }
    assert!(found.len() > 100 && found.is_subset(&expected.events), "{} events", found.len());
    let (nothing, _) = rows(host, "/eventos_db/?q=procon&ate=2020-01-01T00:00:00Z&desde=2019-01-01T00:00:00Z")?;
    assert!(nothing.is_empty());
    Ok(())
}

fn check_profiles(host: &Running, expected: &Customers) -> Result<()> {
    let (customer, profile) = expected.profiles.iter().max_by_key(|(_, profile)| profile.events).context("nobody")?;
    let (found, _) = rows(host, &format!("/perfis/{customer}"))?;
    let [row] = found.as_slice() else { anyhow::bail!("{} rows of {customer}", found.len()) };
    assert_eq!((row["events"].as_i64(), row["sources"].as_str()), (Some(profile.events), Some(&*profile.sources)));
    let identifier = ["document", "email", "phone"].iter().find_map(|name| row[*name].as_str());
    let identifier = identifier.context("the busiest customer is known by a cookie only")?;
    assert!(identifier.len() == 32 && !row.to_string().contains("example.com"), "personal data is hashed: {row}");
    let (events, _) = rows(host, &format!("/eventos_db/?cliente={identifier}&desde=2020-01-01T00:00:00Z"))?;
    assert!(!events.is_empty() && events.iter().all(|event| event.to_string().contains(identifier)));
    Ok(())
}

fn check_refusals(host: &Running) -> Result<()> {
    for path in [
        "/eventos_db/?limit=1000000000",
        "/eventos_db/?limit=-1",
        "/eventos_db/?cursor=nonsense",
        "/eventos_db/?desde=ontem",
        "/eventos_db/?nada=1",
        &format!("/eventos_db/?q={}", "x".repeat(201)),
    ] {
        assert_eq!(get(&host.address, path)?.status, 400, "{path}");
    }
    for injection in ["%27+OR+1%3D1+--", "%25", "%22%3B+DROP+TABLE+eventos%3B+--"] {
        assert!(rows(host, &format!("/eventos_db/?q={injection}"))?.0.is_empty(), "{injection}");
        assert!(rows(host, &format!("/perfis/{injection}"))?.0.is_empty(), "{injection}");
    }
    assert_eq!(rows(host, "/eventos_db/?desde=2020-01-01T00:00:00Z")?.0.len(), 50);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_profiles_are_what_was_sent_whenever_the_host_is_killed() -> Result<()> {
    let seed = seed();
    let scene = Scene::new(Tables::Embedded, seed)?;
    scene.torment(&mut Rng::with_seed(seed)).await?;
    let expected = scene.check().await?;
    assert!(expected.profiles.len() > 1_000 && expected.profiles.len() < EVENTS, "{}", expected.profiles.len());
    scene.ask(&expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_comes_out_in_mariadb() -> Result<()> {
    if !is_there("AZENHA_TEST_MARIADB") {
        return Ok(());
    }
    let (server, seed) = (std::env::var("AZENHA_TEST_MARIADB")?, seed());
    let database = format!("azenha_e2e_cdp_{}", std::process::id());
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {database}"));
    sqlx::raw_sql(create).execute(&mut MySqlConnection::connect(&server).await?).await?;
    let (base, _) = server.rsplit_once('/').context("the URL names no database")?;
    let scene = Scene::new(Tables::MariaDb(format!("{base}/{database}")), seed)?;
    scene.torment(&mut Rng::with_seed(seed)).await?;
    let expected = scene.check().await?;
    scene.ask(&expected)
}

/// The plugin that makes profiles has no business with what customers write, nor the one that enriches with a document
/// that it is not granted.
#[test]
fn a_plugin_is_not_given_a_column_that_it_is_not_granted() -> Result<()> {
    let azenha = Azenha::new()?;
    let pipeline = std::fs::read_to_string(repository().join("pipelines/cdp/pipeline.yaml"))?;
    let changed = |from: &str, to: &str| {
        assert!(pipeline.contains(from), "{from}");
        let path = azenha.write("cdp/pipeline.yaml", &pipeline.replace(from, to))?;
        azenha.run(["validate".to_owned(), path.display().to_string()])
    };
    let refused = changed("cookie, document, name, user_agent", "cookie, name, user_agent")?;
    assert!(!refused.status.success());
    let reason = "plugin `enrich-event` reads column `document`, which is not granted (it is personal data)";
    assert!(refused.text().contains(reason), "{}", refused.text());
    let refused = changed("value_cents, email, phone, document, name]", "email, phone, document, name]")?;
    let reason = "plugin `customer-profile` reads column `value_cents`, which is not granted";
    assert!(refused.text().contains(reason), "{}", refused.text());
    Ok(())
}
