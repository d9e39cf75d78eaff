//! The two tables of the host: which objects were read, and what was refused of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use anyhow::Result;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use azenha_connect::sql::warehouse::HostTable;
use azenha_engine::log::Log;
use azenha_model::dead_letter::DeadLetter;
use azenha_model::{DataType, Field, Offset};

use super::history::{Past, Pieces};

/// A column and its values.
fn column(name: &str, values: impl IntoIterator<Item = Option<String>>, nullable: bool) -> (Field, ArrayRef) {
    let array = StringArray::from_iter(values);
    (Field::new(name, DataType::Text, nullable), Arc::new(array))
}

fn numbers(name: &str, values: impl IntoIterator<Item = i64>) -> (Field, ArrayRef) {
    (Field::new(name, DataType::Int64, false), Arc::new(Int64Array::from_iter_values(values)))
}

fn table(name: String, key: Vec<usize>, columns: Vec<(Field, ArrayRef)>) -> Result<HostTable> {
    let named = columns.iter().map(|(field, array)| (field.name.clone(), Arc::clone(array)));
    let rows = RecordBatch::try_from_iter(named)?;
    Ok(HostTable { name, fields: columns.into_iter().map(|(field, _)| field).collect(), key, rows })
}

/// The table of what a run reads: `source`, `object` (its path, or where else records stand), `records` and `bytes`.
pub fn objects(name: String, past: &[Past]) -> Result<HostTable> {
    let columns = vec![
        column("source", past.iter().map(|past| Some(past.source.clone())), false),
        column("object", past.iter().map(|past| Some(past.name.clone())), false),
        numbers("records", past.iter().map(|past| past.records as i64)),
        numbers("bytes", past.iter().map(|past| past.bytes as i64)),
    ];
    table(name, vec![0, 1], columns)
}

/// The table of what a run refused, a piece after the other: `object`, `step`, `number` (among those of step and object),
/// `cause`, `reason` and `part`.
pub struct Refused<'a> {
    name: String,
    pieces: Pieces<'a>,
    objects: BTreeMap<(&'a str, u32, Offset), &'a Past>,
    numbered: HashMap<(String, String), i64>,
    /// Hashes of the letters that were told, by which one is known that was written again after a crash. They are others in
    /// each run, so two letters that are taken for one by chance are not in the next.
    seen: HashSet<u64>,
    hashes: RandomState,
}

impl<'a> Refused<'a> {
    /// The letters of a topic, about what was read.
    pub async fn of(name: String, log: &'a dyn Log, topic: &'a str, past: &'a [Past]) -> Result<Self> {
        let pieces = Pieces::of(log, topic, 0).await?;
        let (numbered, seen, hashes) = (HashMap::new(), HashSet::new(), RandomState::new());
        Ok(Self { name, pieces, objects: by_place(past), numbered, seen, hashes })
    }

    /// The table without rows.
    pub fn empty(&self) -> Result<HostTable> {
        self.table(&[], &[])
    }

    /// The next rows; none at the end.
    pub async fn next(&mut self) -> Result<Option<HostTable>> {
        let Some(fetched) = self.pieces.next().await? else { return Ok(None) };
        let (mut letters, mut places) = (Vec::new(), Vec::new());
        for value in &fetched.records.values {
            let letter: DeadLetter = serde_json::from_slice(value.unwrap_or_default())?;
            // After a crash those are written again whose rows were not committed.
            if self.seen.insert(self.hashes.hash_one(&letter.id)) {
                places.push(self.place(&letter));
                letters.push(letter);
            }
        }
        self.table(&letters, &places).map(Some)
    }

    /// The object that a letter is about, and its number there. Letters of internal topics stand at no object.
    fn place(&mut self, letter: &DeadLetter) -> (String, i64) {
        let place = (letter.topic.as_str(), letter.partition, letter.offset);
        let before = self.objects.range(..=place).next_back();
        let object = before.filter(|((topic, partition, _), past)| {
            (*topic, *partition) == (place.0, place.1) && past.offsets.contains(&letter.offset)
        });
        let object = object.map_or(&letter.topic, |(_, past)| &past.name).clone();
        let number = self.numbered.entry((object.clone(), letter.step.clone())).or_default();
        *number += 1;
        (object, *number)
    }

    fn table(&self, letters: &[DeadLetter], places: &[(String, i64)]) -> Result<HostTable> {
        let columns = vec![
            column("object", places.iter().map(|(object, _)| Some(object.clone())), false),
            column("step", letters.iter().map(|letter| Some(letter.step.clone())), false),
            numbers("number", places.iter().map(|(_, number)| *number)),
            column("cause", letters.iter().map(|letter| Some(letter.cause.name().to_owned())), false),
            column("reason", letters.iter().map(|letter| Some(letter.reason.clone())), false),
            column("part", letters.iter().map(|letter| letter.part.clone()), true),
        ];
        table(self.name.clone(), vec![0, 1, 2], columns)
    }
}

/// What was read, by where it is announced or begins.
fn by_place(past: &[Past]) -> BTreeMap<(&str, u32, Offset), &Past> {
    past.iter().map(|past| ((past.topic.as_str(), past.partition, past.offsets.start), past)).collect()
}
