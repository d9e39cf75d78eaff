//! A lake that is made of its raw objects, and goes on live behind them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, Lake, repository};
use flate2::read::GzDecoder;
use serde_json::Value;

const TOPIC: &str = "loja.public.pedidos";

/// Puts records into the captured topic, and nothing else.
const FEEDER: &str = "
name: feeder
sources: { pedidos: { topic: loja.public.pedidos, format: bytes } }
sinks: { kept: { from: pedidos, connection: elsewhere, objects: fed, format: lines } }
";

/// The recorded events of the orders, one a line.
fn events() -> Result<Vec<String>> {
    let sample = repository().join("pipelines/lake/sample/pedidos.records.ndjson.gz");
    let text = std::io::read_to_string(GzDecoder::new(fs::File::open(sample)?))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// A lake of the orders alone.
struct Scene {
    azenha: Azenha,
    pipeline: PathBuf,
    lake: Lake,
}

impl Scene {
    fn new() -> Result<Self> {
        let azenha = Azenha::new()?;
        let ours = repository().join("pipelines/lake");
        let model = fs::read_to_string(ours.join("models/pedidos.yaml"))?;
        azenha.write("lake/models/pedidos.yaml", &model)?;
        let pipeline = azenha.write("lake/pipeline.yaml", &fs::read_to_string(ours.join("pipeline.yaml"))?)?;
        let lake = Lake::embedded(&azenha)?;
        Ok(Self { azenha, pipeline, lake })
    }

    /// Feeds events to a pipeline, and runs it to the end.
    fn feed(&self, pipeline: &Path, events: &[String]) -> Result<()> {
        let file = self.azenha.write("events.records.ndjson", &(events.join("\n") + "\n"))?;
        self.azenha.run_once(pipeline, &[("pedidos", &file)], &["--strict"]).map(drop)
    }

    /// Puts events into the captured topic, of which the lake reads nothing yet.
    fn capture(&self, events: &[String]) -> Result<()> {
        self.feed(&self.azenha.write("feeder.yaml", FEEDER)?, events)
    }

    fn backfill(&self, more: &[&str]) -> Result<String> {
        let (pipeline, data) = (self.pipeline.display().to_string(), self.azenha.data().display().to_string());
        let arguments = ["backfill", &pipeline, "--data", &data];
        Ok(self.azenha.succeed(arguments.iter().chain(more).copied())?.stdout)
    }

    /// Takes the raw objects of another lake over.
    fn take_raw(&self, other: &Self) -> Result<()> {
        for (path, content) in other.contents("raw")? {
            let path = self.lake.folder.join("raw").join(path);
            fs::create_dir_all(path.parent().context("a path without a folder")?)?;
            fs::write(path, content)?;
        }
        Ok(())
    }

    fn contents(&self, layer: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let found = self.lake.contents(&format!("{layer}/pedidos"))?;
        ensure!(!found.is_empty(), "nothing stands in {layer}");
        Ok(found)
    }

    fn rows(&self, sql: &str) -> Result<Option<Vec<Value>>> {
        self.lake.duckdb().map(|query| query(sql)).transpose()
    }
}

fn must_be_equal(layer: &str, found: &Scene, expected: &Scene) -> Result<()> {
    let (found, expected) = (found.contents(layer)?, expected.contents(layer)?);
    let paths = |contents: &BTreeMap<String, Vec<u8>>| contents.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(&found), paths(&expected), "{layer}");
    for (path, content) in &found {
        assert!(expected[path] == *content, "{layer}: {path} has other bytes");
    }
    Ok(())
}

#[test]
fn two_lakes_that_are_made_of_one_past_have_the_same_bytes_and_the_rows_of_the_live_one() -> Result<()> {
    let events = events()?;
    let live = Scene::new()?;
    live.feed(&live.pipeline, &events)?;
    let lakes = [Scene::new()?, Scene::new()?];
    for lake in &lakes {
        lake.take_raw(&live)?;
        lake.capture(&events)?;
        let told = lake.backfill(&[])?;
        assert!(told.contains(&format!("{} objects of its past announced", events.len())), "{told}");
        assert!(lake.backfill(&[])?.contains(" 0 objects of its past announced"), "it is told once");
    }
    for layer in ["raw", "bronze", "silver", "gold"] {
        must_be_equal(layer, &lakes[0], &lakes[1])?;
    }
    must_be_equal("raw", &lakes[0], &live)?;
    must_be_equal("gold", &lakes[0], &live)?;
    let all = "select columns(* exclude (criado_em, capturado_em))::varchar, epoch_us(criado_em) from read_parquet('silver/pedidos/*.parquet') order by all";
    assert_eq!(lakes[0].rows(all)?, live.rows(all)?);
    Ok(())
}

#[test]
fn a_lake_that_was_made_of_its_past_goes_on_at_exactly_the_next_record() -> Result<()> {
    let events = events()?;
    let (before, after) = events.split_at(events.len() / 2);
    let live = Scene::new()?;
    live.feed(&live.pipeline, before)?;
    let lake = Scene::new()?;
    lake.take_raw(&live)?;
    // The capture went on: the log holds more than was kept.
    lake.capture(&events)?;
    lake.backfill(&[])?;
    live.feed(&live.pipeline, &events)?;
    must_be_equal("raw", &lake, &live)?;
    must_be_equal("gold", &lake, &live)?;
    let more = [&events[..], &after[..10]].concat();
    live.feed(&live.pipeline, &more)?;
    lake.capture(&more)?;
    lake.azenha.run_once(&lake.pipeline, &[], &["--strict"])?;
    must_be_equal("raw", &lake, &live)?;
    must_be_equal("gold", &lake, &live)
}

#[test]
fn a_log_that_the_past_was_not_made_of_is_refused() -> Result<()> {
    let events = events()?;
    let live = Scene::new()?;
    live.feed(&live.pipeline, &events)?;
    let lake = Scene::new()?;
    lake.take_raw(&live)?;
    lake.capture(&events[..3])?;
    let (pipeline, data) = (lake.pipeline.display().to_string(), lake.azenha.data().display().to_string());
    let refused = lake.azenha.run(["backfill", &pipeline, "--data", &data])?;
    assert!(
        !refused.status.success() && refused.stderr.contains("not the log that they were made of"),
        "{}",
        refused.text()
    );
    assert!(lake.azenha.topic("lake_raw_pedidos")?.is_empty(), "nothing is announced");
    assert_eq!(lake.azenha.topic(TOPIC)?.len(), 3);
    Ok(())
}
