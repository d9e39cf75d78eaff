//! The customer data platform: events of several sources, some of them broken, into a database and a search engine, and
//! profiles beside them, with a host that is killed at random and servers that crash; everything must be what is found again
//! from the topic by other means.

mod group;
mod outages;
mod study;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use azenha_e2e::cdp::{Customers, Profile, moment};
use azenha_e2e::{Azenha, Database, OwnDatabase, Running, figure, get, post, repository, seed};
use fastrand::Rng;
use serde_json::{Value, json};
use sqlx::mysql::MySqlConnection;
use sqlx::{Connection, Row};

const EVENTS: usize = 40_000;
const KILLS: usize = 10;
/// A host that is quick may be done between two looks.
const LEAST_IN_THE_MIDDLE: usize = 3;

const EVENT_IDS: &str = "SELECT id FROM eventos";
const PROFILES: &str = "SELECT customer, events, purchases, reviews, complaints, value_cents, sources, \
    CAST(first_seen AS CHAR), CAST(last_seen AS CHAR), channel, email, phone, document, name, identifiers FROM perfis";

/// Both endpoints over the same events.
const ENDPOINTS: [&str; 2] = ["/eventos_db/", "/eventos_es/"];

/// All of time, and pages as large as they may be.
const ALWAYS: &str = "desde=2020-01-01T00:00:00Z&limit=500";

/// Words of most events: the shop describes what customers look at with them.
const FREQUENT: &str = "nossa+linha";

/// Documents that the engine gives at once, at most.
const AT_ONCE: usize = 10_000;

/// Where rows go.
struct Servers {
    database: OwnDatabase,
    engine: OwnDatabase,
}

impl Servers {
    /// A database, such as `OwnDatabase::mariadb` starts, and an engine; none if one of them cannot be had.
    fn start(database: fn() -> Result<Option<OwnDatabase>>) -> Result<Option<Self>> {
        let (Some(database), Some(engine)) = (database()?, OwnDatabase::opensearch()?) else {
            return Ok(None);
        };
        Ok(Some(Self { database, engine }))
    }

    /// The host's connections to them.
    fn connections(&self) -> Result<String> {
        let (cdp, busca) = (self.database.url()?, self.engine.url()?);
        Ok(format!("connections: {{ cdp: {{ url: \"{cdp}\" }}, busca: {{ url: \"{busca}\" }} }}\n"))
    }

    async fn connect(&self) -> Result<MySqlConnection> {
        Ok(MySqlConnection::connect(&self.database.url()?).await?)
    }

