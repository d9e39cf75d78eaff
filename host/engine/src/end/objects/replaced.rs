//! Rows of a table in objects: those of each folder are one object, which is replaced when a row of it changes.
//!
//! The lane that owns a folder keeps its rows, so the object is always made of all of them, in the order of their keys,
//! and put whole. It is put before the commit that covers its rows: after a crash in between it says more than the state
//! knows. So whoever takes the lane puts the object of a folder at its first change, whatever the state says of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_row::RowConverter;
use azenha_formats::objects::{ObjectWriter, extension};
use azenha_model::plan::{ObjectsOutput, PartitionColumn, TopicOutput};
use azenha_model::relation::{Feed, Relation};
use twox_hash::{XxHash3_64, XxHash3_128};

use super::folders::{Values, folder};
use super::{Place, announce, closed};
use crate::dead_letter::DeadLetters;
use crate::end::relate::{definition, each_change};
use crate::end::table::header;
use crate::end::{Cut, End, Keeper, MessageEnd, Moment, Outgoing, State};
use crate::error::EngineError;
use crate::objects::{Announcement, NewObject};
use crate::plugin::Usage;
use crate::relation::{GroupId, Related, group_columns, row_codec};
use crate::rows::Source;
use crate::spool::{Content, Spool};
use crate::state::StateHeader;
use crate::status::NO_TIME;

/// Bytes that the rows of a folder take until they are written, roughly: enough to commit early when very many wait.
const FOLDER_BYTES: usize = 16 << 10;

/// Keeps the rows of folders and writes an object for each.
pub struct ReplacedEnd {
    output: ObjectsOutput,
    /// The folders' columns, as columns of a group.
    parts: Vec<PartitionColumn>,
    step: Arc<str>,
    related: Related,
    keys: RowConverter,
    rows: RowConverter,
    /// Folders that changed since the last commit.
    changed: BTreeSet<GroupId>,
    /// Folders whose objects this owner of the lane has put.
    put: BTreeSet<GroupId>,
    /// Whether all of them are written anew, and no record has to come for it.
    is_anew: bool,
    keeper: Keeper,
    definition: String,
    place: Place,
    /// Stands for everything but rows that decides what is in an object.
    code: u32,
    /// The code that the state names: this one's once a commit has made everything anew.
    made_by: u32,
    /// Stands for where objects go: the same content elsewhere is something else.
    whereto: u64,
}

impl ReplacedEnd {
    /// `related` are the rows that were restored.
    pub fn new(
        relation: &Relation,
        output: &ObjectsOutput,
        related: Related,
        place: Place,
    ) -> Result<Self, EngineError> {
        let part = |(input, part): (usize, &PartitionColumn)| PartitionColumn { name: part.name.clone(), input };
        let (no_feeds, no_outputs): (&[Feed], &[TopicOutput]) = (&[], &[]);
        let code = XxHash3_64::oneshot(format!("{output:?}").as_bytes()) as u32;
        Ok(Self {
            parts: output.partition_by.iter().enumerate().map(part).collect(),
            step: output.sink.as_str().into(),
            code,
            made_by: code,
            whereto: XxHash3_64::oneshot(
                format!("{} {} {:?}", output.connection, output.path, output.announce).as_bytes(),
            ),
            output: output.clone(),
            keys: row_codec(&relation.keys)?,
            rows: row_codec(&relation.output())?,
            changed: BTreeSet::new(),
            put: BTreeSet::new(),
            is_anew: false,
            keeper: Keeper::new(place.changelog.clone(), place.partition),
            definition: definition(relation, no_feeds, no_outputs).text(),
            related,
            place,
        })
    }

    /// Tells which code made what was restored. If it is another one, every object is written anew with the next commit.
    pub fn resume(&mut self, made_by: u32) {
        self.made_by = made_by;
        if made_by == self.code {
            return;
        }
        self.changed.extend(self.related.groups());
        self.is_anew = true;
    }

