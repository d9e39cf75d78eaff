//! Readers that loop over objects while these are replaced: they see the rows before a change or after it.
//!
//! Most rows stay in one folder. Their changes are numbered, and the change with number `n` is of row `n % STAYING`: so what
//! a reader sees of them says after which change it was written, and whether all of it was. The other rows move from one
//! folder to the other and back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, BucketLake, Lake, figure, is_there};

const PIPELINE: &str = "
name: readers
sources:
  rows: { topic: rows, key: [id], schema: { id: int64, version: int64, day: date } }
sinks:
  gold: { from: rows, connection: gold, objects: rows, partition_by: [day], roll: { every: 100ms } }
";

/// Rows that stay in the first folder, and the rows that move.
const STAYING: usize = 500;
const MOVING: usize = 20;
/// Changes of rows that stay. After each tenth a row moves.
const CHANGES: usize = 16_000;
const RATE: &str = "2000";
const DAYS: [&str; 2] = ["2024-01-01", "2024-01-02"];

/// How long the reader may take to see the last change.
const PATIENCE: Duration = Duration::from_secs(120);

/// A row as a reader sees it: id, version, folder. Ids of rows that move begin at `STAYING`.
type Row = (usize, i64, String);

/// Prints the rows that it reads, or why it could not, again and again until they are those of a file. While there are none
/// it leaves the processor to the host, which is starting.
const READER: &str = "
import json, sys, time
expected = [tuple(row) for row in json.load(open(sys.argv[1]))]
rows = None
while rows != expected:
    try:
        rows = sorted(read())
        print(json.dumps({'rows': rows}), flush=True)
    except Exception as error:
        print(json.dumps({'error': str(error)}), flush=True)
    if not rows:
        time.sleep(0.02)
";

