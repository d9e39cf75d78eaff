//! From a table's lane to the groups of the relations that read it.

use arrow_array::{ArrayRef, BinaryArray};
use arrow_row::{RowConverter, Rows as RowBytes};
use arrow_schema::ArrowError;
use azenha_model::relation::Feed;
use azenha_model::{Field, Records};

use super::change::{RowChange, Sent};
use super::row_codec;
use crate::error::EngineError;
use crate::exchange::{Cargo, Parcel, Sender, seal};
use crate::log::Append;
use crate::partition::partition_of;
use crate::wire::Malformed;

/// Sends changes of rows to the groups that they belong to, and takes them back from those that they leave.
pub struct Router {
    rows: RowConverter,
    feeds: Vec<FeedWriter>,
}

impl Router {
    /// Routes rows of these columns. `key` are the columns that identify a row, `partitions` tells how many a topic
    /// has.
    pub fn new(
        fields: &[Field],
        key: &[usize],
        feeds: &[Feed],
        partitions: impl Fn(&str) -> Result<u32, EngineError>,
    ) -> Result<Self, EngineError> {
        let feeds = feeds.iter().map(|feed| FeedWriter::new(feed, fields, key, partitions(&feed.topic)?));
        Ok(Self { rows: row_codec(fields)?, feeds: feeds.collect::<Result<_, EngineError>>()? })
    }

    /// Takes changes to every feed.
    pub fn route(&mut self, changes: &[RowChange]) -> Result<(), EngineError> {
        self.route_to(changes, |_| true)
    }

    /// Takes changes to the feeds of some readers.
    pub fn route_to(&mut self, changes: &[RowChange], picks: impl Fn(&str) -> bool) -> Result<(), EngineError> {
        let mut feeds: Vec<&mut FeedWriter> = self.feeds.iter_mut().filter(|feed| picks(&feed.reader)).collect();
        if changes.is_empty() || feeds.is_empty() {
            return Ok(());
        }
        let is_decoded = feeds.iter().any(|feed| feed.reads_columns());
        let columns = |side: fn(&RowChange) -> Option<&[u8]>| {
            let rows = changes.iter().filter_map(side);
            let parser = self.rows.parser();
            if is_decoded { self.rows.convert_rows(rows.map(|row| parser.parse(row))) } else { Ok(Vec::new()) }
        };
        let (old, new) = (columns(|change| change.old.as_deref())?, columns(|change| change.new.as_deref())?);
        feeds.iter_mut().try_for_each(|feed| feed.take(changes, &old, &new))
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.feeds.iter().map(|feed| feed.bytes).sum()
    }

    /// Takes what waits, as messages for each partition.
    pub fn take(&mut self, sender: Sender, timestamp: i64) -> Result<Vec<Append>, Malformed> {
        let mut appends = Vec::new();
        for feed in &mut self.feeds {
            feed.bytes = 0;
            for (partition, parcels) in feed.waiting.iter_mut().enumerate().filter(|(_, parcels)| !parcels.is_empty()) {
                let sealed = seal(sender, sender.progress, Cargo::Changes, &std::mem::take(parcels))?;
                let records = Records::unkeyed(BinaryArray::from_iter_values(sealed), timestamp);
                appends.push(Append { topic: feed.topic.clone(), partition: partition as u32, records });
            }
        }
        Ok(appends)
    }
}

/// The way to one relation.
struct FeedWriter {
    /// See [`Feed::reader`].
    reader: String,
    topic: String,
    table: u8,
    /// None: the columns that identify a row are its group.
    by: Option<(Vec<usize>, RowConverter)>,
    /// None: all columns are sent as they are.
    projection: Option<(Vec<usize>, RowConverter)>,
    waiting: Vec<Vec<Parcel>>,
    bytes: usize,
}

impl FeedWriter {
    fn new(feed: &Feed, fields: &[Field], key: &[usize], partitions: u32) -> Result<Self, EngineError> {
        let codec = |columns: &[usize]| row_codec(columns.iter().map(|column| &fields[*column]));
        let is_whole = feed.columns.iter().copied().eq(0..fields.len());
        let picked = |columns: &[usize]| Ok::<_, ArrowError>((columns.to_vec(), codec(columns)?));
        Ok(Self {
            reader: feed.reader(),
            topic: feed.topic.clone(),
            table: feed.table,
            by: if feed.by == key { None } else { Some(picked(&feed.by)?) },
            projection: if is_whole { None } else { Some(picked(&feed.columns)?) },
            waiting: vec![Vec::new(); partitions as usize],
            bytes: 0,
        })
    }

    /// Whether rows have to be taken apart.
    fn reads_columns(&self) -> bool {
        self.by.is_some() || self.projection.is_some()
    }

    /// Takes changes in; `old` and `new` are the columns of the rows that are there, in the order of the changes.
    fn take(&mut self, changes: &[RowChange], old: &[ArrayRef], new: &[ArrayRef]) -> Result<(), EngineError> {
        let (old, new) = (self.side(old)?, self.side(new)?);
        let (mut olds, mut news) = (0.., 0..);
        for change in changes {
            let was = change.old.as_deref().map(|row| old.place(&mut olds, &change.key, row));
            let is = change.new.as_deref().map(|row| new.place(&mut news, &change.key, row));
            if was == is {
                continue;
            }
            if let Some((group, _)) = was
                && is.is_none_or(|(now, _)| now != group)
            {
                self.send(group, change, None);
            }
            if let Some((group, row)) = is {
                self.send(group, change, Some(row));
            }
        }
        Ok(())
    }

    fn side(&self, columns: &[ArrayRef]) -> Result<Side, ArrowError> {
        let picked = |(indices, codec): &(Vec<usize>, RowConverter)| {
            let picked: Vec<ArrayRef> = indices.iter().map(|index| ArrayRef::clone(&columns[*index])).collect();
            codec.convert_columns(&picked)
        };
        Ok(Side {
            groups: self.by.as_ref().map(picked).transpose()?,
            rows: self.projection.as_ref().filter(|(indices, _)| !indices.is_empty()).map(picked).transpose()?,
            sends_nothing: self.projection.as_ref().is_some_and(|(indices, _)| indices.is_empty()),
        })
    }

    fn send(&mut self, group: &[u8], change: &RowChange, row: Option<&[u8]>) {
        let payload = Sent { table: self.table, version: change.version.clone(), key: &change.key, row }.write();
        self.bytes += group.len() + payload.len();
        let partition = partition_of(group, self.waiting.len() as u32);
        self.waiting[partition as usize].push(Parcel { key: group.into(), payload, rows: 1 });
    }
}

/// The rows before some changes, or those after them, as a feed sends them.
struct Side {
    groups: Option<RowBytes>,
    rows: Option<RowBytes>,
    /// Whether it is only told that a row is there.
    sends_nothing: bool,
}

impl Side {
    /// The group of the next row, and what is sent of it.
    fn place<'a>(
        &'a self,
        indices: &mut impl Iterator<Item = usize>,
        key: &'a [u8],
        row: &'a [u8],
    ) -> (&'a [u8], &'a [u8]) {
        let index = indices.next().unwrap_or_default();
        let sent = if self.sends_nothing { &[] } else { row };
        let of = |rows: &'a Option<RowBytes>, whole| rows.as_ref().map_or(whole, |rows| rows.row(index).data());
        (of(&self.groups, key), of(&self.rows, sent))
    }
}
