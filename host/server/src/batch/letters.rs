//! The dead letters of a batch's last run, kept when its log goes.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use arrow_array::BinaryArray;
use azenha_engine::log::Log;
use azenha_model::plan::Plan;
use azenha_model::{Fetched, Records};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::history::Pieces;

/// The letters that are kept of a run: its table of dead letters has a row for each.
const MOST: usize = 10_000;

/// Bytes of letters that are kept of a run: all of them are read to find one.
const MOST_BYTES: usize = 32 << 20;

/// A letter with the timestamp of the record that it is about, in microseconds.
#[derive(Serialize, Deserialize)]
struct Kept {
    timestamp: i64,
    letter: Box<RawValue>,
}

/// What is taken of a letter.
#[derive(Deserialize)]
struct Named {
    id: String,
}

fn file(data: &Path, pipeline: &str) -> PathBuf {
    data.join("batches").join(format!("{pipeline}.letters.ndjson"))
}

/// Keeps the letters of a run, and forgets those of the one before.
pub async fn keep(data: &Path, plan: &Plan, log: &dyn Log) -> Result<()> {
    let file = file(data, &plan.pipeline);
    let new = file.with_extension("new");
    let shown = || file.display().to_string();
    let mut out = BufWriter::new(File::create(&new).with_context(shown)?);
    let (mut letters, mut bytes) = (0, 0);
    let mut pieces = Pieces::of(log, &plan.dead_letters, 0).await?;
    'letters: while let Some(Fetched { records, .. }) = pieces.next().await? {
        for (timestamp, value) in records.timestamps.iter().zip(&records.values) {
            let value = value.unwrap_or_default();
            (letters, bytes) = (letters + 1, bytes + value.len());
            if letters > MOST || bytes > MOST_BYTES {
                break 'letters;
            }
            let letter = serde_json::from_slice(value).with_context(shown)?;
            serde_json::to_writer(&mut out, &Kept { timestamp: *timestamp, letter }).with_context(shown)?;
            out.write_all(b"\n").with_context(shown)?;
        }
    }
    let written = out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|out| out.sync_all());
    written.and_then(|()| fs::rename(&new, &file)).with_context(shown)
}

/// The letters of a batch's last run on this machine, as if they stood in a topic; none if there was no run.
///
/// # Errors
/// If they cannot be read.
pub fn letters_of(data: &Path, pipeline: &str) -> io::Result<Option<Fetched>> {
    let text = match fs::read_to_string(file(data, pipeline)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let (mut timestamps, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines() {
        let Kept { timestamp, letter } = serde_json::from_str(line)?;
        let Named { id } = serde_json::from_str(letter.get())?;
        timestamps.push(timestamp);
        keys.push(id);
        values.push(letter.get().to_owned());
    }
    let next = timestamps.len() as u64;
    let records = Records {
        timestamps,
        keys: BinaryArray::from_iter_values(keys),
        values: BinaryArray::from_iter_values(values),
    };
    Ok(Some(Fetched { offsets: (0..next).collect(), records, next }))
}
