//! Rows to records of one topic, split by key over its partitions.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::concat::concat;
use arrow_select::take::take;
use azenha_formats::Encoder;
use azenha_model::Records;
use azenha_model::plan::TopicOutput;

use crate::log::Append;
use crate::partition::partition_of;

/// Encodes rows and holds them until the next commit.
pub struct TopicWriter {
    output: TopicOutput,
    encoder: Encoder,
    partitions: u32,
    /// Where records without a key go.
    home: u32,
    pending: Vec<Vec<Records>>,
    bytes: usize,
}

impl TopicWriter {
    /// A writer for a topic of `partitions`; records without a key go to the partition of the lane. `schema` is the id
    /// of what they are written with, in formats that have one.
    pub fn new(output: &TopicOutput, partitions: u32, lane: u32, schema: u32) -> Self {
        Self {
            encoder: Encoder::new(output, schema),
            output: output.clone(),
            partitions,
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

    /// Encodes those of the columns that the output has, all rows with one timestamp (microseconds).
    pub fn write_results(
        &mut self,
        columns: &[ArrayRef],
        deletes: Option<&BooleanArray>,
        timestamp: i64,
        rows: usize,
    ) -> Result<(), ArrowError> {
        let picked: Vec<ArrayRef> =
            self.output.columns.iter().map(|column| Arc::clone(&columns[column.input])).collect();
        self.write(&picked, deletes, vec![timestamp; rows])
    }

    /// Encodes rows: one array for each column of the output, one timestamp (microseconds) for each row.
    pub fn write(
        &mut self,
        columns: &[ArrayRef],
        deletes: Option<&BooleanArray>,
        timestamps: Vec<i64>,
    ) -> Result<(), ArrowError> {
        let (keys, values) = self.encoder.encode(columns, timestamps.len(), deletes);
        let records = Records { timestamps, keys, values };
        self.bytes += records.bytes();
        if self.output.key.is_empty() {
            self.pending[self.home as usize].push(records);
        } else if self.partitions == 1 {
            self.pending[0].push(records);
        } else {
            self.split(&records)?;
        }
        Ok(())
    }

    fn split(&mut self, records: &Records) -> Result<(), ArrowError> {
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); self.partitions as usize];
        for row in 0..records.len() {
            rows[partition_of(records.keys.value(row), self.partitions) as usize].push(row as u32);
        }
        for (partition, rows) in rows.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let timestamps = rows.iter().map(|row| records.timestamps[*row as usize]).collect();
            let rows = UInt32Array::from(rows);
            let part = |column: &BinaryArray| Ok::<_, ArrowError>(binary(&take(column, &rows, None)?));
            let (keys, values) = (part(&records.keys)?, part(&records.values)?);
            self.pending[partition].push(Records { timestamps, keys, values });
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
