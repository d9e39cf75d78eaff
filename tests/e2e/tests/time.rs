//! Event time: what disorder, lateness, batch sizes and windows do to results, and what they don't.

use std::path::Path;

use anyhow::Result;
use azenha_e2e::{Azenha, Click, Counts, Database, post, recount, shuffled, write_ndjson};
use fastrand::Rng;

const LATENESS: i64 = 30_000;

fn pipeline(window: &str, more: &str) -> String {
    format!(
        r"
name: timed
sources:
  clicks:
    topic: timed_clicks
    format: json
    schema: {{ campaignId: text, timestamp: timestamp(ms) }}
    event_time: {{ field: timestamp, lateness: 30s }}
steps:
  counts: {{ aggregate: click-count, from: clicks, by: [campaignId], window: {window}{more} }}
sinks:
  counts_output: {{ from: counts, topic: counts_output, key: [campaignId, start_time] }}
  warehouse:
    {{ from: counts_output, connection: warehouse, table: counts, key: [campaignId, start_time] }}
"
    )
}

/// Clicks of five campaigns, one each 200 ms on average.
fn clicks(count: i64, random: &mut Rng) -> Vec<Click> {
    let campaign = |random: &mut Rng| format!("campaign_{}", random.u32(0..5));
    (0..count)
        .map(|number| Click {
            campaign: campaign(random),
            timestamp: 1_700_000_000_000 + number * 200 + random.i64(0..200),
        })
        .collect()
}

async fn table(azenha: &Azenha, sql: &str) -> Result<Counts> {
    Database::open(&azenha.data().join("warehouse.db")).await?.counts(sql).await
}

const BY_START: &str = "SELECT campaignId, start_time, click_count FROM counts";

/// Runs a pipeline over clicks; gives the table and the dead letters.
async fn run(yaml: &str, clicks: &[Click], config: Option<&str>) -> Result<(Counts, Vec<serde_json::Value>)> {
    let azenha = Azenha::new()?;
    let pipeline = azenha.write("timed/pipeline.yaml", yaml)?;
    let file = azenha.path("clicks.ndjson");
    write_ndjson(&file, clicks.iter().map(Click::json))?;
    let config = config.map(|text| azenha.write("host.yaml", text)).transpose()?;
    let config = config.map(|path| path.display().to_string());
    let more: Vec<&str> = config.iter().flat_map(|path| ["--config", path.as_str()]).collect();
    azenha.run_once(&pipeline, &[("clicks", &file)], &more)?;
    Ok((table(&azenha, BY_START).await?, azenha.dead_letters("timed")?))
}

