//! The dashboard of the customer data platform, while events come in and questions are asked. The stores are MariaDB and
//! OpenSearch where they can be had, and otherwise files of SQLite.

use std::env;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, OwnDatabase, repository, send};

use crate::queries::{Asked, queries};
use crate::started::{
    HOSTS, LOADS, PASSWORD, Started, adapted, eventually, free_address, kafka, log_of, start_host, start_prometheus,
};

/// Events a second.
const RATE: &str = "300";

/// Questions of which some find events, one is wrong, and one has no word that anybody wrote.
const QUESTIONS: [&str; 6] = [
    "/eventos_db/?q=garantia",
    "/eventos_es/?q=garantia",
    "/eventos_like/?q=garantia",
    "/eventos_es/?q=abracadabra",
    "/eventos_db/?limit=-1",
    "/perfis/nobody",
];

struct Stores {
    mariadb: Option<OwnDatabase>,
    opensearch: Option<OwnDatabase>,
}

impl Stores {
    fn start() -> Result<Self> {
        Ok(Self { mariadb: OwnDatabase::mariadb()?, opensearch: OwnDatabase::opensearch()? })
    }

    /// The variables by which the host's configuration finds them.
    fn variables(&self, azenha: &Azenha) -> Result<[(&'static str, String); 2]> {
        let url = |store: &Option<OwnDatabase>, file: &str| match store {
            Some(store) => store.url(),
            None => Ok(format!("sqlite://{}", azenha.path(file).display())),
        };
        Ok([("CDP", url(&self.mariadb, "cdp.db")?), ("BUSCA", url(&self.opensearch, "busca.db")?)])
    }
}

struct Scene {
    azenha: Azenha,
    stores: Stores,
    topic: String,
    /// Where the host listens.
    address: String,
}

impl Scene {
    /// On a broker that other tests use too, names are the test's own.
    fn new() -> Result<Self> {
        let (azenha, topic) = (Azenha::new()?, format!("cdp_{}", std::process::id()));
        azenha.write("host.yaml", &adapted("host.yaml", &log_of(&azenha))?)?;
        let mut pipeline = fs::read_to_string(repository().join("pipelines/cdp/pipeline.yaml"))?;
        for (name, own) in [
            ("name: cdp\n", format!("name: {topic}\n")),
            ("topic: cdp_events", format!("topic: {topic}")),
            ("topic: cdp_enriched", format!("topic: {topic}_enriched")),
        ] {
            ensure!(pipeline.contains(name), "the pipeline has no `{name}`");
            pipeline = pipeline.replace(name, &own);
        }
        azenha.write("cdp/pipeline.yaml", &pipeline)?;
        Ok(Self { azenha, stores: Stores::start()?, topic, address: free_address()? })
    }

    /// A command with the environment that compose gives its services.
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.azenha.command(arguments)?;
        command.envs(self.stores.variables(&self.azenha)?).env("LISTEN", &self.address);
        command.env("WAREHOUSE", "postgres://nobody@nowhere/nothing").env("CDP_SALT", PASSWORD);
        command.env("AZENHA_TOKEN", PASSWORD).env("AZENHA_METRICS_TOKEN", format!("metrics_{PASSWORD}"));
        command.envs(kafka().map(|brokers| ("KAFKA", brokers)));
        command.stdout(Stdio::null()).stderr(fs::File::create(self.azenha.path(&format!("{}.log", arguments[0])))?);
        Ok(command)
    }

    /// Sends events, some of them broken, and tells at an address how that goes.
    fn load(&self, metrics: &str) -> Result<Started> {
        let config = self.azenha.path("host.yaml").display().to_string();
        let target = match kafka() {
            Some(_) => ["--config".to_owned(), config],
            None => ["--server".to_owned(), format!("http://{}", self.address)],
        };
        let arguments = ["load", "--generator", "cdp", "--topic", &self.topic, "--rate", RATE, "--broken", "0.1"];
        let arguments = arguments.into_iter().chain(target.iter().map(String::as_str)).chain(["--metrics", metrics]);
        Ok(Started(self.command(&arguments.collect::<Vec<_>>())?.spawn()?))
    }

    fn ask(&self) -> Result<()> {
        let token = format!("Bearer {PASSWORD}");
        for question in QUESTIONS {
            let answer = send(&self.address, "GET", question, &[("Authorization", &token)], b"")?;
            let wanted = if question.contains('-') { 400 } else { 200 };
            ensure!(answer.status == wanted, "{question}: {answer:?}");
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_cdp_dashboard_gives_values_that_change_while_events_come_in() -> Result<()> {
    let Ok(prometheus) = env::var("AZENHA_TEST_PROMETHEUS") else {
        println!("skipped: AZENHA_TEST_PROMETHEUS is not set");
        return Ok(());
    };
    let (scene, load) = (Scene::new()?, free_address()?);
    let host = scene.command(&["run", "cdp", "--config", "host.yaml"])?;
    let _host = start_host(&scene.azenha, host, &scene.address).await?;
    eventually("questions are answered", async || Ok(scene.ask().is_ok())).await?;
    let _load = scene.load(&load)?;
    let scraped = [(HOSTS, scene.address.as_str()), (LOADS, &load)];
    let (_prometheus, prometheus) = start_prometheus(&scene.azenha, &prometheus, &scraped).await?;
    let open = queries("cdp")?;
    ensure!(open.len() >= 30, "the dashboard has {} queries", open.len());
    let log = || fs::read_to_string(scene.azenha.path("load.log")).unwrap_or_default();
    Asked { prometheus, grafana: None }.until_answered(open, || scene.ask()).await.with_context(log)
}