    async fn event_ids(&self) -> Result<Vec<String>> {
        let rows = sqlx::query(EVENT_IDS).fetch_all(&mut self.connect().await?).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn profiles(&self) -> Result<Vec<ProfileRow>> {
        Ok(sqlx::query_as(PROFILES).fetch_all(&mut self.connect().await?).await?)
    }

    /// Host and port of the engine.
    fn engine_address(&self) -> Result<String> {
        Ok(self.engine.url()?.trim_start_matches("http://").to_owned())
    }

    /// Events that can be found in the engine by now.
    fn count_in_engine(&self) -> Result<usize> {
        let engine = self.engine_address()?;
        get(&engine, "/eventos/_refresh")?;
        let count = get(&engine, "/eventos/_count")?.json()?["count"].as_u64().context("no count")?;
        Ok(count as usize)
    }

    /// The ids of the events that can be found in the engine, as it says itself.
    fn ids_in_engine(&self) -> Result<Vec<String>> {
        let engine = self.engine_address()?;
        let mut ids: Vec<String> = Vec::new();
        loop {
            let mut question = json!({ "size": AT_ONCE, "_source": false, "sort": ["id"] });
            if let Some(last) = ids.last() {
                question["search_after"] = json!([last]);
            }
            let answer = post(&engine, "/eventos/_search", "application/json", &question.to_string())?.json()?;
            let found = answer["hits"]["hits"].as_array().with_context(|| answer.to_string())?;
            let id = |hit: &Value| hit["sort"][0].as_str().map(str::to_owned).context("a document without an id");
            ids.extend(found.iter().map(id).collect::<Result<Vec<String>>>()?);
            if found.len() < AT_ONCE {
                return Ok(ids);
            }
        }
    }

    /// After a crash the database has every row, but its full-text index may lack some that it was writing.
    async fn mend_index(&self) -> Result<()> {
        let mend = "SET SESSION innodb_ft_enable_stopword = OFF; OPTIMIZE TABLE eventos";
        sqlx::raw_sql(mend).execute(&mut self.connect().await?).await?;
        Ok(())
    }
}

/// A row of the table, as the statement has it.
type ProfileRow = (
    String,
    i64,
    i64,
    i64,
    i64,
    i64,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
);

/// Profiles by customer.
fn by_customer(rows: Vec<ProfileRow>) -> BTreeMap<String, Profile> {
    let profile = |row: ProfileRow| {
        let (customer, events, purchases, reviews, complaints, value_cents, sources, first_seen, last_seen, ..) = row;
        let (.., channel, email, phone, document, name, identifiers) = row;
        let (first_seen, last_seen) = (moment(&first_seen), moment(&last_seen));
        let latest = [channel, email, phone, document, name];
        let counted = Profile { events, purchases, reviews, complaints, value_cents, ..Profile::default() };
        (customer, Profile { sources, first_seen, last_seen, latest, identifiers, ..counted })
    };
    rows.into_iter().map(profile).collect()
}

/// That the profiles are those of the customers that were found by other means.
fn check_profiles(found: &BTreeMap<String, Profile>, expected: &Customers) -> Result<()> {
    assert_eq!(found.values().map(|profile| profile.events).sum::<i64>() as usize, expected.events.len());
    let differing = expected.profiles.iter().find(|(customer, profile)| found.get(*customer) != Some(*profile));
    if let Some((customer, profile)) = differing {
        anyhow::bail!("{customer}: {:?}, not {profile:?}", found.get(customer));
    }
    assert_eq!(found.len(), expected.profiles.len(), "profiles that nobody has");
    Ok(())
}

struct Scene {
    azenha: Azenha,
    pipeline: PathBuf,
    /// None: files of SQLite.
    servers: Option<Servers>,
}

impl Scene {
    /// A topic of two partitions that holds events, and nobody who has read them.
    fn new(servers: Option<Servers>, seed: u64) -> Result<Self> {
        let azenha = Azenha::new()?;
        let config = servers.as_ref().map_or(Ok("{}".to_owned()), Servers::connections)?;
        azenha.write("host.yaml", &config)?;
        let (data, records, seed) = (azenha.data().display().to_string(), EVENTS.to_string(), seed.to_string());
        let load = ["load", "--generator", "cdp", "--topic", "cdp_events", "--partitions", "2", "--data", &data];
        azenha.succeed(load.into_iter().chain([
            "--records",
            &records,
            "--key",
            "id",
            "--broken",
            "0.02",
            "--seed",
            &seed,
        ]))?;
        Ok(Self { azenha, pipeline: repository().join("pipelines/cdp"), servers })
    }

    fn config(&self) -> String {
        self.azenha.path("host.yaml").display().to_string()
    }

    fn arguments(&self) -> Vec<String> {
        self.azenha.run_arguments(&self.pipeline, &[], &["--once", "--config", &self.config()])
    }

