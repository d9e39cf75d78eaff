//! Rows to records of one topic, split by key over its partitions.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::concat::concat;
use arrow_select::take::take;
use azenha_formats::Encoder;
use azenha_formats::json::row_json;
use azenha_model::dead_letter::{Basis, Cause, RecordSize};
use azenha_model::plan::TopicOutput;
use azenha_model::{Field, Records};
use serde_json::value::RawValue;

use crate::aggregation::Complaints;
use crate::dead_letter::{Complaint, reasons};
use crate::edition::Version;
use crate::log::Append;
use crate::partition::partition_of;
use crate::rows::made_by;

/// Encodes rows and holds them until the next commit.
pub struct TopicWriter {
    output: TopicOutput,
    encoder: Encoder,
    /// The version of the pipeline that makes results.
    version: Version,
    partitions: u32,
    /// The most bytes that key and value of a record may have, if the log says so.
    limit: Option<usize>,
    /// Where records without a key go.
    home: u32,
    pending: Vec<Vec<Records>>,
    bytes: usize,
}

impl TopicWriter {
    /// A writer for a topic of so many partitions; records without a key go to the partition of the lane. `schema` is the id
    /// of what they are written with, in formats that have one; `limit` is the most bytes that a record may have.
    pub fn new(
        output: &TopicOutput,
        version: Version,
        (partitions, lane): (u32, u32),
        schema: u32,
        limit: Option<usize>,
    ) -> Self {
        Self {
            encoder: Encoder::new(output, schema),
            output: output.clone(),
            version,
            partitions,
            limit,
            home: lane % partitions.max(1),
            pending: vec![Vec::new(); partitions as usize],
            bytes: 0,
        }
    }

    /// What is written and where.
    pub fn output(&self) -> &TopicOutput {
        &self.output
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Encodes those of the columns that the output has, and the version, one timestamp (microseconds) for each row. Rows
    /// whose records would be too large for the log are left out, and complained of.
    pub fn write_results(
        &mut self,
        columns: &[ArrayRef],
        deletes: Option<&BooleanArray>,
        timestamps: Vec<i64>,
    ) -> Result<Complaints, ArrowError> {
        let pick = |input: usize| match columns.get(input) {
            Some(column) => Arc::clone(column),
            None => made_by(self.version, timestamps.len()),
        };
        let picked: Vec<ArrayRef> = self.output.columns.iter().map(|column| pick(column.input)).collect();
        self.write(&picked, deletes, timestamps)
    }

    /// Encodes rows: one array for each column of the output, one timestamp (microseconds) for each row. Rows whose
    /// records would be too large for the log are left out, and complained of.
    pub fn write(
        &mut self,
        columns: &[ArrayRef],
        deletes: Option<&BooleanArray>,
        timestamps: Vec<i64>,
    ) -> Result<Complaints, ArrowError> {
        let (keys, values) = self.encoder.encode(columns, timestamps.len(), deletes);
        let mut records = Records { timestamps, keys, values };
        let complaints = self.too_large(&records, columns);
        if !complaints.is_empty() {
            let refused: BTreeSet<usize> = complaints.iter().map(|(row, _)| *row).collect();
            records = pick(&records, (0..records.len()).filter(|row| !refused.contains(row)))?;
        }
        self.bytes += records.bytes();
        if self.output.key.is_empty() {
            self.pending[self.home as usize].push(records);
        } else if self.partitions == 1 {
            self.pending[0].push(records);
        } else {
            self.split(&records)?;
        }
        Ok(complaints)
    }

    fn too_large(&self, records: &Records, columns: &[ArrayRef]) -> Complaints {
        let Some(limit) = self.limit.filter(|limit| records.bytes() > *limit) else { return Complaints::new() };
        let length = |column: &BinaryArray, row: usize| if column.is_null(row) { 0 } else { column.value(row).len() };
        let size = |row: usize| (row, length(&records.keys, row) + length(&records.values, row));
        let too_large = (0..records.len()).map(size).filter(|(_, bytes)| *bytes > limit);
        too_large.map(|(row, bytes)| (row, self.refuse(bytes, limit, columns, row))).collect()
    }

    fn refuse(&self, bytes: usize, limit: usize, columns: &[ArrayRef], row: usize) -> Complaint {
        let TopicOutput { topic, key, columns: written, .. } = &self.output;
        let fields: Vec<Field> = key.iter().map(|position| written[*position].field.clone()).collect();
        let values: Vec<ArrayRef> = key.iter().map(|position| Arc::clone(&columns[*position])).collect();
        let key = RawValue::from_string(row_json(&fields, &values, row, true)).unwrap_or_default();
        let record = RecordSize { topic: topic.clone(), key, bytes, limit };
        Complaint::new(Cause::Refused, reasons::too_large(&record)).on(Basis::Record(record))
    }

    fn split(&mut self, records: &Records) -> Result<(), ArrowError> {
        let mut rows: Vec<Vec<usize>> = vec![Vec::new(); self.partitions as usize];
        for row in 0..records.len() {
            rows[partition_of(records.keys.value(row), self.partitions) as usize].push(row);
        }
        for (partition, rows) in rows.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            self.pending[partition].push(pick(records, rows.into_iter())?);
        }
        Ok(())
    }

