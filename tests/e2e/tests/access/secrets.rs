//! What is secret is in no answer, no error and no log line.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Answer, Azenha, Click, Running, get};

use crate::helpers::{COPY, TOKENS, ask, define, show};

/// Stands in each secret.
const PLANTED: &str = "pl4nted";

/// Nobody listens at these ports: every error that a wrong address makes is made.
const CONNECTIONS: &str = "
connections:
  postgres: { url: 'postgres://shop:pl4nted-postgres@127.0.0.1:1/shop' }
  mysql: { url: 'mysql://shop:pl4nted-mysql@127.0.0.1:1/shop' }
  mongo: { url: 'mongodb://shop:pl4nted-mongo@127.0.0.1:1/shop?replicaSet=rs0' }
  engine: { url: 'http://shop:pl4nted-engine@127.0.0.1:1' }
  lake:
    url: 's3://lake'
    endpoint: 'http://127.0.0.1:1'
    allow_http: true
    access_key_id: 'key'
    secret_access_key: 'pl4nted-lake'
registry: { url: 'http://127.0.0.1:1', username: shop, password: 'pl4nted-registry' }
";

/// A log that nobody keeps at that port.
const KAFKA: &str = "
log:
  kafka:
    brokers: '127.0.0.1:1'
    security_protocol: SASL_PLAINTEXT
    sasl_mechanism: PLAIN
    sasl_username: shop
    sasl_password: 'pl4nted-kafka'
";

/// The connections, and what a sink is told beside them.
const SINKS: [(&str, &str); 5] = [
    ("postgres", "table: clicks, key: [campaignId]"),
    ("mysql", "table: clicks, key: [campaignId]"),
    ("mongo", "collection: clicks, key: [campaignId]"),
    ("engine", "index: clicks, key: [campaignId]"),
    ("lake", "objects: clicks, roll: { every: 200ms }"),
];

const YAML: [(&str, &str); 1] = [("Content-Type", "application/yaml")];

/// A pipeline that writes to one connection.
fn writing(connection: &str, target: &str) -> String {
    format!(
        "name: to_{connection}
sources:
  clicks: {{ topic: clicks_{connection}, schema: {{ campaignId: text, timestamp: timestamp(ms) }} }}
sinks:
  output: {{ from: clicks, connection: {connection}, {target} }}
"
    )
}

fn start(azenha: &Azenha) -> Result<Running> {
    let planted = ", { name: spare, token: pl4nted-0123456789abcdef, role: viewer } ]";
    let tokens = TOKENS.trim_end_matches(']').trim_end().to_owned() + planted;
    let config = azenha.write("host.yaml", &format!("http: {{ {tokens} }}\n{CONNECTIONS}"))?;
    azenha.launch(&[], &["--config", &config.display().to_string()], &[])
}

fn put(host: &Running, pipeline: &str, text: &str) -> Result<Answer> {
    ask(host, "deployer", "PUT", &format!("/pipelines/{pipeline}"), &YAML, text)
}

fn send(host: &Running, topic: &str, record: &str) -> Result<Answer> {
    let kind = [("Content-Type", "application/x-ndjson")];
    ask(host, "operator", "POST", &format!("/topics/{topic}/records"), &kind, record)
}

/// Has a pipeline write to each connection, and waits until all of them have failed; gives what was answered.
fn write_everywhere(host: &mut Running) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for (connection, target) in SINKS {
        let defined = put(host, &format!("to_{connection}"), &writing(connection, target))?;
        ensure!(defined.status == 201, "{connection}: {defined:?}");
        answers.push(defined);
    }
    // Objects are put when there is something in them.
    let click = Click { campaign: "campaign_1".to_owned(), timestamp: 1_700_000_000_000 }.json();
    host.wait_until("a click for the lake is taken", |host| Ok(send(host, "clicks_lake", &click)?.status == 200))?;
    for (connection, _) in SINKS {
        let path = format!("/pipelines/to_{connection}");
        host.wait_until(&format!("{connection} has failed"), |host| {
            Ok(show(host, "viewer", &path)?["error"].is_string())
        })?;
    }
    Ok(answers)
}