    async fn event_ids(&self) -> Result<Vec<String>> {
        if let Some(servers) = &self.servers {
            return servers.event_ids().await;
        }
        let rows: Vec<(String,)> = self.database().await?.rows(EVENT_IDS).await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    async fn profiles(&self) -> Result<BTreeMap<String, Profile>> {
        Ok(by_customer(match &self.servers {
            None => self.database().await?.rows(PROFILES).await?,
            Some(servers) => servers.profiles().await?,
        }))
    }

    async fn database(&self) -> Result<Database> {
        Database::open(&self.azenha.data().join("cdp.db")).await
    }

    /// The events in the table so far.
    async fn written(&self) -> usize {
        self.event_ids().await.map_or(0, |ids| ids.len())
    }

    /// Kills the host at random moments, and the servers once each while it is at work.
    async fn torment(&self, random: &mut Rng) -> Result<()> {
        let mut in_the_middle = 0;
        for number in 0..KILLS {
            let before = self.written().await;
            let mut running = self.azenha.spawn(self.arguments())?;
            // Measured from progress, so that slow machines and fast ones are killed at work; the share of what is left
            // bounds how far one run may come.
            let goal = before + random.usize(1..=(EVENTS - before) / (KILLS - number));
            let deadline = Instant::now() + Duration::from_secs(60);
            while self.written().await < goal && running.ended()?.is_none() && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(random.u64(1..8))).await;
            }
            if let Some(Servers { database, engine }) = &self.servers {
                match number {
                    3 => database.crash()?,
                    5 => engine.crash()?,
                    _ => {}
                }
            }
            running.kill()?;
            in_the_middle += usize::from((1..EVENTS * 9 / 10).contains(&self.written().await));
        }
        figure(
            "kills of a host of the customer data platform",
            format_args!("{in_the_middle} of {KILLS} fell in the middle of the work"),
        );
        assert!(in_the_middle >= LEAST_IN_THE_MIDDLE);
        Ok(())
    }

    /// Runs to the end, and compares.
    async fn check(&self) -> Result<Customers> {
        self.azenha.succeed(self.arguments())?;
        let expected = Customers::of(&self.azenha.topic("cdp_events")?);
        let ids = self.event_ids().await?;
        ensure!(ids.len() + expected.dead == EVENTS, "{} events, {} dead letters", ids.len(), expected.dead);
        assert!(expected.dead > EVENTS / 100, "{} events are broken", expected.dead);
        assert_eq!(self.azenha.dead_letters("cdp")?.len(), expected.dead);
        assert!(ids.into_iter().collect::<BTreeSet<_>>() == expected.events, "other events than were sent");
        check_profiles(&self.profiles().await?, &expected)?;
        Ok(expected)
    }

    /// Asks the queries of a host that has nothing left to do.
    async fn ask(&self, expected: &Customers) -> Result<()> {
        let mut host = self.azenha.start(&[&self.pipeline], &["--config", &self.config()])?;
        let all = format!("/eventos_es/?{ALWAYS}");
        host.wait_until("the engine shows every event", |host| Ok(pages(host, &all)?.len() == expected.events.len()))?;
        if let Some(servers) = &self.servers {
            print_what_the_index_lacks(&host);
            servers.mend_index().await?;
        }
        check_pages(&host, expected)?;
        check_searches(&host)?;
        check_customers(&host, expected)?;
        ENDPOINTS.iter().try_for_each(|endpoint| check_refusals(&host, endpoint))
    }
}

fn rows(host: &Running, path: &str) -> Result<(Vec<Value>, Value)> {
    let answer = get(&host.address, path)?;
    ensure!(answer.status == 200, "{path}: {}", answer.body);
    let answer = answer.json()?;
    Ok((answer["rows"].as_array().context("no rows")?.clone(), answer["next"].clone()))
}

/// The rows of all pages.
fn pages(host: &Running, question: &str) -> Result<Vec<Value>> {
    let (mut found, mut path) = (Vec::new(), question.to_owned());
    loop {
        let (page, next) = rows(host, &path)?;
        found.extend(page);
        match next.as_str() {
            Some(next) => path = format!("{question}&cursor={next}"),
            None => return Ok(found),
        }
    }
}

/// The rows of all pages of both endpoints, for the same question.
fn both(host: &Running, question: &str) -> Result<[Vec<Value>; 2]> {
    let [in_database, in_engine] = ENDPOINTS.map(|endpoint| pages(host, &format!("{endpoint}?{question}")));
    Ok([in_database?, in_engine?])
}

fn ids(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().filter_map(|row| row["id"].as_str()).map(str::to_owned).collect()
}