    /// Takes what waits, as one append a partition.
    pub fn take(&mut self) -> Result<Vec<Append>, ArrowError> {
        self.bytes = 0;
        let mut appends = Vec::new();
        for (partition, pending) in self.pending.iter_mut().enumerate() {
            if let Some(records) = join(std::mem::take(pending))? {
                appends.push(Append { topic: self.output.topic.clone(), partition: partition as u32, records });
            }
        }
        Ok(appends)
    }
}

/// Some of the records.
fn pick(records: &Records, rows: impl Iterator<Item = usize> + Clone) -> Result<Records, ArrowError> {
    let timestamps = rows.clone().map(|row| records.timestamps[row]).collect();
    let rows = UInt32Array::from_iter_values(rows.map(|row| row as u32));
    let part = |column: &BinaryArray| Ok::<_, ArrowError>(binary(&take(column, &rows, None)?));
    Ok(Records { timestamps, keys: part(&records.keys)?, values: part(&records.values)? })
}

fn join(mut pieces: Vec<Records>) -> Result<Option<Records>, ArrowError> {
    if pieces.len() <= 1 {
        return Ok(pieces.pop());
    }
    let column = |of: fn(&Records) -> &BinaryArray| {
        let arrays: Vec<&dyn Array> = pieces.iter().map(|piece| of(piece) as &dyn Array).collect();
        concat(&arrays).map(|array| binary(&array))
    };
    let (keys, values) = (column(|piece| &piece.keys)?, column(|piece| &piece.values)?);
    let timestamps = pieces.into_iter().flat_map(|piece| piece.timestamps).collect();
    Ok(Some(Records { timestamps, keys, values }))
}

fn binary(array: &Arc<dyn Array>) -> BinaryArray {
    arrow_array::cast::AsArray::as_binary::<i32>(array).clone()
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int64Array, StringArray};
    use azenha_model::DataType;
    use azenha_model::plan::{Format, OutputColumn, TimeFormat};

    use super::*;

    /// A topic with columns by their places among what arrives; the first is the key.
    fn output(columns: &[(usize, &str, DataType)]) -> TopicOutput {
        let column = |(input, name, data_type): &(usize, &str, DataType)| {
            let field = Field::new(*name, *data_type, false);
            OutputColumn { input: *input, field, time_format: TimeFormat::Millis }
        };
        let columns = columns.iter().map(column).collect();
        TopicOutput { topic: "documents".to_owned(), format: Format::Json, columns, key: vec![0] }
    }

    #[test]
    fn results_say_the_version_that_made_them_and_deletes_do_not() {
        let output = output(&[(0, "id", DataType::Int64), (1, "versao", DataType::Int64)]);
        let mut writer = TopicWriter::new(&output, 7, (1, 0), 0, None);
        let results: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![1, 2]))];
        writer.write_results(&results, Some(&BooleanArray::from(vec![true, false])), vec![0; 2]).unwrap();
        let appends = writer.take().unwrap();
        let Records { keys, values, .. } = &appends[0].records;
        assert_eq!((keys.value(0), keys.value(1)), (&br#"{"id":1}"#[..], &br#"{"id":2}"#[..]));
        assert!(values.is_null(0));
        assert_eq!(values.value(1), br#"{"id":2,"versao":7}"#);
    }

    #[test]
    fn a_row_whose_record_is_too_large_is_left_out_and_its_key_is_told() {
        let output = output(&[(0, "id", DataType::Int64), (1, "text", DataType::Text)]);
        for partitions in [1, 3] {
            let mut writer = TopicWriter::new(&output, 0, (partitions, 0), 0, Some(60));
            let long = "x".repeat(50);
            let arrays: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from(vec![1, 2, 3])),
                Arc::new(StringArray::from(vec!["short", &long, "short too"])),
            ];
            let complaints = writer.write(&arrays, None, vec![0; 3]).unwrap();
            let [(1, Complaint { cause: Cause::Refused, reason, .. })] = &complaints[..] else {
                panic!("{complaints:?}")
            };
            for part in [r#"{"id":2}"#, "`documents`", "up to 60 bytes"] {
                assert!(reason.contains(part), "{reason}");
            }
            assert!(!reason.contains("xxx"), "{reason}");
            let records: usize = writer.take().unwrap().iter().map(|append| append.records.len()).sum();
            assert_eq!(records, 2);
        }
    }
}