#[tokio::test(flavor = "multi_thread")]
async fn disorder_within_the_lateness_changes_nothing() -> Result<()> {
    let mut random = Rng::with_seed(11);
    let sorted = clicks(50_000, &mut random);
    let disordered = shuffled(&sorted, LATENESS, &mut random);
    assert_ne!(sorted, disordered);
    let yaml = pipeline("{ tumbling: 2m }", "");
    let lines: Vec<String> = sorted.iter().map(Click::json).collect();
    let expected = recount(lines.iter().map(String::as_str), 120_000).await?;
    for order in [&sorted, &disordered] {
        let (table, dead) = run(&yaml, order, None).await?;
        assert_eq!(table, expected);
        assert_eq!(dead.len(), 0);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_after_their_windows_closed_are_dead_letters_all_of_them() -> Result<()> {
    let mut random = Rng::with_seed(12);
    let mut order = shuffled(&clicks(20_000, &mut random), LATENESS, &mut random);
    // Rows far too late, at known places.
    for place in (5_000..20_000).step_by(1_000) {
        let late = Click { campaign: "late".to_owned(), timestamp: order[place].timestamp - 600_000 };
        order.insert(place, late);
    }
    let on_time: Vec<String> = order.iter().filter(|click| click.campaign != "late").map(Click::json).collect();
    let expected = recount(on_time.iter().map(String::as_str), 120_000).await?;
    let (table, dead) = run(&pipeline("{ tumbling: 2m }", ""), &order, None).await?;
    assert_eq!(table, expected);
    assert_eq!(dead.len(), 15);
    for letter in dead {
        assert_eq!(letter["cause"], "late", "{letter}");
        assert!(letter["record"]["value"]["text"].as_str().is_some_and(|text| text.contains("\"late\"")), "{letter}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_sizes_do_not_change_results() -> Result<()> {
    let mut random = Rng::with_seed(13);
    // Twice the lateness: many rows are late, and which ones must not depend on batches either.
    let order = shuffled(&clicks(20_000, &mut random), 12 * LATENESS, &mut random);
    for window in ["{ tumbling: 2m }", "{ hopping: 3m, every: 1m }", "{ session: 1s }"] {
        let mut first = None;
        for rows in [1, 7, 1_000, 10_000] {
            let config = format!("limits: {{ batch_rows: {rows} }}\n");
            let (table, dead) = run(&pipeline(window, ""), &order, Some(&config)).await?;
            assert!(!dead.is_empty() && !table.is_empty());
            let late: Vec<_> = dead.iter().map(|letter| letter["offset"].to_string()).collect();
            let result = (table, late);
            match &first {
                None => first = Some(result),
                Some(first) => assert_eq!(*first, result, "{window}, {rows} rows a batch"),
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hopping_windows_overlap_as_sql_counts_them() -> Result<()> {
    let mut random = Rng::with_seed(14);
    let clicks = clicks(20_000, &mut random);
    let (table, dead) = run(&pipeline("{ hopping: 3m, every: 1m }", ""), &clicks, None).await?;
    assert_eq!(dead.len(), 0);
    let lines: Vec<String> = clicks.iter().map(Click::json).collect();
    let mut database = Database::open(Path::new(":memory:")).await?;
    database.load(lines.iter().map(String::as_str)).await?;
    let sql = "WITH hops(hop) AS (VALUES (0), (1), (2)) \
               SELECT json_extract(line, '$.campaignId') AS campaign, \
                      datetime(json_extract(line, '$.timestamp') / 60000 * 60 - hop * 60, 'unixepoch') AS start, \
                      count(*) FROM lines, hops GROUP BY campaign, start";
    assert_eq!(table, database.counts(sql).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_grow_and_merge_as_sql_finds_their_gaps() -> Result<()> {
    let mut random = Rng::with_seed(15);
    let order = shuffled(&clicks(20_000, &mut random), LATENESS, &mut random);
    let (table, dead) = run(&pipeline("{ session: 1500ms }", ""), &order, None).await?;
    assert_eq!(dead.len(), 0);
    let lines: Vec<String> = order.iter().map(Click::json).collect();
    let mut database = Database::open(Path::new(":memory:")).await?;
    database.load(lines.iter().map(String::as_str)).await?;
    // A session starts where a campaign's last click is a gap away. Timestamps as the table writes them.
    let sql = "WITH clicks AS (SELECT json_extract(line, '$.campaignId') AS campaign, \
                                      json_extract(line, '$.timestamp') AS at FROM lines), \
                    marked AS (SELECT campaign, at, coalesce(at - lag(at) OVER each >= 1500, 1) AS starts \
                               FROM clicks WINDOW each AS (PARTITION BY campaign ORDER BY at)), \
                    numbered AS (SELECT campaign, at, sum(starts) OVER (PARTITION BY campaign ORDER BY at) AS number FROM marked) \
               SELECT campaign, \
                      datetime(min(at) / 1000, 'unixepoch') || CASE min(at) % 1000 WHEN 0 THEN '' ELSE printf('.%03d000', min(at) % 1000) END, \
                      count(*) FROM numbered GROUP BY campaign, number";
    let expected = database.counts(sql).await?;
    assert!(expected.len() > 100, "{} sessions", expected.len());
    assert_eq!(table, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn final_results_come_once_when_their_window_closes_and_a_finite_run_closes_all() -> Result<()> {
    let mut random = Rng::with_seed(16);
    let order = shuffled(&clicks(20_000, &mut random), LATENESS, &mut random);
    let azenha = Azenha::new()?;
    let yaml = pipeline("{ tumbling: 2m }", ", emit: final").replace("json\n", "json\n    partitions: 3\n");
    let pipeline = azenha.write("timed/pipeline.yaml", &yaml)?;
    let file = azenha.path("clicks.ndjson");
    write_ndjson(&file, order.iter().map(Click::json))?;
    let run = azenha.run_once(&pipeline, &[("clicks", &file)], &[])?;
    assert!(run.text().contains("closed"), "it says that windows were closed: {}", run.text());
    let lines: Vec<String> = order.iter().map(Click::json).collect();
    let expected = recount(lines.iter().map(String::as_str), 120_000).await?;
    assert_eq!(table(&azenha, BY_START).await?, expected);
    assert_eq!(azenha.topic("counts_output")?.len(), expected.len(), "one record a window");

    // The close is part of the history: later windows come once too, whatever ran in between.
    azenha.run_once(&pipeline, &[("clicks", &file)], &["--strict"])?;
    let later: Vec<Click> =
        order.iter().map(|click| Click { timestamp: click.timestamp + 7_200_000, ..click.clone() }).collect();
    let file = azenha.path("later.ndjson");
    write_ndjson(&file, later.iter().map(Click::json))?;
    azenha.run_once(&pipeline, &[("clicks", &file)], &["--strict"])?;
    assert_eq!(azenha.topic("counts_output")?.len(), 2 * expected.len());
    assert_eq!(table(&azenha, BY_START).await?.len(), 2 * expected.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_partition_holds_windows_open_only_for_a_while() -> Result<()> {
    let azenha = Azenha::new()?;
    let yaml = pipeline("{ tumbling: 2m }", ", emit: final")
        .replace("lateness: 30s", "lateness: 30s, idle_after: 1s")
        .replace("json\n", "json\n    partitions: 2\n    partitioned_by: [platform]\n")
        .replace("campaignId: text,", "campaignId: text, platform: text,");
    let pipeline = azenha.write("timed/pipeline.yaml", &yaml)?;
    let mut host = azenha.start(&[&pipeline], &[])?;
    // One platform, one partition: the other never gets a record.
    let click = |timestamp| Click { campaign: "only".to_owned(), timestamp }.json();
    let body = format!("{}\n{}\n", click(1_700_000_000_000), click(1_700_000_000_000));
    let sent = post(&host.address, "/topics/timed_clicks/records", "application/x-ndjson", &body)?;
    assert_eq!(sent.status, 200, "{sent:?}");
    let later = click(1_700_000_900_000);
    post(&host.address, "/topics/timed_clicks/records", "application/x-ndjson", &later)?;
    let path = azenha.data().join("warehouse.db");
    let mut database = Database::open(&path).await?;
    let mut counted = None;
    for _ in 0..1_000 {
        counted = database.number("SELECT click_count FROM counts WHERE campaignId = 'only'").await;
        if counted.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(counted, Some(2), "{}", host.log());
    host.terminate()?;
    Ok(())
}