/// How much a crash cost the full-text index, of which nothing is promised.
fn print_what_the_index_lacks(host: &Running) {
    match both(host, &format!("q={FREQUENT}&{ALWAYS}")) {
        Ok([in_database, in_engine]) => {
            let lacking = ids(&in_engine).difference(&ids(&in_database)).count();
            println!("/eventos_db/ lacks {lacking} of {} events before its index is made anew", in_engine.len());
        }
        Err(error) => println!("what the index lacks before it is made anew cannot be told: {error:#}"),
    }
}

/// Both endpoints give every event that was sent, in the same order, and the same of each.
fn check_pages(host: &Running, expected: &Customers) -> Result<()> {
    let [in_database, in_engine] = both(host, ALWAYS)?;
    ensure!(in_database == in_engine, "the stores hold different events");
    ensure!(in_engine.len() == expected.events.len(), "{} events", in_engine.len());
    ensure!(ids(&in_engine) == expected.events, "other events than were sent");
    Ok(())
}

/// Both endpoints give the same events for the same words, and those that hold them.
fn check_searches(host: &Running) -> Result<()> {
    for (words, held) in
        [("PROCURAR+procon", "vou procurar o Procon"), ("garantia+fabrica%C3%A7%C3%A3o", "A garantia cobre")]
    {
        let [in_database, in_engine] = both(host, &format!("q={words}&{ALWAYS}"))?;
        assert!(in_database.len() > 100, "{words}: {} events", in_database.len());
        assert!(in_database.iter().all(|row| row["text"].as_str().is_some_and(|text| text.contains(held))));
        assert!(in_database == in_engine, "{words}: {} events, {} in the engine", in_database.len(), in_engine.len());
    }
    let by_scan = pages(host, &format!("/eventos_like/?q=vou+procurar+o+procon&{ALWAYS}"))?;
    assert!(by_scan == pages(host, &format!("/eventos_db/?q=procurar+procon&{ALWAYS}"))?);
    for endpoint in ENDPOINTS {
        assert!(
            rows(host, &format!("{endpoint}?q=procon&desde=2019-01-01T00:00:00Z&ate=2020-01-01T00:00:00Z"))?
                .0
                .is_empty()
        );
        assert!(rows(host, &format!("{endpoint}?q=abracadabra&{ALWAYS}"))?.0.is_empty());
    }
    Ok(())
}

fn check_customers(host: &Running, expected: &Customers) -> Result<()> {
    let is_known = |(customer, _): &(&String, &Profile)| customer.starts_with("document:");
    let known = expected.profiles.iter().filter(is_known);
    let (customer, profile) = known.max_by_key(|(_, profile)| profile.events).context("nobody")?;
    let (found, _) = rows(host, &format!("/perfis/{customer}"))?;
    let [row] = found.as_slice() else { anyhow::bail!("{} rows of {customer}", found.len()) };
    assert_eq!((row["events"].as_i64(), row["sources"].as_str()), (Some(profile.events), Some(&*profile.sources)));
    let document = row["document"].as_str().context("no document")?;
    assert!(document.len() == 32 && !row.to_string().contains("example.com"), "personal data is hashed: {row}");
    let identifiers = row["identifiers"].as_str().context("no identifiers")?;
    for endpoint in ENDPOINTS {
        let events = pages(host, &format!("{endpoint}?customer={identifiers}&{ALWAYS}"))?;
        assert_eq!(events.len() as i64, profile.events, "{endpoint}: all events of the customer, and no others");
        let some = pages(host, &format!("{endpoint}?customer=document:{document}&{ALWAYS}"))?;
        assert!(!some.is_empty() && some.iter().all(|event| event["document"] == document), "{endpoint}");
    }
    // A name that the customer does not have any more.
    let (_, absorbed) = identifiers.rsplit_once(',').context("one identifier")?;
    assert!(rows(host, &format!("/perfis/{absorbed}"))?.0.is_empty(), "{absorbed} is {customer} by now");
    Ok(())
}

