//! A relation that keeps the rows of its groups, and gives what follows when they change.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, new_null_array};
use arrow_row::RowConverter;
use arrow_select::concat::concat;
use arrow_select::filter::filter;
use azenha_model::plan::TopicOutput;
use azenha_model::relation::{Feed, Operator, RelatedTable, Relation};
use azenha_model::{Field, Offset};
use twox_hash::{XxHash3_64, XxHash3_128};

use super::definition::Definition;
use super::keeper::malformed;
use super::table::{header, named, readers};
use super::{End, Keeper, MessageEnd, Moment, Outgoing, State, TopicWriter};
use crate::dead_letter::{DeadLetters, Place};
use crate::error::EngineError;
use crate::exchange::{Cargo, Sender, open};
use crate::plugin::Usage;
use crate::relation::{
    Applied, Assembler, Assembly, GroupId, Joiner, Related, Router, RowChange, Sent, group_columns, row_codec,
};
use crate::rows::Source;
use crate::state::StateHeader;
use crate::status::NO_TIME;
use crate::tap::Tap;
use crate::watermark::Progress;
use crate::wire::Malformed;

/// What is made of groups.
pub enum Operation {
    /// Joined rows, as they change.
    Join(Joiner),
    /// What a plugin makes of each changed group.
    Assemble(Box<Assembler>),
    /// The row that each changed group is.
    Latest(RowConverter),
}

/// Keeps groups of rows.
pub struct RelateEnd {
    relation: Relation,
    step: Arc<str>,
    related: Related,
    operation: Operation,
    keys: RowConverter,
    /// Groups that changed since the last commit.
    changed: BTreeSet<GroupId>,
    anew: Anew,
    router: Router,
    writers: Vec<TopicWriter>,
    fields: Vec<Field>,
    /// Writes what a group gave as bytes, to see whether it is something else than before.
    results: RowConverter,
    /// Stands for the names and types of the results: the same values under other names are something else.
    shape: u64,
    keeper: Keeper,
    definition: Definition,
    tap: Tap,
    place: (String, u32),
    sent: u64,
}

/// Groups whose results are held at once; few in tests, so that they meet several parts.
const CHUNK: usize = if cfg!(test) { 2 } else { 8_192 };

/// Changes that wait to be routed, at most about so many: a row that ten thousand others name makes as many at once.
const ROUTED: usize = 4_096;

impl RelateEnd {
    /// `definition` is what the state is kept under, `input` the topic that is read and its partition.
    #[expect(clippy::too_many_arguments, reason = "they are the parts that it is put together of")]
    pub fn new(
        relation: Relation,
        operation: Operation,
        related: Related,
        outlets: (Router, Vec<TopicWriter>),
        definition: Definition,
        changelog: String,
        input: (String, u32),
        tap: Tap,
    ) -> Result<Self, EngineError> {
        let anew = Anew::new(&definition, &related);
        let fields = relation.output();
        Ok(Self {
            step: relation.step.as_str().into(),
            keys: row_codec(&relation.keys)?,
            results: row_codec(&fields)?,
            shape: XxHash3_64::oneshot(named(&fields).as_bytes()),
            keeper: Keeper::new(changelog, input.1),
            definition,
            relation,
            related,
            operation,
            changed: BTreeSet::new(),
            anew,
            router: outlets.0,
            writers: outlets.1,
            fields,
            tap,
            place: input,
            sent: 0,
        })
    }

    /// Writes the results of the groups that changed, some of them at a time: new code makes all of them anew.
    fn write_changed(&mut self, dead: &mut DeadLetters, place: Place<'_>) -> Result<(), EngineError> {
        let changed: Vec<GroupId> = std::mem::take(&mut self.changed).into_iter().collect();
        for groups in changed.chunks(CHUNK) {
            let assembly = self.assembly(groups)?;
            self.write_new(groups, assembly, dead, place)?;
        }
        Ok(())
    }

    /// What is made of groups.
    fn assembly(&mut self, groups: &[GroupId]) -> Result<Assembly, EngineError> {
        match &mut self.operation {
            Operation::Assemble(assembler) => assembler.assemble(&self.related, groups),
            Operation::Latest(rows) => Ok(latest(rows, &self.related, groups)?),
            Operation::Join(_) => Ok(Assembly::default()),
        }
    }

