//! Rows that are added to objects.
//!
//! Everything that a lane has written since its last *cut* is in open objects. At a cut all of them end, and the lane's
//! position, which stood at the cut before, moves. Objects can't be part of the log's transaction, so a cut is made in
//! three steps: the log says how far it reaches; the objects are put, under names that follow from where the cut began;
//! then position and announcements are committed. Whoever takes the lane over in between reads the same records up to
//! the same offset, and puts the same objects under the same names.

mod folders;
mod replaced;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, UInt32Array};
use arrow_select::take::take;
use azenha_formats::json::row_json;
use azenha_formats::objects::{ObjectWriter, compressed, extension};
use azenha_model::dead_letter::{Basis, Cause, ObjectRow};
use azenha_model::plan::{Generation, Layout, ObjectsOutput};
use azenha_model::{Field, Offset, Records};
use serde_json::value::RawValue;

use super::table::header;
use super::{Cut, End, Keeper, Moment, NewObject, Outgoing, RowEnd, State};
use crate::dead_letter::{Complaint, DeadLetters};
use crate::error::EngineError;
use crate::log::Append;
use crate::objects::Announcement;
use crate::plugin::Usage;
use crate::rows::{Arriving, Rows, Source};
use crate::spool::{Content, Spool};
use crate::state::{GroupTable, Restored};
use crate::status::NO_TIME;
use crate::store::StoreError;
pub use folders::folders_of;
use folders::{Values, folder};
pub use replaced::ReplacedEnd;

/// Objects that a lane may have open: each takes memory before it has many rows.
const MOST_OPEN: usize = 256;

/// Bytes that an open object takes beside its rows, roughly.
const OPEN_BYTES: usize = 16 << 10;

/// Bytes of rows that the open objects of a lane may hold in memory, until they are encoded and written to disk.
const MOST_HELD: usize = 64 << 20;

/// Objects of single records that one cut may make.
const MOST_RECORDS: u64 = 4_096;

/// The entry of the state that says how far the cut reaches that is being made.
const PROMISED: &[u8] = b"cut";

/// Where an objects end reads and writes.
#[derive(Debug)]
pub struct Place {
    /// The topic that is read.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// The generation of the pipeline's offsets.
    pub generation: Generation,
    /// How many partitions the topic of announcements has; 0 if there is none.
    pub announced: u32,
    /// The changelog.
    pub changelog: String,
    /// What a cut is kept under.
    pub definition: String,
    /// The folder where contents stand until they are put.
    pub spool: PathBuf,
}

/// Collects rows in objects.
pub struct ObjectsEnd {
    output: ObjectsOutput,
    step: Arc<str>,
    arriving: Arriving,
    place: Place,
    /// By folder.
    open: BTreeMap<String, OpenObject>,
    /// Objects that are finished, of single records.
    finished: Vec<(NewObject, Announcement)>,
    finished_bytes: usize,
    /// The offset of the last row whose record was written, and how many rows of that offset came before it.
    last_record: Option<(Offset, u32)>,
    rows: u64,
    table: GroupTable,
    keeper: Keeper,
    /// How far the cut reaches that an earlier owner of the lane began to make.
    promised: Option<Offset>,
}

struct OpenObject {
    writer: ObjectWriter<Spool>,
    values: Values,
    rows: u64,
}

impl ObjectsEnd {
    /// `recovered` says what an earlier owner of the lane had begun.
    pub fn new(output: &ObjectsOutput, arriving: Arriving, place: Place, recovered: Restored) -> Self {
        let table = recovered.table;
        let entry = table.find(PROMISED).and_then(|slot| table.get(slot));
        let promised = entry.and_then(|entry| entry.accumulator.first_chunk::<8>()).map(|to| u64::from_le_bytes(*to));
        Self {
            step: output.sink.as_str().into(),
            output: output.clone(),
            arriving,
            keeper: Keeper::new(place.changelog.clone(), place.partition),
            place,
            open: BTreeMap::new(),
            finished: Vec::new(),
            finished_bytes: 0,
            last_record: None,
            rows: 0,
            table,
            promised,
        }
    }