fn check_refusals(host: &Running, endpoint: &str) -> Result<()> {
    let long = format!("q={}", "x".repeat(201));
    let no_column = "customer=password:1";
    for wrong in
        ["limit=1000000000", "limit=-1", "cursor=nonsense", "desde=ontem", "nada=1", "customer=9f", no_column, &long]
    {
        assert_eq!(get(&host.address, &format!("{endpoint}?{wrong}"))?.status, 400, "{endpoint}?{wrong}");
    }
    for injection in ["%27+OR+1%3D1+--", "%22%3B+DROP+TABLE+eventos%3B+--", "%28%2B%2A%22"] {
        assert!(rows(host, &format!("{endpoint}?q={injection}&{ALWAYS}"))?.0.is_empty(), "{endpoint}: {injection}");
        assert!(
            rows(host, &format!("{endpoint}?customer=email:{injection}&{ALWAYS}"))?.0.is_empty(),
            "{endpoint}: {injection}"
        );
        assert!(rows(host, &format!("/perfis/{injection}"))?.0.is_empty(), "{injection}");
    }
    assert_eq!(rows(host, &format!("{endpoint}?desde=2020-01-01T00:00:00Z"))?.0.len(), 50);
    Ok(())
}

async fn play(servers: Option<Servers>) -> Result<()> {
    let seed = seed();
    let scene = Scene::new(servers, seed)?;
    scene.torment(&mut Rng::with_seed(seed)).await?;
    let expected = scene.check().await?;
    let count = expected.profiles.len();
    assert!(count > 1_000 && count < expected.events.len() * 9 / 10, "{count} customers");
    scene.ask(&expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_profiles_are_what_was_sent_whenever_the_host_is_killed() -> Result<()> {
    play(None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_comes_out_of_mariadb_and_opensearch_whatever_crashes() -> Result<()> {
    let Some(servers) = Servers::start(OwnDatabase::mariadb)? else { return Ok(()) };
    play(Some(servers)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_comes_out_of_mysql_and_opensearch_whatever_crashes() -> Result<()> {
    let Some(servers) = Servers::start(OwnDatabase::mysql)? else { return Ok(()) };
    play(Some(servers)).await
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
    let refused =
        changed("value_cents, email, phone, cookie, document, name]", "email, phone, cookie, document, name]")?;
    let reason = "plugin `customer-profile` reads column `value_cents`, which is not granted";
    assert!(refused.text().contains(reason), "{}", refused.text());
    Ok(())
}

/// The columns that enter the sandbox of a step's plugin, as the host says.
fn read_by<'a>(graph: &'a Value, step: &str) -> BTreeSet<&'a str> {
    let nodes = graph["nodes"].as_array().into_iter().flatten();
    let steps = nodes.filter_map(|node| node["steps"].as_array()).flatten().filter(|known| known["name"] == step);
    let reads = steps.filter_map(|step| step["reads"].as_array()).flatten();
    reads.filter_map(|column| column["name"].as_str()).collect()
}

#[test]
fn plugins_are_granted_what_they_read_and_profiles_nothing_of_what_customers_write() -> Result<()> {
    let azenha = Azenha::new()?;
    let folder = repository().join("pipelines/cdp");
    let definition: Value = serde_saphyr::from_str(&std::fs::read_to_string(folder.join("pipeline.yaml"))?)?;
    let host = azenha.start(&[&folder], &[])?;
    let graph = get(&host.address, "/pipelines/cdp/graph")?.json()?;
    for step in ["enriquecidos", "clientes"] {
        let granted = definition["steps"][step]["columns"].as_array().context("it grants no columns by name")?;
        let granted: BTreeSet<&str> = granted.iter().filter_map(Value::as_str).collect();
        assert_eq!(granted, read_by(&graph, step), "{step}");
    }
    let of_profiles = read_by(&graph, "clientes");
    assert!(of_profiles.contains("email"), "{of_profiles:?}");
    assert!(["text", "search_text"].iter().all(|written| !of_profiles.contains(written)), "{of_profiles:?}");
    Ok(())
}