/// Has a pipeline of two versions refuse a record; gives the id of the dead letter, as paths have it.
fn refuse_a_record(host: &mut Running) -> Result<String> {
    ensure!(define(host)?.status == 201, "the pipeline is not taken");
    ensure!(put(host, "copy", &COPY.replace("copy_output", "copied"))?.status == 200, "its other version is not taken");
    ensure!(send(host, "clicks", "{")?.status == 200, "the record is not taken");
    let mut letter = None;
    host.wait_until("the record is a dead letter", |host| {
        let listed = show(host, "viewer", "/pipelines/copy/dead-letters")?;
        letter = listed["letters"][0]["id"].as_str().map(|id| id.replace('/', "%2F"));
        Ok(letter.is_some())
    })?;
    letter.context("no letter")
}

/// Asks for all that can be read of each pipeline, and for what decides or tries something without changing it.
fn ask_for_everything(host: &Running, letter: &str) -> Result<Vec<Answer>> {
    let described = show(host, "viewer", "/openapi.json")?;
    let routes = described["paths"].as_object().context("no paths")?;
    let to_sinks = SINKS.map(|(name, target)| (format!("to_{name}"), writing(name, target)));
    let copies = ["copy", "none"].map(|name| (name.to_owned(), COPY.to_owned()));
    let mut answers = Vec::new();
    for (name, text) in to_sinks.iter().chain(&copies) {
        for route in routes.keys().filter(|route| !route.contains("tap")) {
            let parameters =
                [("{name}", name.as_str()), ("{topic}", name.as_str()), ("{step}", "output"), ("{id}", letter)];
            let path = parameters.iter().fold(route.clone(), |path, (parameter, value)| path.replace(parameter, value));
            answers.push(ask(host, "deployer", "GET", &path, &[], "")?);
        }
        let pipeline = format!("/pipelines/{name}");
        answers.push(ask(host, "deployer", "POST", &format!("{pipeline}/steps/output/shadow"), &YAML, text)?);
        for path in ["rollback?dry_run=true".to_owned(), format!("dead-letters/{letter}/replay")] {
            answers.push(ask(host, "deployer", "POST", &format!("{pipeline}/{path}"), &[], "")?);
        }
    }
    Ok(answers)
}

#[test]
fn no_answer_no_error_and_no_log_line_has_a_secret() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    host.wait_until("the host answers", |host| Ok(get(&host.address, "/livez").is_ok()))?;
    let mut answers = write_everywhere(&mut host)?;
    let asking = writing("postgres", "table: clicks, key: [campaignId]")
        .replace("topic: clicks_postgres,", "topic: clicks_postgres, format: avro,");
    answers.push(put(&host, "to_postgres", &asking)?);
    answers.push(ask(&host, "pl4nted-wrong", "GET", "/pipelines", &[], "")?);
    answers.push(ask(&host, "pl4nted", "POST", "/pipelines/none/pause", &[], "")?);
    let letter = refuse_a_record(&mut host)?;
    answers.extend(ask_for_everything(&host, &letter)?);
    for answer in &answers {
        ensure!(!answer.body.contains(PLANTED), "an answer shows a secret: {answer:?}");
        ensure!(!answer.headers.iter().any(|(_, value)| value.contains(PLANTED)), "a header shows it: {answer:?}");
    }
    for said in ["\"accepted\"", "\"reproduced\"", "runs no plugin"] {
        ensure!(answers.iter().any(|answer| answer.body.contains(said)), "nothing answers {said}");
    }
    // What is logged comes a moment later.
    std::thread::sleep(Duration::from_millis(200));
    let log = host.log();
    for (connection, _) in SINKS {
        ensure!(log.contains(&format!("to_{connection}")), "nothing was logged of what failed at {connection}: {log}");
    }
    let line = log.lines().find(|line| line.contains(PLANTED));
    assert_eq!(line, None, "the log shows a secret");
    Ok(())
}

#[test]
fn a_host_that_does_not_reach_its_log_says_so_without_the_password() -> Result<()> {
    let azenha = Azenha::empty()?;
    let (config, data) = (azenha.write("host.yaml", KAFKA)?.display().to_string(), azenha.data().display().to_string());
    let arguments = ["run", "--config", &config, "--data", &data, "--listen", "127.0.0.1:0"];
    for level in ["info", "debug"] {
        let ended = azenha.run_with(arguments, &[("RUST_LOG", level)])?;
        ensure!(!ended.status.success() && ended.stderr.contains("connecting to Kafka"), "{}", ended.text());
        ensure!(!ended.text().contains(PLANTED), "what it says at {level} shows the password: {}", ended.text());
    }
    Ok(())
}