    /// Adds rows to the open object of a folder.
    fn write(
        &mut self,
        (path, values): (String, Values),
        arrays: &[ArrayRef],
        origin: &UInt32Array,
        source: &Source,
        dead: &mut DeadLetters,
    ) -> Result<(), EngineError> {
        let object = match self.open.entry(path) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                let ObjectsOutput { layout, compression, columns, hints, .. } = &self.output;
                let spool = Spool::new(&self.place.spool);
                let writer = ObjectWriter::new(spool, *layout, *compression, columns, hints)?;
                place.insert(OpenObject { writer, values, rows: 0 })
            }
        };
        let refused = object.writer.write(arrays, origin.len())?;
        object.rows += (origin.len() - refused.len()) as u64;
        self.rows += (origin.len() - refused.len()) as u64;
        for (row, reason) in refused {
            let basis = refused_row(&self.output, arrays, row);
            dead.push(&self.step, source, origin.value(row), &Complaint::new(Cause::Refused, reason).on(basis));
        }
        Ok(())
    }

    /// Makes an object of each row's record.
    fn write_records(
        &mut self,
        values: &BinaryArray,
        parts: &[ArrayRef],
        origin: &UInt32Array,
        source: &Source,
    ) -> Result<(), EngineError> {
        for (row, record) in origin.values().iter().enumerate() {
            let offset = source.fetched.offsets[*record as usize];
            let (path, values_of_folder) = folder(&self.output.partition_by, parts, row);
            let value = if values.is_null(row) { b"null".as_slice() } else { values.value(row) };
            let content = Content::from(compressed(value, self.output.compression)?);
            let object = NewObject { path: self.record_path(&path, offset), content };
            let announcement = self.announcement(&object, values_of_folder, (offset, offset + 1), 1);
            self.finished_bytes += object.content.bytes() as usize + OPEN_BYTES / 16;
            self.finished.push((object, announcement));
            self.rows += 1;
        }
        Ok(())
    }

    /// The path of the object of a row's record: what stands at one offset may give several rows.
    fn record_path(&mut self, folder: &str, offset: Offset) -> String {
        let number = self.last_record.filter(|(last, _)| *last == offset).map_or(0, |(_, number)| number + 1);
        self.last_record = Some((offset, number));
        let folder = if number == 0 { folder.to_owned() } else { format!("{folder}{number}-") };
        self.path(&folder, offset)
    }

    /// The path of an object: it follows from where it begins, so that whoever makes it again writes it to the same place.
    fn path(&self, folder: &str, from: Offset) -> String {
        let ObjectsOutput { path, layout, compression, .. } = &self.output;
        let Place { topic, partition, generation, .. } = &self.place;
        let generation = if *generation == 0 { String::new() } else { format!("g{generation}-") };
        format!("{path}/{folder}{generation}{topic}-{partition:04}-{from:016}{}", extension(*layout, *compression))
    }

    fn announcement(
        &self,
        object: &NewObject,
        values: Values,
        (from, to): (Offset, Offset),
        rows: u64,
    ) -> Announcement {
        let Place { topic, partition, .. } = &self.place;
        Announcement::of(&self.output, object, values, (topic, *partition, from, to), rows)
    }

    /// Ends all open objects.
    fn finish(&mut self, from: Offset, to: Offset) -> Result<Vec<(NewObject, Announcement)>, EngineError> {
        let mut finished = std::mem::take(&mut self.finished);
        for (folder, open) in std::mem::take(&mut self.open) {
            if open.rows == 0 {
                continue;
            }
            let content = closed(open.writer)?;
            let object = NewObject { path: self.path(&folder, from), content };
            let announcement = self.announcement(&object, open.values, (from, to), open.rows);
            finished.push((object, announcement));
        }
        (self.finished_bytes, self.rows) = (0, 0);
        Ok(finished)
    }

    /// What the changelog gets before the objects of a cut are put.
    fn promise(&mut self, moment: &Moment) -> Result<Append, EngineError> {
        let (slot, _) = self.table.slot_of(PROMISED);
        self.table.put(slot, &moment.position.to_le_bytes());
        let (append, _) = self.blocks(&Moment { position: moment.from, ..*moment })?;
        let (slot, _) = self.table.slot_of(PROMISED);
        self.table.remove(slot);
        Ok(append)
    }

    fn blocks(&mut self, moment: &Moment) -> Result<(Append, Option<Offset>), EngineError> {
        self.keeper.blocks(&header(moment, &self.place.definition), &mut self.table)
    }
}

/// What it was decided on that a row does not fit into an object.
fn refused_row(output: &ObjectsOutput, arrays: &[ArrayRef], row: usize) -> Basis {
    let fields: Vec<Field> = output.columns.iter().map(|column| column.field.clone()).collect();
    Basis::Object(ObjectRow {
        layout: output.layout,
        columns: output.columns.as_slice().into(),
        row: RawValue::from_string(row_json(&fields, arrays, row, true)).unwrap_or_default(),
    })
}

