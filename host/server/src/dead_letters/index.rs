//! Where the letters of a pipeline stand in their topic, without what they say.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arrow_array::Array;
use azenha_model::{Fetched, Offset};
use serde::Deserialize;

use super::name::Name;
use super::tail::Kept;

/// The latest letters of a pipeline that can be found; older ones are in the topic all the same.
pub const MOST: usize = 200_000;

/// A letter.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where it stands in the topic.
    pub at: Offset,
    /// The timestamp of the record that it is about, in microseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    /// The letter.
    pub name: Name,
    /// The record that it is about; none if that is a group.
    pub record: Option<Name>,
    step: Arc<str>,
    cause: Arc<str>,
    version: u64,
}

/// Which letters are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this step or sink.
    pub step: Option<String>,
    /// With this cause.
    pub cause: Option<String>,
    /// About records with this timestamp or a later one, in microseconds.
    pub since: Option<i64>,
    /// That stand before this offset in the topic.
    pub before: Option<Offset>,
}

/// The letters of a topic, each once.
#[derive(Debug, Default)]
pub struct Index {
    /// In the order of the topic.
    entries: VecDeque<Entry>,
    places: HashMap<Name, Offset>,
    words: HashMap<String, Arc<str>>,
}

/// What is looked at.
#[derive(Deserialize)]
struct Heading {
    step: String,
    cause: String,
    #[serde(default)]
    group: bool,
    #[serde(default)]
    version: u64,
}

impl Kept for Index {
    fn take(&mut self, fetched: &Fetched) {
        let (keys, values) = (&fetched.records.keys, &fetched.records.values);
        for (row, at) in fetched.offsets.iter().enumerate().filter(|(row, _)| values.is_valid(*row)) {
            let Ok(Heading { step, cause, group, version }) = serde_json::from_slice(values.value(row)) else {
                tracing::error!(offset = at, "a record among the dead letters is none, and passed over");
                continue;
            };
            let id = String::from_utf8_lossy(keys.value(row));
            let name = Name::of_letter(&id);
            // A letter is written again after a crash; the first one is as good, unless another version read anew what its
            // version had read.
            if let Some(known) = self.place_of(&name) {
                if self.entries[known].version >= version {
                    continue;
                }
                self.entries.remove(known);
            }
            let (step, cause) = (self.word(step), self.word(cause));
            let record = if group { None } else { Name::of_record(&id) };
            self.places.insert(name, *at);
            let timestamp = fetched.records.timestamps[row];
            self.entries.push_back(Entry { at: *at, timestamp, name, record, step, cause, version });
            if self.entries.len() > MOST
                && let Some(oldest) = self.entries.pop_front()
            {
                self.places.remove(&oldest.name);
            }
        }
    }
}

impl Index {
    fn word(&mut self, word: String) -> Arc<str> {
        let Self { words, .. } = self;
        Arc::clone(words.entry(word).or_insert_with_key(|word| word.as_str().into()))
    }

    /// The place of a letter among the entries.
    fn place_of(&self, name: &Name) -> Option<usize> {
        let at = self.places.get(name)?;
        self.entries.binary_search_by_key(at, |entry| entry.at).ok()
    }

    /// Where the letter with this id stands.
    pub fn find(&self, id: &str) -> Option<Offset> {
        self.places.get(&Name::of_letter(id)).copied()
    }

    /// The wanted letters, the latest first.
    pub fn latest(&self, filter: &Filter) -> impl Iterator<Item = &Entry> {
        let Filter { step, cause, since, before } = filter.clone();
        let is_wanted = move |entry: &&Entry| {
            step.as_ref().is_none_or(|step| *entry.step == **step)
                && cause.as_ref().is_none_or(|cause| *entry.cause == **cause)
                && since.is_none_or(|since| entry.timestamp >= since)
                && before.is_none_or(|before| entry.at < before)
        };
        self.entries.iter().rev().filter(is_wanted)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::BinaryArray;
    use azenha_model::Records;

    use super::*;

    /// Letters with these ids; the step is the first letter of the id.
    fn index(ids: &[&str]) -> Index {
        let letter = |id: &&str| format!(r#"{{"id":"{id}","step":"{}","cause":"decode"}}"#, &id[..1]).into_bytes();
        let mut index = Index::default();
        index.take(&Fetched {
            offsets: (0..ids.len() as u64).collect(),
            records: Records {
                timestamps: (0..ids.len() as i64).collect(),
                keys: BinaryArray::from_iter_values(ids.iter().map(|id| id.as_bytes())),
                values: BinaryArray::from_iter_values(ids.iter().map(letter)),
            },
            next: ids.len() as u64,
        });
        index
    }

    fn found(index: &Index, filter: &Filter) -> Vec<Offset> {
        index.latest(filter).map(|entry| entry.at).collect()
    }

    #[test]
    fn letters_come_once_and_the_latest_first() {
        let index = index(&["a1", "b1", "a1", "a2"]);
        assert_eq!(found(&index, &Filter::default()), [3, 1, 0]);
        assert_eq!((index.find("a1"), index.find("a3")), (Some(0), None));
    }

    #[test]
    fn a_letter_of_a_later_version_takes_the_place_of_an_earlier_one() {
        let letter = |version| format!(r#"{{"id":"a1","step":"a","cause":"decode","version":{version}}}"#).into_bytes();
        let versions = [2, 2, 3, 2];
        let mut index = index(&["a0"]);
        index.take(&Fetched {
            offsets: (1..=versions.len() as u64).collect(),
            records: Records {
                timestamps: vec![0; versions.len()],
                keys: BinaryArray::from_iter_values(versions.map(|_| b"a1")),
                values: BinaryArray::from_iter_values(versions.map(letter)),
            },
            next: 5,
        });
        assert_eq!(found(&index, &Filter::default()), [3, 0]);
        assert_eq!(index.find("a1"), Some(3));
    }

    #[test]
    fn filters_hold_together() {
        let index = index(&["a1", "b1", "a2", "a3"]);
        let of_a = Filter { step: Some("a".to_owned()), ..Filter::default() };
        assert_eq!(found(&index, &of_a), [3, 2, 0]);
        assert_eq!(found(&index, &Filter { since: Some(1), before: Some(3), ..of_a }), [2]);
        assert!(found(&index, &Filter { cause: Some("late".to_owned()), ..Filter::default() }).is_empty());
    }
}
