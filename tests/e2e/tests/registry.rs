//! Topics whose records have schemas in a registry, on a real one.

use std::process;

use anyhow::{Context, Result};
use azenha_e2e::{Azenha, Click, Database, is_there, write_ndjson};

const CLICKS: usize = 500;

/// Clicks in JSON go through a topic in a format of the registry, and from there to a table.
fn pipeline(format: &str, topic: &str, schema: &str) -> String {
    format!(
        "
name: {format}
sources:
  clicks: {{ topic: clicks_in, schema: {schema} }}
sinks:
  copied: {{ from: clicks, topic: {topic}, format: {format}, registry: \"${{AZENHA_TEST_REGISTRY}}\" }}
  warehouse: {{ from: copied, connection: warehouse, table: copied }}
"
    )
}

/// A pipeline that reads that topic as a source of its own.
fn reader(format: &str, topic: &str, schema: &str) -> String {
    format!(
        "
name: reader
sources:
  clicks:
    topic: {topic}
    format: {format}
    registry: \"${{AZENHA_TEST_REGISTRY}}\"
    schema: {schema}
sinks:
  warehouse: {{ from: clicks, connection: warehouse, table: read_again }}
"
    )
}

/// `LINE:COLUMN` of where a part of a text begins.
fn place(text: &str, part: &str) -> String {
    let before = text.split(part).next().unwrap_or_default();
    let line = before.lines().last().unwrap_or_default();
    format!("{}:{}", before.lines().count(), line.len() + 1)
}

const SCHEMA: &str = "{ campaignId: text, timestamp: timestamp(ms) }";

struct Written {
    azenha: Azenha,
    format: &'static str,
    topic: String,
}

/// Runs the pipeline; none if there is no registry.
fn written(format: &'static str, test: &str) -> Result<Option<Written>> {
    if !is_there("AZENHA_TEST_REGISTRY") {
        return Ok(None);
    }
    let azenha = Azenha::empty()?;
    let topic = format!("{test}-{format}-{}", process::id());
    let file = azenha.write("pipeline.yaml", &pipeline(format, &topic, SCHEMA))?;
    let clicks = azenha.path("clicks.ndjson");
    let click = |number: usize| Click { campaign: format!("campaign_{}", number % 5), timestamp: number as i64 };
    write_ndjson(&clicks, (0..CLICKS).map(|number| click(number).json()))?;
    azenha.run_once(&file, &[("clicks", &clicks)], &["--strict"])?;
    Ok(Some(Written { azenha, format, topic }))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_back_from_a_topic_with_schemas() -> Result<()> {
    for format in ["avro", "json-schema"] {
        let Some(Written { azenha, topic, .. }) = written(format, "through")? else { return Ok(()) };
        let mut database = Database::open(&azenha.data().join("warehouse.db")).await?;
        assert_eq!(database.number("SELECT count(*) FROM copied").await, Some(CLICKS as i64), "{format}");

        let file = azenha.write("reader.yaml", &reader(format, &topic, SCHEMA))?;
        azenha.run_once(&file, &[], &["--strict"])?;
        let same = "SELECT count(*) FROM read_again JOIN copied USING (campaignId, timestamp)";
        assert_eq!(database.number(same).await, Some(CLICKS as i64), "{format}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_says_the_version_from_now_on_is_compatible_with_its_older_records() -> Result<()> {
    for format in ["avro", "json-schema"] {
        let Some(Written { azenha, topic, .. }) = written(format, "tagged")? else { return Ok(()) };
        let registry = "registry: \"${AZENHA_TEST_REGISTRY}\"";
        let tagged = pipeline(format, &topic, SCHEMA).replace(registry, &format!("{registry}, version_column: versao"));
        let file = azenha.write("pipeline.yaml", &tagged)?;
        let clicks = azenha.path("more.ndjson");
        write_ndjson(&clicks, [Click { campaign: "tagged".to_owned(), timestamp: 1 }.json()].into_iter())?;
        azenha.run_once(&file, &[("clicks", &clicks)], &["--strict"])?;
        let mut database = Database::open(&azenha.data().join("warehouse.db")).await?;
        let versions: Vec<(Option<i64>, i64)> =
            database.rows("SELECT versao, count(*) FROM copied GROUP BY versao ORDER BY versao").await?;
        assert_eq!(versions, [(None, CLICKS as i64), (Some(0), 1)], "{format}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_a_schema_is_a_dead_letter_and_the_others_arrive() -> Result<()> {
    let Some(Written { azenha, format, topic }) = written("avro", "poison")? else { return Ok(()) };
    let file = azenha.write("reader.yaml", &reader(format, &topic, SCHEMA))?;
    let poison = azenha.path("poison.ndjson");
    write_ndjson(&poison, [Click { campaign: "in_json".to_owned(), timestamp: 1 }.json()].into_iter())?;
    azenha.run(azenha.run_arguments(&file, &[("clicks", &poison)], &["--once"]))?;
    let letters = azenha.dead_letters("reader")?;
    let [letter] = &letters[..] else { panic!("{letters:#?}") };
    assert_eq!(letter["cause"], "decode");
    let reason = letter["reason"].as_str().context("a reason")?;
    assert!(reason.contains("does not begin with a zero and the id of its schema"), "{reason}");
    assert!(letter["record"].to_string().contains("in_json"), "{letter:#}");
    let mut database = Database::open(&azenha.data().join("warehouse.db")).await?;
    assert_eq!(database.number("SELECT count(*) FROM read_again").await, Some(CLICKS as i64));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_refuses_what_does_not_fit_the_registry_with_file_line_and_column() -> Result<()> {
    for format in ["avro", "json-schema"] {
        let Some(Written { azenha, topic, .. }) = written(format, "validated")? else { return Ok(()) };
        let changed = pipeline(format, &topic, "{ campaignId: int64, timestamp: timestamp(ms) }");
        let file = azenha.write("changed.yaml", &changed)?;
        let refused = azenha.run(["validate".as_ref(), file.as_os_str()])?;
        assert!(!refused.status.success(), "{}", refused.text());
        let at = place(&changed, &format!("{format}, registry"));
        let message = format!("changed.yaml:{at}: the schema of `{topic}-value` cannot become");
        assert!(refused.stderr.contains(&message), "{message}: {}", refused.stderr);

        let unreadable = reader(format, &topic, "{ campaignId: text, country: text }");
        let file = azenha.write("unreadable.yaml", &unreadable)?;
        let refused = azenha.run(["validate".as_ref(), file.as_os_str()])?;
        let at = place(&unreadable, "country");
        let message = format!("unreadable.yaml:{at}: the latest schema of `{topic}-value` cannot be read");
        assert!(refused.stderr.contains(&message), "{message}: {}", refused.stderr);
        assert!(refused.stderr.contains("`country`"), "{}", refused.stderr);

        let fits = azenha.write("fits.yaml", &reader(format, &topic, "{ timestamp: timestamp(ms), new: text? }"))?;
        azenha.succeed(["validate".as_ref(), fits.as_os_str()])?;
    }
    Ok(())
}

#[test]
fn validate_says_that_a_registry_cannot_be_reached() -> Result<()> {
    let azenha = Azenha::empty()?;
    let text = reader("avro", "clicks", SCHEMA).replace("${AZENHA_TEST_REGISTRY}", "http://127.0.0.1:1");
    let file = azenha.write("pipeline.yaml", &text)?;
    let refused = azenha.run(["validate".as_ref(), file.as_os_str()])?;
    assert!(!refused.status.success(), "{}", refused.text());
    let at = place(&text, "avro");
    let message = format!("pipeline.yaml:{at}: the schema registry at http://127.0.0.1:1 cannot be reached");
    assert!(refused.stderr.contains(&message), "{message}: {}", refused.stderr);
    Ok(())
}

#[test]
fn a_pipeline_without_schemas_needs_no_registry() -> Result<()> {
    let azenha = Azenha::empty()?;
    let config = azenha.write("host.yaml", "registry: { url: 'http://127.0.0.1:1' }")?;
    let text = pipeline("json", "copied", SCHEMA).replace(", registry: \"${AZENHA_TEST_REGISTRY}\"", "");
    let file = azenha.write("pipeline.yaml", &text)?;
    azenha.succeed(["validate".as_ref(), file.as_os_str(), "--config".as_ref(), config.as_os_str()])?;
    Ok(())
}