    /// Writes the results of groups: deletes first, then rows. What is as before is left out.
    fn write_new(
        &mut self,
        changed: &[GroupId],
        assembly: Assembly,
        dead: &mut DeadLetters,
        place: Place<'_>,
    ) -> Result<(), EngineError> {
        let Assembly { with_row, columns, without_row, complaints, .. } = assembly;
        for complaint in complaints {
            dead.push_group(&self.step, place, &complaint);
        }
        let mut is_new = Vec::with_capacity(with_row.len());
        if !with_row.is_empty() {
            let rows = self.results.convert_columns(&columns)?;
            for (row, group) in with_row.iter().enumerate() {
                let result = XxHash3_128::oneshot_with_seed(self.shape, rows.row(row).data());
                is_new.push(self.related.note_result(*group, Some(result)));
            }
        }
        let deleted: Vec<GroupId> =
            without_row.into_iter().filter(|group| self.related.note_result(*group, None)).collect();
        let results = self.put_together(&columns, &BooleanArray::from(is_new), &deleted)?;
        changed.iter().for_each(|group| self.related.release(*group));
        self.write(&results, |_| true, dead, place)
    }

    fn put_together(
        &self,
        columns: &[ArrayRef],
        is_new: &BooleanArray,
        deleted: &[GroupId],
    ) -> Result<Results, EngineError> {
        let keys = group_columns(&self.keys, &self.related, deleted)?;
        let column = |(index, field): (usize, &Field)| {
            // A deleted row has the columns of its group, which come first, or are the key of a row that is one.
            let of_deleted = match self.key_of(index) {
                Some(key) => Arc::clone(&keys[key]),
                None => new_null_array(&field.data_type.arrow(), deleted.len()),
            };
            match columns.get(index) {
                Some(column) => concat(&[of_deleted.as_ref(), filter(column, is_new)?.as_ref()]),
                None => Ok(of_deleted),
            }
        };
        let columns = self.fields.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
        let rows = deleted.len() + is_new.true_count();
        let deletes = (!deleted.is_empty()).then(|| (0..rows).map(|row| Some(row < deleted.len())).collect());
        Ok(Results { columns, deletes, rows })
    }

    /// The column of the group that a column of the results is.
    fn key_of(&self, column: usize) -> Option<usize> {
        let name = &self.fields[column].name;
        self.relation.keys.iter().position(|key| key.name == *name)
    }

    /// Writes results to the topics that are picked.
    fn write(
        &mut self,
        results: &Results,
        picks: impl Fn(&str) -> bool,
        dead: &mut DeadLetters,
        place: Place<'_>,
    ) -> Result<(), EngineError> {
        let Results { columns, deletes, rows } = results;
        self.sent += *rows as u64;
        if *rows == 0 {
            return Ok(());
        }
        self.tap.send(&self.fields, columns, deletes.as_ref());
        for writer in self.writers.iter_mut().filter(|writer| picks(&writer.output().topic)) {
            for (_, complaint) in writer.write_results(columns, deletes.as_ref(), vec![place.timestamp; *rows])? {
                dead.push_group(&self.step, place, &complaint);
            }
        }
        Ok(())
    }

    /// A number that is another one if the plugin or its configuration is.
    pub fn code(&self) -> u32 {
        match &self.operation {
            Operation::Assemble(assembler) => assembler.code(),
            Operation::Join(_) | Operation::Latest(_) => 0,
        }
    }
}

/// Rows for the outputs.
struct Results {
    columns: Vec<ArrayRef>,
    deletes: Option<BooleanArray>,
    rows: usize,
}

/// Groups of one row each.
fn latest(rows: &RowConverter, related: &Related, groups: &[GroupId]) -> Result<Assembly, EngineError> {
    let row = |group: &GroupId| related.members(*group, 0).find_map(|member| member.row);
    let (with_row, without_row): (Vec<GroupId>, Vec<GroupId>) = groups.iter().partition(|group| row(group).is_some());
    let parser = rows.parser();
    let columns = rows.convert_rows(with_row.iter().filter_map(row).map(|row| parser.parse(row)))?;
    Ok(Assembly { with_row, columns, without_row, ..Assembly::default() })
}

