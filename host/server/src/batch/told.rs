//! The two tables of the host: which objects were read, and what was refused of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use anyhow::Result;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use azenha_connect::sql::warehouse::HostTable;
use azenha_engine::log::Log;
use azenha_model::dead_letter::DeadLetter;
use azenha_model::{DataType, Field, Offset};

use super::history::{Past, whole};

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

/// The table of what a run refused: `object`, `step`, `number` (among those of step and object), `cause`, `reason` and
/// `part`.
pub async fn dead_letters(name: String, log: &dyn Log, topic: &str, past: &[Past]) -> Result<HostTable> {
    let objects = by_place(past);
    let mut numbered: HashMap<(String, String), i64> = HashMap::new();
    let (mut letters, mut places, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for fetched in whole(log, topic, 0).await? {
        for value in &fetched.records.values {
            let letter: DeadLetter = serde_json::from_slice(value.unwrap_or_default())?;
            // After a crash those are written again whose rows were not committed.
            if !seen.insert(letter.id.clone()) {
                continue;
            }
            // Letters of internal topics stand at no object.
            let place = (letter.topic.as_str(), letter.partition, letter.offset);
            let before = objects.range(..=place).next_back();
            let object = before.filter(|((topic, partition, _), past)| {
                (*topic, *partition) == (place.0, place.1) && past.offsets.contains(&letter.offset)
            });
            let object = object.map_or(&letter.topic, |(_, past)| &past.name).clone();
            let number = numbered.entry((object.clone(), letter.step.clone())).or_default();
            *number += 1;
            places.push((object, *number));
            letters.push(letter);
        }
    }
    let columns = vec![
        column("object", places.iter().map(|(object, _)| Some(object.clone())), false),
        column("step", letters.iter().map(|letter| Some(letter.step.clone())), false),
        numbers("number", places.iter().map(|(_, number)| *number)),
        column("cause", letters.iter().map(|letter| Some(letter.cause.name().to_owned())), false),
        column("reason", letters.iter().map(|letter| Some(letter.reason.clone())), false),
        column("part", letters.iter().map(|letter| letter.part.clone()), true),
    ];
    table(name, vec![0, 1, 2], columns)
}

/// What was read, by where it is announced or begins.
fn by_place(past: &[Past]) -> BTreeMap<(&str, u32, Offset), &Past> {
    past.iter().map(|past| ((past.topic.as_str(), past.partition, past.offsets.start), past)).collect()
}
