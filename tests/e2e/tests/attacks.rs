//! Hostile plugins: the user is told what happened, and a second pipeline in the same host does not notice.

use anyhow::{Result, ensure};
use azenha_e2e::{Azenha, Click, Database, Running, get, post, write_ndjson};

fn hostile(behaviour: &str) -> String {
    format!(
        r"
name: hostile
sources:
  clicks: {{ topic: hostile_clicks, format: json, schema: {{ campaignId: text, timestamp: timestamp(ms) }} }}
steps:
  attacked: {{ transform: hostile, from: clicks, config: {{ do: {behaviour} }} }}
sinks:
  out: {{ from: attacked, topic: hostile_out }}
"
    )
}

const INNOCENT: &str = r"
name: innocent
sources:
  clicks:
    topic: innocent_clicks
    format: json
    schema: { campaignId: text, timestamp: timestamp(ms) }
    event_time: { field: timestamp }
steps:
  counts: { aggregate: click-count, from: clicks, by: [campaignId] }
sinks:
  warehouse: { from: counts, connection: warehouse, table: counts, key: [campaignId] }
";

const CONFIG: &str = "limits: { plugin_time: 200ms, batch_rows: 1000 }\n";

/// A host with a hostile pipeline and an innocent one.
struct Scene {
    azenha: Azenha,
    host: Running,
}

impl Scene {
    fn with(behaviour: &str) -> Result<Self> {
        let azenha = Azenha::new()?;
        let hostile = azenha.write("hostile/pipeline.yaml", &hostile(behaviour))?;
        let innocent = azenha.write("innocent/pipeline.yaml", INNOCENT)?;
        let config = azenha.write("host.yaml", CONFIG)?;
        let host = azenha.start(&[&hostile, &innocent], &["--config", &config.display().to_string()])?;
        Ok(Self { azenha, host })
    }

    fn send(&self, topic: &str, campaigns: impl Iterator<Item = String>) -> Result<()> {
        let lines: Vec<String> =
            campaigns.map(|campaign| Click { campaign, timestamp: 1_700_000_000_000 }.json()).collect();
        let path = format!("/topics/{topic}/records");
        let answer = post(&self.host.address, &path, "application/x-ndjson", &lines.join("\n"))?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    }

    /// The state of the hostile step's only lane.
    fn lane(&self) -> Result<serde_json::Value> {
        let pipeline = get(&self.host.address, "/pipelines/hostile")?.json()?;
        Ok(pipeline["tasks"][0]["lanes"][0].clone())
    }

    /// Waits until the hostile step has stopped; gives what it says.
    fn stopped(&mut self) -> Result<String> {
        self.send("hostile_clicks", (0..1_000).map(|number| format!("campaign_{number}")))?;
        let mut said = String::new();
        let address = self.host.address.clone();
        self.host.wait_until("the hostile step stops", |_| {
            let lane = get(&address, "/pipelines/hostile")?.json()?["tasks"][0]["lanes"][0].clone();
            said = lane["error"].as_str().unwrap_or_default().to_owned();
            Ok(lane["state"] == "failed")
        })?;
        Ok(said)
    }

