//! A lake that is made of its raw objects, and goes on live behind them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, Finished, Lake, repository};
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
        Self::with_cuts(["roll: { every: 5s }"; 3])
    }

    /// One whose layers but for gold end their objects so.
    fn with_cuts(cuts: [&str; 3]) -> Result<Self> {
        let azenha = Azenha::new()?;
        let ours = repository().join("pipelines/lake");
        let model = fs::read_to_string(ours.join("models/pedidos.yaml"))?;
        azenha.write("lake/models/pedidos.yaml", &model)?;
        let mut text = fs::read_to_string(ours.join("pipeline.yaml"))?;
        for (number, cut) in cuts.into_iter().enumerate() {
            let (at, _) = text.match_indices("roll: {").nth(number).context("a sink that rolls")?;
            let end = at + text[at..].find('}').context("an end")? + 1;
            text.replace_range(at..end, cut);
        }
        let pipeline = azenha.write("lake/pipeline.yaml", &text)?;
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
fn objects_of_a_past_end_by_rows_and_not_by_when_they_were_read() -> Result<()> {
    let events = events()?;
    let live = Scene::new()?;
    live.feed(&live.pipeline, &events)?;
    let cuts = ["roll: { every: 5s, rows: 100 }", "roll: { every: 5s, rows: 7 }", "roll: { every: 5s, rows: 25 }"];
    let lakes = [Scene::with_cuts(cuts)?, Scene::with_cuts(cuts)?, Scene::with_cuts(cuts)?];
    for lake in &lakes {
        lake.take_raw(&live)?;
        lake.capture(&events)?;
        lake.backfill(&[])?;
    }
    // Several cuts in each layer. What announcements make is cut between them: after so many of small objects.
    let (bronze, silver) = (lakes[0].contents("bronze")?.len(), lakes[0].contents("silver")?.len());
    assert!(bronze > 10 && silver > 1, "{bronze} and {silver} objects");
    for layer in ["raw", "bronze", "silver", "gold"] {
        must_be_equal(layer, &lakes[1], &lakes[0])?;
        must_be_equal(layer, &lakes[2], &lakes[0])?;
    }
    must_be_equal("gold", &lakes[0], &live)
}

const NUMBERS: &str = "
name: numbers
sources: { numbers: { topic: numbers, schema: { id: int64 } } }
sinks: { kept: { from: numbers, connection: lake, objects: kept, format: json, compression: gzip, roll: { rows: 10, every: 1h } } }
";

const NUMBERS_FEEDER: &str = "
name: numbers-feeder
sources: { numbers: { topic: numbers, format: bytes } }
sinks: { fed: { from: numbers, connection: elsewhere, objects: fed, format: lines } }
";

/// Lines that say the numbers below `count`.
fn lines(count: usize) -> String {
    (0..count).map(|id| format!("{{\"id\":{id}}}\n")).collect()
}

/// Has the topic of a host hold the numbers below `count`.
fn feed_numbers(azenha: &Azenha, count: usize) -> Result<()> {
    let (feeder, file) = (azenha.write("feeder.yaml", NUMBERS_FEEDER)?, azenha.write("numbers.ndjson", &lines(count))?);
    azenha.run_once(&feeder, &[("numbers", &file)], &["--strict"]).map(drop)
}

/// A host whose topic holds the numbers below `count`.
fn numbers(count: usize) -> Result<Azenha> {
    let azenha = Azenha::empty()?;
    azenha.write("numbers.yaml", NUMBERS)?;
    feed_numbers(&azenha, count)?;
    Ok(azenha)
}

fn backfill_numbers(azenha: &Azenha) -> Result<Finished> {
    let (pipeline, data) = (azenha.path("numbers.yaml").display().to_string(), azenha.data().display().to_string());
    azenha.run(["backfill", &pipeline, "--data", &data])
}

#[test]
fn a_pipeline_over_a_topic_reads_its_history_and_goes_on_live_behind_it() -> Result<()> {
    let lakes = [numbers(95)?, numbers(95)?];
    for azenha in &lakes {
        let done = backfill_numbers(azenha)?;
        assert!(done.status.success() && done.stdout.contains("its past is read"), "{}", done.text());
    }
    let found = |azenha: &Azenha| Lake::embedded(azenha)?.contents("lake/kept");
    let first = found(&lakes[0])?;
    assert_eq!(first.len(), 10, "nine objects of ten rows, and one of five");
    assert!(first == found(&lakes[1])?, "the same history made other objects");
    backfill_numbers(&lakes[0])?;
    assert!(first == found(&lakes[0])?, "it was read already");

    let azenha = &lakes[0];
    feed_numbers(azenha, 120)?;
    azenha.run_once(&azenha.path("numbers.yaml"), &[], &["--strict"])?;
    let contents = found(azenha)?.into_values();
    let written = contents.map(|content| Ok(std::io::read_to_string(GzDecoder::new(content.as_slice()))?));
    assert_eq!(written.collect::<Result<String>>()?, lines(120));
    Ok(())
}

#[test]
fn a_topic_that_does_not_exist_has_no_history() -> Result<()> {
    let azenha = Azenha::empty()?;
    azenha.write("numbers.yaml", NUMBERS)?;
    let refused = backfill_numbers(&azenha)?;
    assert_eq!(refused.status.code(), Some(2), "{}", refused.text());
    assert!(refused.stderr.contains("there is no topic `numbers`"), "{}", refused.text());
    let (pipeline, data) = (azenha.path("numbers.yaml").display().to_string(), azenha.data().display().to_string());
    let refused = azenha.run(["backfill", &pipeline, "--data", &data, "--from", "numbers=topic:others"])?;
    assert_eq!(refused.status.code(), Some(2), "{}", refused.text());
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

#[test]
fn days_are_refused_where_those_that_are_left_out_would_never_be_read() -> Result<()> {
    let events = events()?;
    let live = Scene::new()?;
    live.feed(&live.pipeline, &events)?;
    let lake = Scene::new()?;
    lake.take_raw(&live)?;
    lake.capture(&events)?;
    let (pipeline, data) = (lake.pipeline.display().to_string(), lake.azenha.data().display().to_string());
    let refused = lake.azenha.run(["backfill", &pipeline, "--data", &data, "--dates", "2020-01-01..2040-01-01"])?;
    assert_eq!(refused.status.code(), Some(2), "{}", refused.text());
    assert!(refused.stderr.contains("sink `raw`") && refused.stderr.contains("never be read"), "{}", refused.text());
    let told = lake.backfill(&[])?;
    assert!(told.contains(&format!("{} objects of its past announced", events.len())), "{told}");
    must_be_equal("gold", &lake, &live)
}

const READER: &str = "
name: reader
sources: { kept: { topic: kept, objects: raw, folder: kept, schema: { id: int64 }, format: json } }
sinks: { out: { from: kept, connection: lake, objects: out, format: json, compression: none } }
";

#[test]
fn a_past_is_announced_once_and_asking_for_more_of_it_is_refused() -> Result<()> {
    let azenha = Azenha::empty()?;
    let pipeline = azenha.write("reader.yaml", READER)?.display().to_string();
    for (folder, id) in [("kept/date=2026-02-01", 1), ("kept/date=2026-02-02", 2), ("other/date=2026-02-01", 3)] {
        let folder = azenha.data().join("raw").join(folder);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("rows.ndjson"), format!("{{\"id\":{id}}}\n"))?;
    }
    let data = azenha.data().display().to_string();
    let backfill = |more: &[&str]| azenha.run(["backfill", &pipeline, "--data", &data].iter().chain(more).copied());
    let first = ["--dates", "2026-02-01"];
    for told in [" 1 objects of its past announced", " 0 objects of its past announced"] {
        let done = backfill(&first)?;
        assert!(done.status.success() && done.stdout.contains(told), "{told}: {}", done.text());
    }
    for more in [["--dates", "2026-02-02"], ["--dates", "2026-02-01..2026-02-02"], ["--from", "kept=other"]] {
        let refused = backfill(&more)?;
        assert_eq!(refused.status.code(), Some(2), "{more:?}: {}", refused.text());
        assert!(refused.stderr.contains("is announced already"), "{more:?}: {}", refused.text());
    }
    let written = Lake::embedded(&azenha)?.contents("lake/out")?;
    assert_eq!(written.into_values().collect::<Vec<_>>(), [b"{\"id\":1}\n"]);
    Ok(())
}

#[test]
fn what_is_no_announcement_keeps_no_backfill_from_reading_the_others() -> Result<()> {
    let azenha = Azenha::empty()?;
    let feeder = azenha.write("feeder.yaml", &NUMBERS_FEEDER.replace("numbers", "kept"))?;
    let file = azenha.write("kept.ndjson", "no announcement\n{\"path\":\"kept/rows.ndjson\"}\n")?;
    azenha.run_once(&feeder, &[("kept", &file)], &["--strict"])?;
    let folder = azenha.data().join("raw/kept");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("rows.ndjson"), "{\"id\":1}\n")?;
    let (pipeline, data) = (azenha.write("reader.yaml", READER)?, azenha.data().display().to_string());
    let done = azenha.run(["backfill", &pipeline.display().to_string(), "--data", &data])?;
    assert!(done.status.success(), "{}", done.text());
    assert!(done.stderr.contains("what is no announcement"), "{}", done.text());
    let written = Lake::embedded(&azenha)?.contents("lake/out")?;
    assert_eq!(written.into_values().collect::<Vec<_>>(), [b"{\"id\":1}\n"]);
    assert_eq!(azenha.dead_letters("reader")?.len(), 1);
    Ok(())
}

#[test]
fn days_and_folders_of_a_pipeline_that_reads_topics_are_refused() -> Result<()> {
    let azenha = numbers(3)?;
    let (pipeline, data) = (azenha.path("numbers.yaml").display().to_string(), azenha.data().display().to_string());
    for more in [["--dates", "2026-02-01"], ["--from", "numbers=elsewhere"]] {
        let refused = azenha.run(["backfill", &pipeline, "--data", &data].iter().chain(&more).copied())?;
        assert_eq!(refused.status.code(), Some(2), "{more:?}: {}", refused.text());
        assert!(refused.stderr.contains("it reads topics"), "{more:?}: {}", refused.text());
    }
    Ok(())
}
