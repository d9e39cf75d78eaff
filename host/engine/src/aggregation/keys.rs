//! Group keys as bytes: the key's columns as `arrow-row` writes them, then the window's bounds.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, StringArray, TimestampMicrosecondArray};
use arrow_row::{RowConverter, SortField};
use arrow_schema::ArrowError;
use azenha_model::plan::Aggregation;

use super::identities;
use crate::window::Span;

const SPAN_BYTES: usize = 16;

/// The group of each row of a batch, as bytes.
#[derive(Debug)]
pub enum Groups {
    /// All rows are one group.
    One,
    /// Rows that are equal in their key columns.
    Equal(arrow_row::Rows),
    /// Rows with the same identifiers, of which there may be none.
    Identified(Vec<Vec<u8>>),
}

impl Groups {
    /// The group of a row.
    pub fn get(&self, row: usize) -> &[u8] {
        match self {
            Self::One => &[],
            Self::Equal(rows) => rows.row(row).data(),
            Self::Identified(lists) => &lists[row],
        }
    }
}

/// Turns key columns into bytes and back.
#[derive(Debug)]
pub struct KeyCodec {
    converter: RowConverter,
    windowed: bool,
    /// The columns of identifiers, if a key is one: see [`identities`].
    identifiers: Option<Vec<String>>,
}

impl KeyCodec {
    /// The codec for an aggregation's keys.
    pub fn new(aggregation: &Aggregation) -> Result<Self, ArrowError> {
        let fields = aggregation.group_fields();
        let sorted = fields.iter().map(|field| SortField::new(field.data_type.arrow())).collect();
        let names = fields.into_iter().map(|field| field.name).collect();
        Ok(Self {
            converter: RowConverter::new(sorted)?,
            windowed: aggregation.window.is_some(),
            identifiers: aggregation.identity.is_some().then_some(names),
        })
    }

    /// The groups of rows, without windows. Without key columns all rows are one group.
    pub fn groups(&self, columns: &[ArrayRef]) -> Result<Groups, ArrowError> {
        Ok(match columns {
            [] => Groups::One,
            _ if self.identifiers.is_some() => Groups::Identified(identities::lists(columns)),
            _ => Groups::Equal(self.converter.convert_columns(columns)?),
        })
    }

    /// Writes a whole key into `key`.
    pub fn write(&self, group: &[u8], span: Option<Span>, key: &mut Vec<u8>) {
        key.clear();
        key.extend_from_slice(group);
        if let Some(span) = span {
            key.extend_from_slice(&span.start.to_le_bytes());
            key.extend_from_slice(&span.end.to_le_bytes());
        }
    }

    /// The group's part of a key, without the window.
    pub fn group<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        if self.windowed { &key[..key.len().saturating_sub(SPAN_BYTES)] } else { key }
    }

    /// The window of a key.
    pub fn span(&self, key: &[u8]) -> Option<Span> {
        if !self.windowed {
            return None;
        }
        let (rest, end) = key.split_last_chunk::<8>()?;
        let (_, start) = rest.split_last_chunk::<8>()?;
        Some(Span { start: i64::from_le_bytes(*start), end: i64::from_le_bytes(*end) })
    }

    /// The key columns of keys, bounds of the window included, as the plan's `key_fields` orders them.
    pub fn columns<'a>(&self, keys: impl Iterator<Item = &'a [u8]> + Clone) -> Result<Vec<ArrayRef>, ArrowError> {
        if let Some(names) = &self.identifiers {
            let named: StringArray = keys.map(|key| identities::name(names, key)).map(Some).collect();
            return Ok(vec![Arc::new(named)]);
        }
        let parser = self.converter.parser();
        let mut columns = self.converter.convert_rows(keys.clone().map(|key| parser.parse(self.group(key))))?;
        if self.windowed {
            let bound = |pick: fn(Span) -> i64| -> ArrayRef {
                let times = keys.clone().filter_map(|key| self.span(key)).map(pick);
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            };
            columns.push(bound(|span| span.start));
            columns.push(bound(|span| span.end));
        }
        debug_assert!(columns.iter().all(|column| column.len() == keys.clone().count()));
        Ok(columns)
    }
}
