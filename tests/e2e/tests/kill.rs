//! Nothing is lost and nothing counted twice, whenever the host is killed.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use azenha_e2e::{Azenha, Click, Counts, Database, figure, recount, repository, shuffled, text_of, write_ndjson};
use azenha_engine::partition::partition_of;
use fastrand::Rng;

const WINDOW: i64 = 120_000;
const KILLS: usize = 25;
const IN_THE_MIDDLE: usize = 20;
/// Records a second at most while hosts are killed: a quick machine must not be done between two looks.
const RATE: &str = "200000";

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    let seed = std::env::var("AZENHA_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(now);
    println!("AZENHA_SEED={seed}");
    seed
}

struct Trial {
    azenha: Azenha,
    pipeline: PathBuf,
    file: PathBuf,
    total: i64,
}

impl Trial {
    async fn counted(&self) -> Option<i64> {
        let path = self.azenha.data().join("warehouse.db");
        if !path.exists() {
            return None;
        }
        Database::open(&path).await.ok()?.number("SELECT sum(click_count) FROM click_counts").await
    }

    /// Kills the host at random moments, and says how many of them were in the middle of the work.
    async fn torment(&self, random: &mut Rng) -> Result<usize> {
        let mut in_the_middle = 0;
        let more = ["--once", "--rate", RATE];
        let arguments = self.azenha.run_arguments(&self.pipeline, &[("clicks", &self.file)], &more);
        for number in 0..KILLS {
            let before = self.counted().await.unwrap_or(0);
            let mut running = self.azenha.spawn(&arguments)?;
            // The moment is random, but measured from the first sign of progress, so that slow machines and
            // fast ones are killed at work; the share of what is left bounds how far one run may come.
            let share = (self.total - before) / (KILLS - number) as i64;
            let goal = before + random.i64(1..=share.max(2));
            let deadline = std::time::Instant::now() + Duration::from_secs(60);
            while self.counted().await.unwrap_or(0) < goal
                && running.ended()?.is_none()
                && std::time::Instant::now() < deadline
            {
                std::thread::sleep(Duration::from_millis(random.u64(1..8)));
            }
            running.kill()?;
            let after = self.counted().await.unwrap_or(0);
            ensure!(after >= before, "kill {number}: the table went back from {before} to {after}");
            in_the_middle += usize::from(after > 0 && after < self.total);
        }
        figure(
            "kills of a host that counts clicks",
            format_args!("{in_the_middle} of {KILLS} fell in the middle of the work"),
        );
        Ok(in_the_middle)
    }

    async fn check(&self, expected: &Counts) -> Result<()> {
        self.azenha.run_once(&self.pipeline, &[("clicks", &self.file)], &["--strict"])?;
        let mut database = Database::open(&self.azenha.data().join("warehouse.db")).await?;
        let table = database.counts("SELECT campaign_id, start_time, click_count FROM click_counts").await?;
        ensure!(table.len() == expected.len(), "{} windows, not {}", table.len(), expected.len());
        for (key, count) in expected {
            ensure!(table.get(key) == Some(count), "{key:?}: {:?}, not {count}", table.get(key));
        }
        let mut last = std::collections::BTreeMap::new();
        for record in self.azenha.topic("click_counts_table_output")? {
            last.insert(record["key"].to_string(), record["value"]["click_count"].as_i64().unwrap_or(0));
        }
        ensure!(last.len() == expected.len(), "{} windows in the topic", last.len());
        ensure!(last.values().sum::<i64>() == self.total, "the topic sums up to {}", last.values().sum::<i64>());
        Ok(())
    }
}

fn parse(line: &str) -> Result<Click> {
    let value: serde_json::Value = serde_json::from_str(line)?;
    Ok(Click {
        campaign: value["campaignId"].as_str().unwrap_or_default().to_owned(),
        timestamp: value["timestamp"].as_i64().unwrap_or_default(),
    })
}

