//! The command line: feeds that go on where they ended, errors for people, exit codes.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use azenha_e2e::{Azenha, Click, Database, write_ndjson};

const COUNTED: &str = r"
name: counted
sources:
  clicks: { topic: clicks_in, format: json, schema: { campaignId: text, timestamp: timestamp(ms) } }
steps:
  counts: { aggregate: click-count, from: clicks, by: [campaignId] }
sinks:
  warehouse: { from: counts, connection: warehouse, table: counts, key: [campaignId] }
";

struct Fed {
    azenha: Azenha,
    pipeline: PathBuf,
    file: PathBuf,
}

impl Fed {
    fn new(clicks: usize) -> Result<Self> {
        let azenha = Azenha::new()?;
        let pipeline = azenha.write("counted/pipeline.yaml", COUNTED)?;
        let file = azenha.path("clicks.ndjson");
        write_ndjson(&file, (0..clicks).map(line))?;
        Ok(Self { azenha, pipeline, file })
    }

    async fn counted(&self) -> Result<i64> {
        let mut database = Database::open(&self.azenha.data().join("warehouse.db")).await?;
        Ok(database.number("SELECT sum(click_count) FROM counts").await.unwrap_or(0))
    }
}

fn line(number: usize) -> String {
    Click { campaign: format!("campaign_{}", number % 5), timestamp: 1_700_000_000_000 + number as i64 }.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grew_is_fed_from_where_it_ended() -> Result<()> {
    // Below and above the 64 KiB by which a file is known.
    for size in [50, 2_000] {
        let fed = Fed::new(size)?;
        let inputs = [("clicks", fed.file.as_path())];
        fed.azenha.run_once(&fed.pipeline, &inputs, &["--strict"])?;
        assert_eq!(fed.counted().await?, size as i64);
        let mut file = fs::OpenOptions::new().append(true).open(&fed.file)?;
        for number in size..size + 70 {
            writeln!(file, "{}", line(number))?;
        }
        fed.azenha.run_once(&fed.pipeline, &inputs, &["--strict"])?;
        assert_eq!(fed.counted().await?, size as i64 + 70);
        let copy = fed.azenha.path("copy.ndjson");
        fs::copy(&fed.file, &copy)?;
        fed.azenha.run_once(&fed.pipeline, &[("clicks", &copy)], &["--strict"])?;
        assert_eq!(fed.counted().await?, size as i64 + 70, "a copy is the same file");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_changed_is_refused() -> Result<()> {
    let fed = Fed::new(100)?;
    let inputs = [("clicks", fed.file.as_path())];
    fed.azenha.run_once(&fed.pipeline, &inputs, &[])?;
    let text = fs::read_to_string(&fed.file)?.replacen("campaign_0", "campaign_9", 1);
    fs::write(&fed.file, text)?;
    let arguments = fed.azenha.run_arguments(&fed.pipeline, &inputs, &["--once"]);
    let refused = fed.azenha.run(arguments)?;
    assert_eq!(refused.status.code(), Some(1), "{}", refused.text());
    assert!(refused.stderr.contains("clicks.ndjson") && refused.stderr.contains("changed"), "{}", refused.stderr);
    assert_eq!(fed.counted().await?, 100);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_counted_and_strict_makes_them_an_exit_code() -> Result<()> {
    let fed = Fed::new(10)?;
    let mut file = fs::OpenOptions::new().append(true).open(&fed.file)?;
    writeln!(file, "{{\"campaignId\": 7, \"timestamp\": 1700000000000}}")?;
    let inputs = [("clicks", fed.file.as_path())];
    let arguments = fed.azenha.run_arguments(&fed.pipeline, &inputs, &["--once", "--strict"]);
    let finished = fed.azenha.run(arguments)?;
    assert_eq!(finished.status.code(), Some(3), "{}", finished.text());
    let dead = fed.azenha.dead_letters("counted")?;
    assert_eq!(dead.len(), 1);
    assert!(dead[0]["reason"].as_str().is_some_and(|reason| reason.contains("`campaignId`")), "{}", dead[0]);
    assert_eq!((&dead[0]["topic"], &dead[0]["offset"]), (&"clicks_in".into(), &10.into()));
    assert_eq!(fed.counted().await?, 10);
    Ok(())
}

#[test]
fn a_second_host_on_the_same_data_is_told_who_has_it() -> Result<()> {
    let fed = Fed::new(1)?;
    let running = fed.azenha.start(&[&fed.pipeline], &[])?;
    let second = fed.azenha.run(fed.azenha.run_arguments(&fed.pipeline, &[], &["--once"]))?;
    assert_eq!(second.status.code(), Some(1), "{}", second.text());
    assert!(second.stderr.contains("process"), "{}", second.stderr);
    drop(running);
    fed.azenha.run_once(&fed.pipeline, &[], &[])?;
    Ok(())
}

#[test]
fn every_error_of_a_file_is_printed_with_its_place() -> Result<()> {
    let azenha = Azenha::new()?;
    let wrong = COUNTED.replace("by: [campaignId]", "by: [campaingId]").replace("connection:", "conection:");
    let path = azenha.write("wrong/pipeline.yaml", &wrong)?;
    let finished = azenha.run(["validate", &path.display().to_string()])?;
    assert_eq!(finished.status.code(), Some(1), "{}", finished.text());
    assert!(finished.text().contains("pipeline.yaml:8:"), "the unknown key: {}", finished.text());
    let path = azenha.write("wrong/pipeline.yaml", &COUNTED.replace("by: [campaignId]", "by: [campaingId]"))?;
    let finished = azenha.run(["validate", &path.display().to_string()])?;
    assert!(
        finished.text().contains("pipeline.yaml:6:") && finished.text().contains("campaignId"),
        "{}",
        finished.text()
    );

    let right = azenha.write("right/pipeline.yaml", COUNTED)?.display().to_string();
    assert_eq!(azenha.run(["validate", &right])?.status.code(), Some(0));
    let config = azenha.write("host.yaml", "connections: { warehouse: { url: 'postgres://host:port/hidden' } }")?;
    let finished = azenha.run(["validate", &right, "--config", &config.display().to_string()])?;
    assert_eq!(finished.status.code(), Some(1), "{}", finished.text());
    assert!(finished.text().contains("connection `warehouse`"), "{}", finished.text());
    assert!(!finished.text().contains("hidden"), "{}", finished.text());
    assert_eq!(azenha.run(["validate"])?.status.code(), Some(2), "wrong usage");
    assert_eq!(azenha.run(["validate", "no/such/file.yaml"])?.status.code(), Some(2));
    Ok(())
}

#[test]
fn topics_can_be_listed_and_read() -> Result<()> {
    let fed = Fed::new(25)?;
    fed.azenha.run_once(&fed.pipeline, &[("clicks", &fed.file)], &[])?;
    let data = fed.azenha.data().display().to_string();
    let list = fed.azenha.succeed(["topic", "list", "--data", &data])?;
    assert!(list.stdout.contains("clicks_in") && list.stdout.contains("counted.dead_letters"), "{}", list.stdout);
    assert_eq!(fed.azenha.topic("clicks_in")?.len(), 25);
    let rest = fed.azenha.succeed(["topic", "read", "clicks_in", "--from", "20", "--data", &data])?;
    assert_eq!(rest.stdout.lines().count(), 5, "{}", rest.stdout);
    let missing = fed.azenha.run(["topic", "read", "nothing", "--data", &data])?;
    assert_eq!(missing.status.code(), Some(2), "wrong usage");
    assert!(missing.stderr.contains("nothing"), "{}", missing.stderr);
    Ok(())
}

#[test]
fn a_new_plugin_builds_and_passes_its_tests_at_once() -> Result<()> {
    let azenha = Azenha::empty()?;
    let kinds = [("fresh-transform", None), ("fresh-count", Some("--aggregate")), ("fresh-join", Some("--assemble"))];
    for (name, kind) in kinds {
        let folder = azenha.path(name);
        let mut arguments = vec!["plugin".to_owned(), "new".to_owned(), name.to_owned()];
        arguments.extend(["--path".to_owned(), azenha.path("").display().to_string()]);
        arguments.extend(kind.map(str::to_owned));
        azenha.succeed(arguments)?;
        let tested = azenha.succeed(["plugin", "test", &folder.display().to_string()])?;
        assert!(tested.text().contains(name), "{}", tested.text());
    }
    Ok(())
}