/// What must be the same for a state to be read back, what is brought together and by what; and who reads what comes out.
pub fn definition(relation: &Relation, feeds: &[Feed], outputs: &[TopicOutput]) -> Definition {
    let keys: Vec<&str> = relation.keys.iter().map(|key| key.name.as_str()).collect();
    let table = |table: &RelatedTable| {
        let (by, columns) = (table.by.join(", "), named(&table.fields));
        format!("{} of {} by ({by}) in version(s) of {} ({columns})", table.name, table.origin, table.versions)
    };
    let tables: Vec<String> = relation.tables.iter().map(table).collect();
    let what = match &relation.operator {
        Operator::Join(kind) => format!("{kind:?} join"),
        Operator::Assemble(_) => "groups".to_owned(),
        Operator::Latest => "latest rows".to_owned(),
        Operator::Objects(_) => "folders".to_owned(),
    };
    let what = format!("{what} of {} by {}", tables.join(" and "), keys.join(", "));
    Definition::new(what, readers(feeds, outputs))
}

impl MessageEnd for RelateEnd {
    fn message(&mut self, source: &Source, record: u32, _: &mut DeadLetters) -> Result<(), EngineError> {
        let mut changes = Vec::new();
        let Self { related, operation, changed, router, sent: routed, .. } = self;
        each_change(related, source, record, |related, sent, applied| {
            match operation {
                Operation::Join(joiner) => {
                    changes.extend(joiner.changes(related, sent, applied));
                    related.release(applied.group);
                }
                Operation::Assemble(_) | Operation::Latest(_) => {
                    changed.insert(applied.group);
                }
            }
            if changes.len() >= ROUTED { route(router, routed, &mut changes) } else { Ok(()) }
        })?;
        route(router, routed, &mut changes)
    }
}

/// Applies the changes of a message to the groups that they are of; `applied` is told of each that is news.
pub fn each_change(
    related: &mut Related,
    source: &Source,
    record: u32,
    mut applied: impl FnMut(&mut Related, &Sent<'_>, &Applied) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let what = |error| malformed(&source.topic, error);
    let message = open(source.fetched.records.values.value(record as usize)).map_err(what)?;
    if message.cargo != Cargo::Changes {
        let reason = Malformed("a relation takes changes of rows, and nothing else".to_owned());
        return Err(what(reason));
    }
    for parcel in message.parcels {
        let sent = Sent::read(&parcel.payload).map_err(what)?;
        if let Some(done) = related.apply(&parcel.key, &sent).map_err(what)? {
            applied(related, &sent, &done)?;
        }
    }
    Ok(())
}

fn route(router: &mut Router, routed: &mut u64, changes: &mut Vec<RowChange>) -> Result<(), EngineError> {
    *routed += changes.len() as u64;
    router.route(changes)?;
    changes.clear();
    Ok(())
}

impl End for RelateEnd {
    fn commit(&mut self, moment: &Moment, dead: &mut DeadLetters) -> Result<Outgoing, EngineError> {
        let (topic, partition) = self.place.clone();
        let offset: Offset = moment.position.saturating_sub(1);
        let place = Place { topic: &topic, partition, offset, timestamp: moment.timestamp };
        self.write_changed(dead, place)?;
        self.write_anew(dead, place)?;
        let sender = Sender { partition, progress: Progress::Idle, from: moment.from, through: moment.position };
        let sealed = self.router.take(sender, moment.timestamp);
        let mut appends = sealed.map_err(|error| malformed(&topic, error))?;
        for writer in &mut self.writers {
            appends.extend(writer.take()?);
        }
        let header = StateHeader { state_version: self.made_by(), ..header(moment, &self.definition.text()) };
        let (state, purge_changelog) = self.keeper.blocks(&header, self.related.entries())?;
        appends.push(state);
        let results = std::mem::take(&mut self.sent);
        Ok(Outgoing { appends, results, purge_changelog, ..Outgoing::default() })
    }

    fn has_more(&self) -> bool {
        self.anew.has_more()
    }

    fn pending_bytes(&self) -> usize {
        self.router.bytes() + self.changed.len() * GROUP_BYTES
    }

    fn state(&mut self) -> Option<State<'_>> {
        let Self { step, related, keeper, .. } = self;
        Some(State { step, table: related.table(), keeper, watermark: NO_TIME })
    }

    fn take_usage(&mut self) -> Usage {
        match &mut self.operation {
            Operation::Assemble(assembler) => assembler.take_usage(),
            Operation::Join(_) | Operation::Latest(_) => Usage::default(),
        }
    }
}

/// What the result of a group will take, roughly: enough to commit early when very many wait.
const GROUP_BYTES: usize = 512;

mod anew;

use anew::Anew;

#[cfg(test)]
mod simulation;