/// The counts of repetitions that start `seconds` after each other. SQLite says what their windows are called.
async fn repeated(once: &Counts, repetitions: i64, seconds: i64) -> Result<Counts> {
    let mut starts = Database::open(Path::new(":memory:")).await?;
    starts.execute("CREATE TABLE starts (campaign TEXT, start TEXT, count INTEGER); BEGIN").await?;
    for ((campaign, start), count) in once {
        starts.execute(&format!("INSERT INTO starts VALUES ('{campaign}', '{start}', {count})")).await?;
    }
    let mut all = Counts::new();
    for round in 0..repetitions {
        let later = round * seconds;
        let sql = format!("SELECT campaign, datetime(start, '+{later} seconds'), count FROM starts");
        all.extend(starts.counts(&sql).await?);
    }
    ensure!(all.len() == once.len() * repetitions as usize, "repetitions overlap");
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_million_clicks_survive_being_killed_twenty_five_times() -> Result<()> {
    let mut random = Rng::with_seed(seed());
    let pipeline = repository().join("pipelines/clickstream");
    let sample = text_of(&pipeline.join("sample/clicks.ndjson.gz"))?;
    let clicks = sample.lines().map(parse).collect::<Result<Vec<_>>>()?;
    let span = clicks.last().map_or(0, |last| last.timestamp) - clicks[0].timestamp;
    // Whole windows between the repetitions, so that each has windows of its own and all the same counts.
    let step = (span / WINDOW + 2) * WINDOW;
    let repetitions = 3_000_000usize.div_ceil(clicks.len()) as i64;
    let azenha = Azenha::new()?;
    let file = azenha.path("clicks.ndjson");
    let later = |round: i64| {
        clicks.iter().map(move |click| Click { timestamp: click.timestamp + round * step, ..click.clone() })
    };
    write_ndjson(&file, (0..repetitions).flat_map(later).map(|click| click.json()))?;

    let once = recount(sample.lines(), WINDOW).await?;
    let expected = repeated(&once, repetitions, step / 1_000).await?;

    let total = clicks.len() as i64 * repetitions;
    let trial = Trial { azenha, pipeline, file, total };
    let in_the_middle = trial.torment(&mut random).await?;
    assert!(in_the_middle >= IN_THE_MIDDLE, "only {in_the_middle} of {KILLS} kills fell in the middle of the work");
    trial.check(&expected).await
}

const SPREAD: &str = r"
name: spread
sources:
  clicks:
    topic: spread_clicks
    format: json
    partitions: 4
    partitioned_by: [shop]
    schema: { campaignId: text, shop: text, timestamp: timestamp(ms) }
    event_time: { field: timestamp, lateness: 10s }
steps:
  counts:
    aggregate: click-count
    from: clicks
    by: [campaignId]
    window: { tumbling: 2m }
sinks:
  click_counts_table_output: { from: counts, topic: click_counts_table_output, key: [campaignId, start_time] }
  warehouse:
    from: click_counts_table_output
    connection: warehouse
    table: click_counts
    key: [campaignId, start_time]
    columns: { campaignId: campaign_id }
";

/// The name of a shop whose clicks stand in this one of four partitions.
fn shop_in(partition: u32) -> String {
    let mut names = (0..).map(|number| format!("shop_{number}"));
    let stands = |name: &String| partition_of(format!("{{\"shop\":\"{name}\"}}").as_bytes(), 4) == partition;
    names.find(stands).unwrap_or_default()
}

/// Ten campaigns over four partitions: every lane folds rows of every group, and merges happen all the time.
/// Two partitions are busy, one is slow, one is idle; rows come in disorder within the lateness.
#[tokio::test(flavor = "multi_thread")]
async fn groups_that_are_folded_in_parts_survive_being_killed() -> Result<()> {
    let mut random = Rng::with_seed(seed());
    let campaign = |random: &mut Rng| format!("campaign_{}", random.u32(0..10));
    let sorted: Vec<Click> = (0..2_000_000i64)
        .map(|number| Click { campaign: campaign(&mut random), timestamp: 1_700_000_000_000 + number * 3 })
        .collect();
    let clicks = shuffled(&sorted, 9_000, &mut random);
    let shops = [shop_in(0), shop_in(1), shop_in(2)];
    let lines: Vec<String> = clicks
        .iter()
        .map(|Click { campaign, timestamp }| {
            let shop = &shops[if random.u32(0..50) == 0 { 2 } else { random.usize(0..2) }];
            format!(r#"{{"campaignId":"{campaign}","shop":"{shop}","timestamp":{timestamp}}}"#)
        })
        .collect();
    let expected = recount(lines.iter().map(String::as_str), WINDOW).await?;

    let azenha = Azenha::new()?;
    let pipeline = azenha.write("spread/pipeline.yaml", SPREAD)?;
    let file = azenha.path("clicks.ndjson");
    write_ndjson(&file, lines)?;
    let trial = Trial { azenha, pipeline, file, total: clicks.len() as i64 };
    let in_the_middle = trial.torment(&mut random).await?;
    assert!(in_the_middle >= IN_THE_MIDDLE, "only {in_the_middle} of {KILLS} kills fell in the middle of the work");
    trial.check(&expected).await
}
