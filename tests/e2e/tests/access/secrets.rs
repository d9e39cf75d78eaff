//! What is secret is in no answer, no error and no log line.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, Running, get};

use crate::helpers::{TOKENS, ask, show};

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

/// A pipeline that writes to one connection.
fn writing(connection: &str, target: &str) -> String {
    format!(
        "name: to_{connection}
sources:
  clicks: {{ topic: clicks_{connection}, schema: {{ campaignId: text, timestamp: timestamp(ms) }} }}
sinks:
  output: {{ from: clicks, connection: {connection}, {target}, key: [campaignId] }}
"
    )
}

fn start(azenha: &Azenha) -> Result<Running> {
    let planted = ", { name: spare, token: pl4nted-0123456789abcdef, role: viewer } ]";
    let tokens = TOKENS.trim_end_matches(']').trim_end().to_owned() + planted;
    let config = azenha.write("host.yaml", &format!("http: {{ {tokens} }}\n{CONNECTIONS}"))?;
    azenha.launch(&[], &["--config", &config.display().to_string()], &[])
}

#[test]
fn no_answer_no_error_and_no_log_line_has_a_secret() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    host.wait_until("the host answers", |host| Ok(get(&host.address, "/livez").is_ok()))?;
    let mut answers = Vec::new();
    let sinks = [
        ("postgres", "table: clicks"),
        ("mysql", "table: clicks"),
        ("mongo", "collection: clicks"),
        ("engine", "index: clicks"),
    ];
    let yaml = [("Content-Type", "application/yaml")];
    for (connection, target) in sinks {
        let path = format!("/pipelines/to_{connection}");
        answers.push(ask(&host, "deployer", "PUT", &path, &yaml, &writing(connection, target))?);
    }
    let asking = writing("postgres", "table: clicks")
        .replace("topic: clicks_postgres,", "topic: clicks_postgres, format: avro,");
    answers.push(ask(&host, "deployer", "PUT", "/pipelines/to_postgres", &yaml, &asking)?);
    answers.push(ask(&host, "pl4nted-wrong", "GET", "/pipelines", &[], "")?);
    answers.push(ask(&host, "pl4nted", "POST", "/pipelines/none/pause", &[], "")?);
    let tried = sinks.map(|(connection, _)| format!("/pipelines/to_{connection}"));
    host.wait_until("each pipeline has tried", |host| {
        Ok(tried.iter().all(|path| {
            let shown = show(host, "viewer", path).map(|shown| shown.to_string()).unwrap_or_default();
            shown.contains("\"error\"") || shown.is_empty()
        }))
    })?;
    let described = show(&host, "viewer", "/openapi.json")?;
    let routes = described["paths"].as_object().context("no paths")?.keys().filter(|path| !path.contains("tap"));
    for path in routes {
        for name in ["to_postgres", "to_mysql", "to_mongo", "to_engine", "none"] {
            let path = ["{name}", "{topic}", "{id}"]
                .iter()
                .fold(path.clone(), |path, parameter| path.replace(parameter, name));
            answers.push(ask(&host, "deployer", "GET", &path, &[], "")?);
        }
    }
    for answer in &answers {
        ensure!(!answer.body.contains(PLANTED), "an answer shows a secret: {answer:?}");
        ensure!(!answer.headers.iter().any(|(_, value)| value.contains(PLANTED)), "a header shows it: {answer:?}");
    }
    // What is logged comes a moment later.
    std::thread::sleep(Duration::from_millis(200));
    let log = host.log();
    assert!(log.contains("to_postgres"), "nothing was logged of what failed: {log}");
    let line = log.lines().find(|line| line.contains(PLANTED));
    assert_eq!(line, None, "the log shows a secret");
    Ok(())
}
