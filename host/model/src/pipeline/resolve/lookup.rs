//! Lookups: a stream of which each row gets the row of a table beside it.

use super::super::file::{LookupDef, SinkColumns};
use super::aggregate::Results;
use super::stream::{Rows, Stream};
use super::tables::{Reading, TableRows};
use super::{Outcome, Resolver};
use crate::plan::{End, EventTime, Input, Task, TimeFormat, ToldTime, TopicKind, exchange_topic};
use crate::relation::{JoinKind, Lookup};
use crate::types::Field;
use crate::yaml::Spanned;

impl Resolver<'_> {
    /// Makes the two tasks of a lookup, and leaves a stream behind.
    pub(super) fn lookup(&mut self, step: &Spanned<String>, definition: &LookupDef) -> Outcome<()> {
        let table = self.table(&definition.lookup);
        let stream = self.stream_of_additions(&definition.from, "a lookup");
        let (table, stream) = (table?, stream?);
        let fields = &stream.rows.fields;
        let columns: Vec<usize> =
            (0..stream.rows.own).filter(|column| !fields[*column].name.starts_with('$')).collect();
        let sent: Vec<Field> = columns.iter().map(|column| fields[*column].clone()).collect();
        let by = self.foreign_key(&definition.on, &sent, &definition.lookup, &table)?;
        let table = self.looked_up(definition, table)?;
        let place = definition.columns.as_ref().and_then(SinkColumns::place).unwrap_or(definition.lookup.place);
        self.check_distinct(sent.iter().chain(&table.fields).map(|field| &field.name), place)?;
        let lookup = Lookup {
            step: step.value.clone(),
            stream: sent,
            by,
            table: table.related(),
            kind: kind(definition),
            is_timed: stream.input.event_time.is_some(),
        };
        self.push_lookup(step, stream, columns, &table, lookup);
        Ok(())
    }

    /// The table as its rows are sent.
    fn looked_up(&mut self, definition: &LookupDef, rows: TableRows) -> Outcome<Reading> {
        let (columns, fields) = self.taken_columns(definition.columns.as_ref(), &rows, kind(definition))?;
        Ok(Reading { name: definition.lookup.value.clone(), by: rows.key.clone(), columns, fields, rows })
    }

    fn push_lookup(
        &mut self,
        step: &Spanned<String>,
        stream: Stream,
        columns: Vec<usize>,
        table: &Reading,
        lookup: Lookup,
    ) {
        let (name, place) = (&step.value, step.place);
        let topic = exchange_topic(self.file.name(), name);
        let (of_stream, event_time) = (stream.rows.partitions, stream.input.event_time);
        let partitions = of_stream.max(table.rows.partitions);
        self.add_internal(topic.clone(), partitions, TopicKind::Internal, place);
        self.feed(table, &topic, 0);

        let first = format!("{name}.repartition");
        let reads = columns.iter().copied().collect();
        let end = End::Repartition { lookup: lookup.clone(), columns, topic: topic.clone() };
        self.push_stream_task(&first, stream, reads, end);
        self.add_changelog(&first, of_stream, place);

        let rows = looked_up_rows(&lookup, partitions);
        let end = End::Lookup { lookup, outputs: Vec::new() };
        let task = self.tasks.len();
        self.tasks.push(Task { name: name.clone(), input: Input::Exchange { topic }, stages: Vec::new(), end });
        self.add_changelog(name, partitions, place);

        let times = event_time.map(|time| told_time(time, rows.own));
        // Nothing that a stream says is lost between tasks, microseconds neither.
        let results = Results { task, rows, key: Vec::new(), time_format: TimeFormat::Micros, place };
        self.leave_results(name, results);
        if let Some(stream) = self.streams.get_mut(name) {
            stream.input.event_time = times;
        }
    }
}

fn kind(definition: &LookupDef) -> JoinKind {
    definition.kind.as_ref().map_or(JoinKind::Left, |kind| kind.value)
}

/// What is known of the rows in the task that looks them up: they are only ever added, and spread by what they name.
fn looked_up_rows(lookup: &Lookup, partitions: u32) -> Rows {
    let fields = lookup.output();
    let partitioned_by = Some(lookup.by.clone());
    Rows { own: fields.len(), fields, partitions, partitioned_by, changes: None, bounds: None, made_by: None }
}

/// The stream's time behind the lookup: its columns are the last ones.
fn told_time(time: EventTime, columns: usize) -> EventTime {
    let first = columns - Lookup::TIMES.len();
    EventTime { column: first, told: Some(ToldTime { watermark: first + 1, reached: first + 2 }), ..time }
}
