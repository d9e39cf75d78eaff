//! The dashboard of the customer data platform, while events come in and questions are asked. The stores are MariaDB and
//! OpenSearch where they can be had, and otherwise files of SQLite. What Kafka and the search engine say of themselves is
//! asked for where AZENHA_TEST_KAFKA_EXPORTER and AZENHA_TEST_ELASTICSEARCH_EXPORTER are the paths of exporters.

use std::env;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, OwnDatabase, free_address, get, repository, send};

use crate::queries::{Asked, queries};
use crate::started::{
    ELASTICSEARCH_EXPORTER, HOSTS, KAFKA_EXPORTER, LOADS, PASSWORD, Started, adapted, eventually, kafka, log_of,
    start_host, start_prometheus,
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

/// What tells of others: with what its metrics' names begin, where Prometheus finds it in compose, and its program.
struct Exporter {
    metrics: &'static str,
    scraped: &'static str,
    address: String,
    _program: Started,
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

    /// Starts those who tell what Kafka and the search engine say of themselves, as compose does: each that is there, with
    /// what it tells of.
    async fn exporters(&self) -> Result<Vec<Exporter>> {
        let brokers =
            kafka().map(|brokers| brokers.split(',').map(|broker| format!("--kafka.server={broker}")).collect());
        let engine = self.stores.opensearch.as_ref().map(OwnDatabase::url).transpose()?;
        let engine = engine.map(|url| vec![format!("--es.uri={url}"), "--es.indices".to_owned()]);
        let mut exporters = Vec::new();
        for (metrics, scraped, variable, arguments) in [
            ("kafka_", KAFKA_EXPORTER, "AZENHA_TEST_KAFKA_EXPORTER", brokers),
            ("elasticsearch_", ELASTICSEARCH_EXPORTER, "AZENHA_TEST_ELASTICSEARCH_EXPORTER", engine),
        ] {
            let (Ok(program), Some(arguments)) = (env::var(variable), arguments) else {
                println!(
                    "skipped: {metrics}…, because {variable} is not set, or there is nothing that it could tell of"
                );
                continue;
            };
            let arguments: Vec<String> = arguments;
            let (started, address) = self.exporter(&program, &arguments).await?;
            exporters.push(Exporter { metrics, scraped, address, _program: started });
        }
        Ok(exporters)
    }

    /// An exporter that answers, and where.
    async fn exporter(&self, program: &str, arguments: &[String]) -> Result<(Started, String)> {
        let (address, log) = (free_address()?, self.azenha.path("exporter.log"));
        let mut command = Command::new(program);
        command.args(arguments).arg(format!("--web.listen-address={address}"));
        command.stdout(Stdio::null()).stderr(fs::File::create(&log)?);
        let mut started = Started(command.spawn().context(program.to_owned())?);
        eventually("an exporter answers", async || {
            ensure!(started.0.try_wait()?.is_none(), "{program} has ended: {}", fs::read_to_string(&log)?);
            Ok(get(&address, "/metrics").is_ok_and(|answer| answer.status == 200))
        })
        .await?;
        Ok((started, address))
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
    let exporters = scene.exporters().await?;
    let mut scraped = vec![(HOSTS, scene.address.as_str()), (LOADS, &load)];
    scraped.extend(exporters.iter().map(|exporter| (exporter.scraped, exporter.address.as_str())));
    let (_prometheus, prometheus) = start_prometheus(&scene.azenha, &prometheus, &scraped).await?;
    let told: Vec<&str> = exporters.iter().map(|exporter| exporter.metrics).collect();
    let open = queries("cdp", &told)?;
    ensure!(open.len() >= 30, "the dashboard has {} queries", open.len());
    let log = || fs::read_to_string(scene.azenha.path("load.log")).unwrap_or_default();
    Asked { prometheus, grafana: None }.until_answered(open, || scene.ask()).await.with_context(log)
}