    /// The object of a folder; none if it is as before.
    fn object(&mut self, group: GroupId, moment: &Moment) -> Result<Option<(NewObject, Announcement)>, EngineError> {
        let parts = group_columns(&self.keys, &self.related, &[group])?;
        let (path, values) = folder(&self.parts, &parts, 0);
        let (content, rows) = self.content(group)?;
        let is_there = (rows > 0).then(|| XxHash3_128::oneshot_with_seed(self.whereto, content.sha256().as_bytes()));
        let is_new = self.related.note_result(group, is_there) | self.put.insert(group);
        if is_there.is_none() {
            // Its number may go to another folder.
            self.put.remove(&group);
        }
        self.related.release(group);
        if !is_new {
            return Ok(None);
        }
        let ObjectsOutput { path: below, layout, compression, .. } = &self.output;
        let path = format!("{below}/{path}rows{}", extension(*layout, *compression));
        let object = NewObject { path, content };
        let announcement = self.announcement(&object, values, moment, rows);
        Ok(Some((object, announcement)))
    }

    /// What is in the object of a folder, and how many rows. Of one without rows an empty object stays: a store may be
    /// unable to delete what nobody else has replaced.
    fn content(&self, group: GroupId) -> Result<(Content, u64), EngineError> {
        let members = self.related.members(group, 0);
        let mut rows: Vec<(&[u8], &[u8])> = members.filter_map(|member| Some((member.key, member.row?))).collect();
        rows.sort_unstable();
        let parser = self.rows.parser();
        let columns = self.rows.convert_rows(rows.iter().map(|(_, row)| parser.parse(row)))?;
        let ObjectsOutput { layout, compression, columns: written, hints, .. } = &self.output;
        let picked: Vec<ArrayRef> = written.iter().map(|column| Arc::clone(&columns[column.input])).collect();
        let mut writer = ObjectWriter::new(Spool::new(&self.place.spool), *layout, *compression, written, hints)?;
        writer.write(&picked, rows.len())?;
        Ok((closed(writer)?, rows.len() as u64))
    }

    fn announcement(&self, object: &NewObject, values: Values, moment: &Moment, rows: u64) -> Announcement {
        let Place { topic, partition, .. } = &self.place;
        Announcement::of(&self.output, object, values, (topic, *partition, moment.from, moment.position), rows)
    }
}

impl MessageEnd for ReplacedEnd {
    fn message(&mut self, source: &Source, record: u32, _: &mut DeadLetters) -> Result<(), EngineError> {
        let Self { related, changed, .. } = self;
        each_change(related, source, record, |_, _, applied| {
            changed.insert(applied.group);
            Ok(())
        })
    }
}

impl End for ReplacedEnd {
    fn commit(&mut self, moment: &Moment, _: &mut DeadLetters) -> Result<Outgoing, EngineError> {
        self.is_anew = false;
        let (mut objects, mut announcements) = (Vec::new(), Vec::new());
        for group in std::mem::take(&mut self.changed) {
            if let Some((object, announcement)) = self.object(group, moment)? {
                objects.push(object);
                announcements.push(announcement);
            }
        }
        let results = announcements.iter().map(|announcement| announcement.rows).sum();
        let header = StateHeader { state_version: self.code, ..header(moment, &self.definition) };
        let fence =
            self.keeper.fence(&StateHeader { position: moment.from, state_version: self.made_by, ..header.clone() })?;
        self.made_by = self.code;
        let (state, purge_changelog) = self.keeper.blocks(&header, self.related.entries())?;
        let mut appends = vec![state];
        appends.extend(announce(&self.output, &self.place, &announcements, moment.timestamp)?);
        let connection = self.output.connection.clone();
        let cut =
            (!objects.is_empty()).then_some(Cut { from: moment.from, fence, are_new: false, connection, objects });
        Ok(Outgoing { appends, cut, results, purge_changelog, ..Outgoing::default() })
    }

    fn has_more(&self) -> bool {
        self.is_anew
    }

    fn pending_bytes(&self) -> usize {
        self.changed.len() * FOLDER_BYTES
    }

    fn state(&mut self) -> Option<State<'_>> {
        let Self { step, related, keeper, .. } = self;
        Some(State { step, table: related.table(), keeper, watermark: NO_TIME })
    }

    fn take_usage(&mut self) -> Usage {
        Usage::default()
    }
}