    /// The innocent pipeline counts what it is sent.
    async fn innocent_goes_on(&mut self) -> Result<()> {
        self.send("innocent_clicks", (0..500).map(|_| "innocent".to_owned()))?;
        let path = self.azenha.data().join("warehouse.db");
        let mut database = Database::open(&path).await?;
        let start = std::time::Instant::now();
        loop {
            let count = database.number("SELECT click_count FROM counts WHERE campaignId = 'innocent'").await;
            if count == Some(500) {
                return Ok(());
            }
            ensure!(start.elapsed().as_secs() < 60, "the innocent pipeline counted {count:?}: {}", self.host.log());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

async fn stops_and_says(behaviour: &str, words: &[&str]) -> Result<()> {
    let mut scene = Scene::with(behaviour)?;
    let said = scene.stopped()?;
    for word in words {
        ensure!(said.contains(word), "{behaviour}: `{word}` is not in: {said}");
    }
    scene.innocent_goes_on().await?;
    ensure!(get(&scene.host.address, "/livez")?.status == 200, "the host lives");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_is_stopped_and_named() -> Result<()> {
    stops_and_says("endless_loop", &["attacked", "200"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_allocation_is_stopped_and_named() -> Result<()> {
    stops_and_says("endless_allocation", &["attacked", "memory"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_recursion_is_stopped_and_named() -> Result<()> {
    stops_and_says("deep_recursion", &["attacked", "stack"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_the_wrong_length_is_named() -> Result<()> {
    stops_and_says("wrong_length", &["attacked", "rows"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_run_backwards_are_named() -> Result<()> {
    stops_and_says("offsets_backwards", &["attacked", "offset"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_out_of_range_are_named() -> Result<()> {
    stops_and_says("offsets_out_of_range", &["attacked", "offset"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_not_utf_8_is_named() -> Result<()> {
    stops_and_says("invalid_utf8", &["attacked", "UTF-8"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_million_rows_out_of_a_thousand_are_refused() -> Result<()> {
    stops_and_says("ten_million_rows", &["attacked", "rows"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_in_a_thousand_that_panics_is_a_dead_letter_and_the_others_go_on() -> Result<()> {
    let mut scene = Scene::with("panic_on")?;
    let name = |number: usize| if number % 1_000 == 999 { "panic".to_owned() } else { format!("campaign_{number}") };
    scene.send("hostile_clicks", (0..5_000).map(name))?;
    let address = scene.host.address.clone();
    scene.host.wait_until("all rows are processed", |_| {
        let lane = get(&address, "/pipelines/hostile")?.json()?["tasks"][0]["lanes"][0].clone();
        Ok(lane["lag"] == 0)
    })?;
    assert_eq!(scene.lane()?["state"], "running");
    scene.innocent_goes_on().await?;
    scene.host.terminate()?;
    assert_eq!(scene.azenha.topic("hostile_out")?.len(), 4_995);
    let dead = scene.azenha.dead_letters("hostile")?;
    assert_eq!(dead.len(), 5);
    for letter in dead {
        let reason = letter["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("panicked at") && reason.contains("hostile"), "a panic says where: {reason}");
        assert_eq!(letter["basis"]["call"]["given"]["columns"]["campaignId"], "panic", "{letter}");
    }
    Ok(())
}

#[test]
fn a_file_that_is_no_plugin_is_refused_with_what_it_is() -> Result<()> {
    let azenha = Azenha::new()?;
    let good = azenha_e2e::repository().join("target/plugins/click-count.wasm");
    let good = std::env::var_os("CARGO_TARGET_DIR")
        .map_or(good, |target| std::path::Path::new(&target).join("plugins/click-count.wasm"));
    let module = std::fs::read(good)?;
    let wasi = wat::parse_str(
        r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#,
    )?;
    let cases: [(&str, &[u8], &str); 4] = [
        ("wasi.wasm", &wasi, "wasi_snapshot_preview1"),
        ("text.wasm", b"not a module at all", "not"),
        ("truncated.wasm", &module[..module.len() / 2], "truncated"),
        ("empty.wasm", b"", "empty"),
    ];
    for (name, bytes, word) in cases {
        std::fs::create_dir_all(azenha.path("wrong"))?;
        std::fs::write(azenha.path("wrong").join(name), bytes)?;
        let yaml = hostile("nothing").replace("transform: hostile", &format!("transform: {name}"));
        let pipeline = azenha.write("wrong/pipeline.yaml", &yaml)?;
        let finished = azenha.run(["validate", &pipeline.display().to_string()])?;
        assert_eq!(finished.status.code(), Some(1), "{}", finished.text());
        assert!(finished.text().contains(name) && finished.text().contains(word), "{name}: {}", finished.text());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_mutated_clicks_are_processed_or_dead_letters() -> Result<()> {
    let azenha = Azenha::new()?;
    let pipeline = azenha.write("innocent/pipeline.yaml", INNOCENT)?;
    let mut random = fastrand::Rng::with_seed(17);
    let mutated: Vec<String> = (0..10_000)
        .map(|number| {
            let click = Click { campaign: format!("campaign_{}", number % 7), timestamp: 1_700_000_000_000 + number };
            let mut bytes = click.json().into_bytes();
            for _ in 0..random.usize(1..4) {
                let place = random.usize(0..bytes.len());
                match random.u32(0..4) {
                    0 => bytes[place] ^= 1 << random.u32(0..7),
                    1 => bytes.truncate(place.max(1)),
                    2 => bytes.insert(place, random.u8(32..127)),
                    _ => {
                        bytes.remove(place);
                    }
                }
                if bytes.is_empty() {
                    bytes.push(b'{');
                }
            }
            // The feed takes lines: a mutation may not make two of one.
            String::from_utf8_lossy(&bytes).replace(['\n', '\r'], " ")
        })
        .filter(|line| !line.trim().is_empty())
        .collect();
    let file = azenha.path("mutated.ndjson");
    write_ndjson(&file, mutated.iter().cloned())?;
    azenha.run_once(&pipeline, &[("clicks", &file)], &[])?;
    let mut database = Database::open(&azenha.data().join("warehouse.db")).await?;
    let processed = database.number("SELECT sum(click_count) FROM counts").await.unwrap_or(0);
    let dead = azenha.dead_letters("innocent")?;
    assert!(processed > 1_000 && dead.len() > 1_000, "{processed} processed, {} dead letters", dead.len());
    assert_eq!(processed + dead.len() as i64, mutated.len() as i64);
    for letter in dead {
        assert!(letter["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{letter}");
    }
    Ok(())
}
