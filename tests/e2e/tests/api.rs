//! The HTTP API of a running host, and how it ends.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};
use azenha_e2e::{Azenha, Click, Database, Running, get, post};

const COUNTED: &str = r"
name: counted
sources:
  clicks:
    topic: clicks_in
    format: json
    partitions: 2
    schema: { campaignId: text, secret: { type: text?, pii: true }, timestamp: timestamp(ms) }
    event_time: { field: timestamp }
steps:
  kept: { transform: filter, from: clicks, config: { column: campaignId, present: true } }
  counts: { aggregate: click-count, from: kept, by: [campaignId] }
sinks:
  kept_out: { from: kept, topic: kept_out }
  warehouse: { from: counts, connection: warehouse, table: counts, key: [campaignId] }
";

fn start(azenha: &Azenha) -> Result<Running> {
    let pipeline = azenha.write("counted/pipeline.yaml", COUNTED)?;
    azenha.start(&[&pipeline], &[])
}

fn click(campaign: &str) -> String {
    Click { campaign: campaign.to_owned(), timestamp: 1_700_000_000_000 }.json()
}

fn metric(metrics: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let of = |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
    let lines: Vec<f64> = metrics.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    (!lines.is_empty()).then(|| lines.iter().sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_were_accepted_are_there_after_a_kill() -> Result<()> {
    let azenha = Azenha::new()?;
    let mut host = start(&azenha)?;
    let array = format!("[{},{}]", click("spring"), click("spring"));
    let answer = post(&host.address, "/topics/clicks_in/records", "application/json", &array)?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = format!("{}\n{}\n", click("autumn"), click("spring"));
    let answer = post(&host.address, "/topics/clicks_in/records", "application/x-ndjson", &lines)?;
    assert_eq!((answer.status, answer.json()?["appended"].as_u64()), (200, Some(2)), "{answer:?}");
    host.kill()?;

    let mut host = start(&azenha)?;
    let path = azenha.data().join("warehouse.db");
    let mut database = Database::open(&path).await?;
    let mut counted = None;
    for _ in 0..500 {
        counted = database.number("SELECT click_count FROM counts WHERE campaignId = 'spring'").await;
        if counted == Some(3) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(counted, Some(3));
    let (status, took) = host.terminate()?;
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(10), "SIGTERM took {took:?}");
    Ok(())
}

#[test]
fn wrong_requests_are_refused_with_what_would_be_right() -> Result<()> {
    let azenha = Azenha::new()?;
    let host = start(&azenha)?;
    let json = "application/json";
    let cases = [
        ("/topics/no_such_topic/records", json, "[]", 404),
        ("/topics/kept_out/records", json, "[]", 404),
        ("/topics/azenha.counted.counts.changelog/records", json, "[]", 404),
        ("/topics/clicks_in/records", json, "[{]", 400),
        ("/topics/clicks_in/records", json, "", 400),
        ("/topics/clicks_in/records", "text/plain", "hello", 415),
    ];
    for (path, kind, body, status) in cases {
        let answer = post(&host.address, path, kind, body)?;
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
        assert!(answer.json()?["error"].as_str().is_some_and(|error| !error.is_empty()), "{answer:?}");
    }
    for path in ["/pipelines/nobody", "/pipelines/counted/steps/nobody/tap"] {
        assert_eq!(get(&host.address, path)?.status, 404, "{path}");
    }
    Ok(())
}

#[test]
fn state_metrics_and_documentation_tell_what_runs() -> Result<()> {
    let azenha = Azenha::new()?;
    let mut host = start(&azenha)?;
    let lines: Vec<String> = (0..100).map(|number| click(&format!("campaign_{}", number % 3))).collect();
    let body = format!("{}\nnot json\n", lines.join("\n"));
    assert_eq!(post(&host.address, "/topics/clicks_in/records", "application/x-ndjson", &body)?.status, 200);
    let address = host.address.clone();
    host.wait_until("everything is processed", |_| {
        let pipeline = get(&address, "/pipelines/counted")?.json()?;
        let tasks = pipeline["tasks"].as_array().context("no tasks")?.clone();
        let lanes = tasks.iter().flat_map(|task| task["lanes"].as_array().into_iter().flatten());
        let mut read = 0;
        let mut caught_up = true;
        for lane in lanes {
            assert_eq!(lane["state"], "running", "{lane}");
            caught_up &= lane["lag"] == 0;
            read += lane["position"].as_u64().unwrap_or(0);
        }
        Ok(caught_up && read > 200)
    })?;
    let metrics = get(&host.address, "/metrics")?.body;
    let fold = ["pipeline=\"counted\"", "step=\"counts.fold\""];
    assert_eq!(metric(&metrics, "azenha_records_total", &fold), Some(101.0), "{metrics}");
    assert_eq!(metric(&metrics, "azenha_dead_letters_total", &fold), Some(1.0));
    for name in [
        "azenha_bytes_total",
        "azenha_batches_total",
        "azenha_lag",
        "azenha_commit_seconds_count",
        "azenha_plugin_seconds_total",
        "azenha_state_bytes",
    ] {
        assert!(metric(&metrics, name, &["pipeline=\"counted\""]).is_some(), "{name} is not in {metrics}");
    }
    assert_eq!(get(&host.address, "/livez")?.status, 200);
    assert_eq!(get(&host.address, "/pipelines")?.json()?[0]["name"], "counted");
    let described = get(&host.address, "/openapi.json")?.json()?;
    for path in ["/pipelines/{name}", "/topics/{topic}/records", "/pipelines/{name}/steps/{step}/tap", "/metrics"] {
        assert!(described["paths"][path].is_object(), "{path} is not described");
    }
    Ok(())
}

#[test]
fn a_tap_shows_live_rows_with_personal_data_masked() -> Result<()> {
    let azenha = Azenha::new()?;
    let host = start(&azenha)?;
    let mut stream = TcpStream::connect(&host.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET /pipelines/counted/steps/kept/tap HTTP/1.1\r\nHost: {}\r\n\r\n", host.address)?;
    let mut lines = BufReader::new(stream).lines();
    // The head says that the listener is there.
    assert!(lines.next().context("no answer")??.contains("200"));
    // The step is fused into two tasks; each row is shown once, with all columns that anybody reads.
    for campaign in ["spring", "autumn"] {
        let record = format!(r#"[{{"campaignId":"{campaign}","secret":"hidden words","timestamp":1700000000000}}]"#);
        assert_eq!(post(&host.address, "/topics/clicks_in/records", "application/json", &record)?.status, 200);
        let data = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("data:")).context("no row")?;
        assert!(data.contains(campaign) && data.contains("***") && !data.contains("hidden"), "{data}");
    }
    Ok(())
}