const DUCKDB: &str = "
import duckdb
def read():
    return duckdb.sql(\"SELECT id, version, CAST(day AS VARCHAR) FROM read_parquet('gold/rows/*/*.parquet', \"
                      \"hive_partitioning = true)\").fetchall()
";

const PYARROW: &str = "
import glob, pyarrow.parquet
def read():
    rows = []
    for path in glob.glob('gold/rows/*/*.parquet'):
        table = pyarrow.parquet.ParquetFile(path).read()
        rows += zip(table['id'].to_pylist(), table['version'].to_pylist(), [path.split('/')[2][4:]] * len(table))
    return rows
";

/// The changes, one a line, and the rows that they leave.
fn changes() -> (String, Vec<Row>) {
    let (mut lines, mut left) = (String::new(), BTreeMap::new());
    let mut change = |id: usize, version: usize, day: &str| {
        lines += &format!("{{\"id\":{id},\"version\":{version},\"day\":\"{day}\"}}\n");
        left.insert(id, (version as i64, day.to_owned()));
    };
    for number in 0..CHANGES {
        change(number % STAYING, number, DAYS[0]);
        let (turn, moves) = (number / 10, number % 10 == 0);
        if moves {
            change(STAYING + turn % MOVING, turn, DAYS[turn / MOVING % 2]);
        }
    }
    (lines, left.into_iter().map(|(id, (version, day))| (id, version, day)).collect())
}

/// The last change of rows that stay which a read holds; an error if it holds a part of one state, or a row twice.
fn state(rows: &[Row]) -> Result<i64> {
    let staying: Vec<&Row> = rows.iter().filter(|row| row.0 < STAYING).collect();
    let last = staying.iter().map(|row| row.1).max().unwrap_or(-1);
    let versions: BTreeSet<i64> = staying.iter().map(|row| row.1).collect();
    let first = (last + 1 - STAYING as i64).max(0);
    ensure!(
        versions.len() == staying.len() && versions.iter().copied().eq(first..=last),
        "{} rows, of the changes {first} to {last}: {versions:?}",
        staying.len()
    );
    ensure!(staying.iter().all(|row| row.0 as i64 == row.1 % STAYING as i64), "a row has another's version");
    for day in DAYS {
        let ids: Vec<usize> = rows.iter().filter(|row| row.2 == day).map(|row| row.0).collect();
        ensure!(ids.iter().collect::<BTreeSet<_>>().len() == ids.len(), "a row stands twice in {day}: {ids:?}");
    }
    Ok(last)
}

/// Checks everything that a reader printed. DuckDB asks for a file's size and for its parts one after the other: it may find
/// the file replaced between them, and fails then, which is no wrong answer.
fn check(printed: &str, may_fail: bool) -> Result<()> {
    let (mut states, mut doubled, mut failed) = (Vec::new(), 0, 0);
    for line in printed.lines() {
        let read: serde_json::Value = serde_json::from_str(line)?;
        if let Some(error) = read["error"].as_str() {
            ensure!(may_fail || states.is_empty(), "a read failed: {error}");
            failed += 1;
            continue;
        }
        let rows: Vec<Row> = serde_json::from_value(read["rows"].clone())?;
        states.push(state(&rows)?);
        let distinct: BTreeSet<usize> = rows.iter().map(|row| row.0).collect();
        doubled += usize::from(distinct.len() < rows.len());
    }
    ensure!(states.is_sorted(), "a reader saw an older state after a newer one");
    let count = states.len();
    states.dedup();
    let seen = states.iter().filter(|last| **last >= 0).count();
    let moved = format!("{doubled} saw a row that moved in both folders, {failed} failed");
    figure("a reader of objects that are replaced", format_args!("{count} reads of {} states; {moved}", states.len()));
    ensure!(seen > 1, "it saw nothing change");
    Ok(())
}

/// The program that reads; it ends with the test.
struct Reader(Child);

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a reader over a lake until it has seen the last change. It looks before there is anything to see: changes do not
/// wait for a reader that is slow to start.
fn read(azenha: &Azenha, python: &str, program: &str, config: Option<&str>) -> Result<String> {
    let pipeline = azenha.write("readers/pipeline.yaml", PIPELINE)?;
    let (lines, left) = changes();
    let input = format!("rows={}", azenha.write("rows.ndjson", &lines)?.display());
    let expected = azenha.write("expected.json", &serde_json::to_string(&left)?)?;
    let mut more = vec!["--input", &input, "--rate", RATE];
    let config = config.map(|text| azenha.write("host.yaml", text)).transpose()?;
    let config = config.map(|path| path.display().to_string());
    more.extend(config.iter().flat_map(|path| ["--config", path.as_str()]));

    fs::create_dir_all(azenha.data())?;
    let (out, err) = (azenha.path("read.ndjson"), azenha.path("read.txt"));
    let mut command = Command::new(python);
    command.args(["-c", &format!("{program}{READER}")]).arg(expected).current_dir(azenha.data());
    let mut reader = Reader(command.stdout(File::create(&out)?).stderr(File::create(&err)?).spawn()?);
    await_look(&mut reader, &out, &err)?;
    let mut host = azenha.start(&[&pipeline], &more)?;
    let ended = await_end(&mut reader, &err);
    host.terminate()?;
    ended.with_context(|| host.log())?;
    Ok(fs::read_to_string(out)?)
}

/// Waits until the reader has printed something, be it why it could not read.
fn await_look(reader: &mut Reader, out: &Path, err: &Path) -> Result<()> {
    let begun = Instant::now();
    while fs::metadata(out)?.len() == 0 {
        ensure!(reader.0.try_wait()?.is_none(), "{}", fs::read_to_string(err)?);
        ensure!(begun.elapsed() < PATIENCE, "the reader did not look within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn await_end(reader: &mut Reader, err: &Path) -> Result<()> {
    let begun = Instant::now();
    loop {
        if let Some(status) = reader.0.try_wait()? {
            ensure!(status.success(), "{}", fs::read_to_string(err)?);
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "the last change was not seen within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn in_a_folder(program: &str, may_fail: bool) -> Result<()> {
    if !is_there("AZENHA_TEST_DUCKDB") {
        return Ok(());
    }
    let azenha = Azenha::empty()?;
    let printed = read(&azenha, &std::env::var("AZENHA_TEST_DUCKDB")?, program, None)?;
    assert_eq!(Lake::embedded(&azenha)?.paths("gold/rows")?.len(), DAYS.len());
    check(&printed, may_fail)
}

#[test]
fn duckdb_sees_rows_before_or_after_a_change_or_fails_and_rows_that_move_settle() -> Result<()> {
    in_a_folder(DUCKDB, true)
}

#[test]
fn pyarrow_sees_rows_before_or_after_a_change_and_rows_that_move_settle() -> Result<()> {
    in_a_folder(PYARROW, false)
}

#[test]
fn duckdb_over_a_bucket_sees_rows_before_or_after_a_change_or_fails() -> Result<()> {
    let Some(lake) = BucketLake::called("readers")? else { return Ok(()) };
    let azenha = Azenha::empty()?;
    let config = format!("connections: {{ {} }}\n", lake.connections());
    let program = format!("{}{}", lake.opening(), DUCKDB.replace("gold/rows", "s3://readers-gold/rows"));
    let printed = read(&azenha, &std::env::var("AZENHA_TEST_DUCKDB")?, &program, Some(&config))?;
    check(&printed, true)
}