/// The content of an object whose rows are all there.
fn closed(writer: ObjectWriter<Spool>) -> Result<Content, EngineError> {
    let failed = |error| StoreError::Unavailable {
        what: "keeping an object in the data directory until it is put".to_owned(),
        source: Box::new(error),
    };
    Ok(writer.finish()?.finish().map_err(failed)?)
}

/// The records that announce objects, for the partition that belongs to their lane.
fn announce(
    output: &ObjectsOutput,
    place: &Place,
    announcements: &[Announcement],
    timestamp: i64,
) -> Result<Option<Append>, EngineError> {
    let Some(topic) = output.announce.clone().filter(|_| !announcements.is_empty()) else { return Ok(None) };
    let written = announcements.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>();
    let values = written.map_err(|error| EngineError::Setup(format!("an object cannot be announced: {error}")))?;
    let records = Records::unkeyed(BinaryArray::from_iter_values(values), timestamp);
    Ok(Some(Append { topic, partition: place.partition % place.announced.max(1), records }))
}

/// What the state is kept under: cuts are made of offsets of one topic, whatever they are cut into.
pub fn definition(topic: &str, topic_id: &str) -> String {
    format!("a cut of objects of topic {topic} ({topic_id})")
}

impl RowEnd for ObjectsEnd {
    fn rows(&mut self, rows: &Rows, source: &Arc<Source>, dead: &mut DeadLetters) -> Result<(), EngineError> {
        let column = |input: usize| self.arriving.column(rows, input, source);
        let arrays = self.output.columns.iter().map(|of| column(of.input)).collect::<Result<Vec<_>, _>>()?;
        let parts = self.output.partition_by.iter().map(|of| column(of.input)).collect::<Result<Vec<_>, _>>()?;
        if self.output.layout == Layout::Record {
            return self.write_records(arrays[0].as_binary(), &parts, &rows.origin, source);
        }
        if parts.is_empty() {
            return self.write((String::new(), Values::new()), &arrays, &rows.origin, source, dead);
        }
        let mut by_folder: BTreeMap<String, (Values, Vec<u32>)> = BTreeMap::new();
        for row in 0..rows.len() {
            let (path, values) = folder(&self.output.partition_by, &parts, row);
            by_folder.entry(path).or_insert_with(|| (values, Vec::new())).1.push(row as u32);
        }
        for (path, (values, picked)) in by_folder {
            let picked = UInt32Array::from(picked);
            let arrays = arrays.iter().map(|array| take(array, &picked, None)).collect::<Result<Vec<_>, _>>()?;
            let origin = picked.values().iter().map(|row| rows.origin.value(*row as usize)).collect::<Vec<_>>();
            self.write((path, values), &arrays, &UInt32Array::from(origin), source, dead)?;
        }
        Ok(())
    }
}

impl End for ObjectsEnd {
    fn commit(&mut self, moment: &Moment, _: &mut DeadLetters) -> Result<Outgoing, EngineError> {
        self.promised = None;
        let results = self.rows;
        let (objects, announcements): (Vec<_>, Vec<_>) = self.finish(moment.from, moment.position)?.into_iter().unzip();
        let cut = match objects.is_empty() {
            true => None,
            false => Some(Cut {
                from: moment.from,
                fence: self.promise(moment)?,
                are_new: true,
                connection: self.output.connection.clone(),
                objects,
            }),
        };
        let (state, purge_changelog) = self.blocks(moment)?;
        let mut appends = vec![state];
        appends.extend(announce(&self.output, &self.place, &announcements, moment.timestamp)?);
        Ok(Outgoing { appends, cut, results, purge_changelog, ..Outgoing::default() })
    }

    fn pending_bytes(&self) -> usize {
        let open: usize = self.open.values().map(|open| open.writer.bytes() + OPEN_BYTES).sum();
        open + self.finished_bytes
    }

    fn is_full(&self) -> bool {
        let roll = &self.output.roll;
        let most_rows = if self.output.layout == Layout::Record { roll.rows.min(MOST_RECORDS) } else { roll.rows };
        let held = self.open.values().map(|open| open.writer.held_bytes()).sum::<usize>() + self.finished_bytes;
        self.rows >= most_rows
            || self.pending_bytes() as u64 >= roll.bytes
            || self.open.len() >= MOST_OPEN
            || held >= MOST_HELD
    }

    fn promised(&self) -> Option<Offset> {
        self.promised
    }

    fn state(&mut self) -> Option<State<'_>> {
        let Self { step, table, keeper, .. } = self;
        Some(State { step, table, keeper, watermark: NO_TIME })
    }

    fn take_usage(&mut self) -> Usage {
        Usage::default()
    }
}
