//! How records from outside get into a source's topic: with which key, and into which partition.

use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::{Array, ArrayRef, BinaryArray};
use azenha_engine::log::Append;
use azenha_engine::partition::partition_of;
use azenha_formats::json::{JsonDecoder, JsonEncoder};
use azenha_model::Records;
use azenha_model::plan::{OutputColumn, StreamColumn};

/// A topic that a running pipeline declares as a source.
#[derive(Debug, Clone)]
pub struct SourceTopic {
    /// The pipeline.
    pub pipeline: String,
    /// The source's name in the pipeline file.
    pub source: String,
    /// The topic that it reads.
    pub topic: String,
    /// The topic's partitions.
    pub partitions: u32,
    /// The columns that decide in which partition a record stands; none: any partition will do.
    pub partitioned_by: Vec<StreamColumn>,
    /// Whether its records replace each other by a key.
    pub is_table: bool,
}

/// Distributes records over the partitions of one source's topic.
pub struct Router {
    topic: String,
    partitions: u32,
    keys: Option<KeyMaker>,
}

impl Router {
    /// Records are appended in batches of this size; without a key, each batch goes to the next partition.
    pub const BATCH: u64 = 1_000;

    /// A router to the topic of `source`.
    pub fn new(source: &SourceTopic) -> Self {
        let keys = (!source.partitioned_by.is_empty()).then(|| KeyMaker::new(&source.partitioned_by));
        Self { topic: source.topic.clone(), partitions: source.partitions.max(1), keys }
    }

    /// The appends for records with these values. `first` is the number of the first among all records of its
    /// origin: together with the value it decides the partition, so a repeated record goes where it went before.
    pub fn route(&mut self, values: &BinaryArray, first: u64) -> Vec<Append> {
        let timestamp = now();
        let mut appends = Vec::new();
        let mut from = 0;
        while from < values.len() {
            let number = first + from as u64;
            let length = ((Self::BATCH - number % Self::BATCH) as usize).min(values.len() - from);
            let records = Records::unkeyed(values.slice(from, length), timestamp);
            match &mut self.keys {
                Some(keys) => {
                    let records = Records { keys: keys.keys(&records), ..records };
                    appends.extend(self.route_keyed(&records));
                }
                None => {
                    let partition = (number / Self::BATCH % u64::from(self.partitions)) as u32;
                    appends.push(Append { topic: self.topic.clone(), partition, records });
                }
            }
            from += length;
        }
        appends
    }

    /// The appends for records that have their keys already: each goes where Kafka's own clients would put it.
    pub fn route_keyed(&self, records: &Records) -> Vec<Append> {
        let mut rows = vec![Vec::new(); self.partitions as usize];
        for (row, key) in records.keys.iter().enumerate() {
            // A record that has no key is one that no step can decode: any partition will do.
            let partition = key.map_or(0, |key| partition_of(key, self.partitions));
            rows[partition as usize].push(row as u32);
        }
        let filled = (0..self.partitions).zip(rows).filter(|(_, rows)| !rows.is_empty());
        filled
            .map(|(partition, rows)| {
                let records = pick(records, &rows);
                Append { topic: self.topic.clone(), partition, records }
            })
            .collect()
    }
}

/// Makes the keys of JSON records from some of their fields.
struct KeyMaker {
    decoder: JsonDecoder,
    encoder: JsonEncoder,
}

impl KeyMaker {
    fn new(columns: &[StreamColumn]) -> Self {
        let all: Vec<usize> = (0..columns.len()).collect();
        let output = |(input, column): (usize, &StreamColumn)| OutputColumn {
            input,
            field: column.field.clone(),
            time_format: column.time_format,
        };
        let outputs: Vec<OutputColumn> = columns.iter().enumerate().map(output).collect();
        Self { decoder: JsonDecoder::new(columns, &all, &[]), encoder: JsonEncoder::new(&outputs, &all) }
    }

    /// A key for each record, null where the record cannot be decoded.
    fn keys(&mut self, records: &Records) -> BinaryArray {
        let decoded = self.decoder.decode(records);
        let columns: Vec<ArrayRef> = decoded.columns.into_iter().flatten().collect();
        let (made, _) = self.encoder.encode(&columns, decoded.rows.len(), None);
        let mut keys = vec![None; records.len()];
        for (key, row) in made.iter().zip(&decoded.rows) {
            keys[*row as usize] = key;
        }
        BinaryArray::from_iter(keys)
    }
}

fn pick(records: &Records, rows: &[u32]) -> Records {
    let value = |column: &BinaryArray, row: usize| column.is_valid(row).then(|| column.value(row).to_vec());
    let pick = |column: &BinaryArray| rows.iter().map(|row| value(column, *row as usize)).collect();
    let timestamps = rows.iter().map(|row| records.timestamps[*row as usize]).collect();
    Records { timestamps, keys: pick(&records.keys), values: pick(&records.values) }
}

/// Microseconds since 1970-01-01T00:00:00Z.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

#[cfg(test)]
mod tests {
    use azenha_model::plan::TimeFormat;
    use azenha_model::{DataType, Field};

    use super::*;

    fn source(partitioned_by: &[&str]) -> SourceTopic {
        let column = |name: &&str| StreamColumn {
            field: Field::new(*name, DataType::Text, true),
            path: vec![(*name).to_owned()],
            time_format: TimeFormat::Millis,
        };
        SourceTopic {
            pipeline: "shop".into(),
            source: "clicks".into(),
            topic: "clicks".into(),
            partitions: 3,
            partitioned_by: partitioned_by.iter().map(column).collect(),
            is_table: false,
        }
    }

    fn placed(appends: &[Append]) -> Vec<(u32, String)> {
        let place = |append: &Append| {
            let values =
                append.records.values.iter().flatten().map(|value| String::from_utf8_lossy(value).into_owned());
            values.map(|value| (append.partition, value)).collect::<Vec<_>>()
        };
        let mut placed: Vec<_> = appends.iter().flat_map(place).collect();
        placed.sort_by(|left, right| left.1.cmp(&right.1));
        placed
    }

    #[test]
    fn how_records_are_cut_into_calls_does_not_change_where_they_go() {
        let lines: Vec<String> = (0..3_500).map(|number| format!("{number:05}")).collect();
        let values = BinaryArray::from_iter_values(&lines);
        let mut router = Router::new(&source(&[]));
        let whole = router.route(&values, 0);
        let mut parts = router.route(&values.slice(0, 1_234), 0);
        parts.extend(router.route(&values.slice(1_234, 3_500 - 1_234), 1_234));
        assert_eq!(placed(&whole), placed(&parts));
        assert_eq!(whole.iter().map(|append| append.partition).collect::<Vec<_>>(), [0, 1, 2, 0]);
    }

    #[test]
    fn records_with_the_same_key_go_to_the_same_partition_however_they_are_written() {
        let values = BinaryArray::from_iter_values([r#"{"k":"a"}"#, r#"{"x":1,"k":"\u0061"}"#, r#"{ "k" : "b" }"#]);
        let appends = Router::new(&source(&["k"])).route(&values, 0);
        let placed = placed(&appends);
        let partition = |needle: &str| placed.iter().find(|(_, value)| value.contains(needle)).map(|(at, _)| *at);
        assert_eq!(partition(r#""a""#), partition("u0061"));
        assert_eq!(partition(r#""a""#), Some(partition_of(br#"{"k":"a"}"#, 3)));
        assert_eq!(partition(r#""b""#), Some(partition_of(br#"{"k":"b"}"#, 3)));
    }

    #[test]
    fn a_record_that_has_a_key_goes_to_the_partition_of_it() {
        let values = BinaryArray::from_opt_vec(vec![Some(b"1"), None, Some(b"2")]);
        let keys = BinaryArray::from_opt_vec(vec![Some(br#"{"id":2}"#), Some(br#"{"id":2}"#), None]);
        let appends = Router::new(&source(&[])).route_keyed(&Records { timestamps: vec![0; 3], keys, values });
        // Records without a key are in partition 0.
        let of_key = appends.iter().find(|append| append.records.keys.iter().all(|key| key.is_some()));
        let of_key = of_key.expect("records of a key");
        assert_eq!((of_key.partition, of_key.records.len()), (partition_of(br#"{"id":2}"#, 3), 2));
        assert!(of_key.records.values.is_null(1), "a tombstone follows its row");
        assert_eq!(appends.iter().map(|append| append.records.len()).sum::<usize>(), 3);
    }

    #[test]
    fn a_record_that_is_not_json_is_kept_without_a_key() {
        let appends = Router::new(&source(&["k"])).route(&BinaryArray::from_iter_values(["oops"]), 0);
        assert_eq!(placed(&appends), [(0, "oops".to_owned())]);
        assert!(appends[0].records.keys.is_null(0));
    }
}
