//! Sinks: where rows go, by which key, and whether two partitions could write the same row.

use std::collections::BTreeSet;

use super::super::file::{Partitions, SinkColumns, TableSinkDef, TopicSinkDef};
use super::super::format::sink_format;
use super::stream::{Rows, Stream};
use super::{Outcome, Reported, Resolver};
use crate::names::listed;
use crate::plan::{End, OutputColumn, StoreOutput, TopicKind, TopicOutput, WriteMode};
use crate::yaml::Spanned;

type KeyNames = Spanned<Vec<Spanned<String>>>;

impl Resolver<'_> {
    /// A topic sink directly behind an aggregation is one more output of its task, else a task of its own:
    /// each sink has its own position, so that one which is added later begins at the start.
    pub(super) fn topic_sink(&mut self, name: &Spanned<String>, sink: &TopicSinkDef) -> Outcome<()> {
        self.check_topic_is_free(sink)?;
        if let Some(results) = self.results.get(&sink.from.value) {
            let (task, rows) = (results.task, results.rows.clone());
            let output = self.topic_output(name, sink, &rows)?;
            self.leave_output(name, sink, &output, &rows);
            self.push_result_output(task, output);
        } else {
            let stream = self.stream(&sink.from)?;
            let output = self.topic_output(name, sink, &stream.rows)?;
            self.leave_output(name, sink, &output, &stream.rows);
            let reads = reads(&output.columns);
            self.push_stream_task(&name.value, stream, reads, End::Topics(vec![output]));
        }
        Ok(())
    }

    fn check_topic_is_free(&mut self, sink: &TopicSinkDef) -> Outcome<()> {
        let topic = &sink.topic.value;
        let message = match self.topics.get(topic).map(|spec| spec.kind) {
            Some(TopicKind::Source) => {
                format!("topic `{topic}` is a source of this pipeline: it would read what it writes")
            }
            Some(_) => format!("another sink writes topic `{topic}` already"),
            None => return Ok(()),
        };
        self.report.error(sink.topic.place, message).suggest("write another topic");
        Err(Reported)
    }

    fn topic_output(&mut self, name: &Spanned<String>, sink: &TopicSinkDef, rows: &Rows) -> Outcome<TopicOutput> {
        let columns = self.output_columns(sink.columns.as_ref(), rows, name)?;
        let key = self.key(sink.key.as_ref(), rows, &columns)?;
        if let (Some(names), Some(_)) = (&sink.key, &rows.changes) {
            self.check_changes_key(names, &key, rows, &columns)?;
            self.check_together(names, &key, rows, &columns)?;
        }
        let format = sink_format(sink, name.place, &mut self.report);
        let place = sink.columns.as_ref().and_then(SinkColumns::place).unwrap_or(name.place);
        let output = TopicOutput { topic: sink.topic.value.clone(), format: format.value, columns, key };
        self.check_sink_schema(&output, format.place, place)?;
        Ok(output)
    }

    /// Adds the topic of a sink, and the stream that reads it.
    fn leave_output(&mut self, name: &Spanned<String>, sink: &TopicSinkDef, output: &TopicOutput, rows: &Rows) {
        let wanted = sink.partitions.as_ref().map(|Partitions(wanted)| wanted);
        let partitions = self.topics.partitions(&sink.topic, wanted, rows.partitions, &mut self.report);
        self.topics.add(&output.topic, partitions, TopicKind::Output);
        let inputs = inputs(&output.key, &output.columns);
        let decisive = rows.partitioning(&inputs);
        let is_decisive = |position: &usize| decisive.contains(&output.columns[*position].input);
        let partitioned_by = output.key.iter().copied().filter(is_decisive).collect();
        let partitioned_by = (!output.key.is_empty()).then_some(partitioned_by);
        let stream = Stream::of_output(output, partitions, partitioned_by, rows.changes.is_some());
        self.streams.insert(name.value.clone(), stream);
    }

    pub(super) fn table_sink(&mut self, name: &Spanned<String>, sink: &TableSinkDef) -> Outcome<()> {
        let connection = &sink.connection;
        if let Err(help) = self.surroundings.has_connection(&connection.value) {
            self.report.error(connection.place, format!("there is no connection `{}`", connection.value)).suggest(help);
        }
        self.check_table(&sink.table);
        let stream = self.stream(&sink.from)?;
        self.check_readable_changes(sink, &stream.rows)?;
        let rows = &stream.rows;
        let columns = self.output_columns(sink.columns.as_ref(), rows, name)?;
        let key = self.key(sink.key.as_ref(), rows, &columns)?;
        let mode = self.mode(name, sink, rows)?;
        if let (Some(names), WriteMode::Upsert) = (&sink.key, mode) {
            self.check_changes_key(names, &key, rows, &columns)?;
            self.check_together(names, &key, rows, &columns)?;
        }
        let reads = reads(&columns);
        let (connection, table) = (connection.value.clone(), sink.table.value.clone());
        let output = StoreOutput { sink: name.value.clone(), connection, table, columns, key, mode };
        self.push_stream_task(&name.value, stream, reads, End::Store(output));
        Ok(())
    }

    fn check_table(&mut self, table: &Spanned<String>) {
        if table.value.is_empty() {
            self.report.error(table.place, "a table needs a name").suggest("write the table's name");
        } else if table.value.contains(char::is_control) {
            self.report
                .error(table.place, format!("a table cannot be called `{}`", table.value))
                .suggest("leave out the control characters");
        } else if is_reserved(&table.value) {
            self.report
                .error(table.place, format!("table `{}` is the host's or the store's own", table.value))
                .suggest("choose another name: positions of pipelines stand in such tables");
        }
    }

    fn check_readable_changes(&mut self, sink: &TableSinkDef, rows: &Rows) -> Outcome<()> {
        if rows.changes.as_ref().is_none_or(|identity| !identity.is_empty()) {
            return Ok(());
        }
        let from = &sink.from;
        let message =
            format!("`{}` holds a changelog without a key, so nobody can tell which row a change is of", from.value);
        self.report.error(from.place, message).suggest(format!("give sink `{}` a `key`", from.value));
        Err(Reported)
    }

    fn mode(&mut self, name: &Spanned<String>, sink: &TableSinkDef, rows: &Rows) -> Outcome<WriteMode> {
        let default = if sink.key.is_some() { WriteMode::Upsert } else { WriteMode::Append };
        let mode = sink.mode.as_ref().map_or(default, |mode| mode.value);
        let place = sink.mode.as_ref().map_or(name.place, |mode| mode.place);
        match mode {
            WriteMode::Upsert if sink.key.is_none() => {
                self.report
                    .error(place, "`mode: upsert` replaces the row with the same key, but there is no `key`")
                    .suggest("add `key: [column, …]`, or write `mode: append`");
            }
            WriteMode::Append if rows.changes.is_some() => {
                let message = format!("`{}` is a changelog: its rows replace and delete earlier ones", sink.from.value);
                self.report.error(place, message).suggest("add `key: [column, …]` and leave out `mode: append`");
            }
            _ => return Ok(mode),
        }
        Err(Reported)
    }

    /// The positions of a sink's key in its columns.
    fn key(&mut self, names: Option<&KeyNames>, rows: &Rows, columns: &[OutputColumn]) -> Outcome<Vec<usize>> {
        let Some(names) = names else { return Ok(Vec::new()) };
        let inputs = self.key_columns(names, &rows.fields)?;
        let mut positions = Vec::new();
        for (name, input) in names.value.iter().zip(inputs) {
            match columns.iter().position(|column| column.input == input) {
                Some(position) => positions.push(position),
                None => {
                    self.report
                        .error(
                            name.place,
                            format!("key column `{}` is not among the columns that are written", name.value),
                        )
                        .suggest("add it to `columns`");
                }
            }
        }
        if positions.len() == names.value.len() { Ok(positions) } else { Err(Reported) }
    }

    /// A deleted row has only the columns that identify it: a key can have no others.
    fn check_changes_key(
        &mut self,
        names: &KeyNames,
        key: &[usize],
        rows: &Rows,
        columns: &[OutputColumn],
    ) -> Outcome<()> {
        let Some(identity) = &rows.changes else { return Ok(()) };
        let inputs = inputs(key, columns);
        let Some(outside) = inputs.iter().position(|input| !identity.contains(input)) else { return Ok(()) };
        let name = &names.value[outside];
        let message =
            format!("column `{}` cannot be part of the key, because a deleted row does not have it", name.value);
        let known = listed(identity.iter().map(|column| &rows.fields[*column].name));
        self.report.error(name.place, message).suggest(format!("a deleted row has {known}"));
        Err(Reported)
    }

    /// Two partitions that write one row would overwrite each other in any order.
    fn check_together(
        &mut self,
        names: &KeyNames,
        key: &[usize],
        rows: &Rows,
        columns: &[OutputColumn],
    ) -> Outcome<()> {
        if rows.are_together(&inputs(key, columns)) {
            return Ok(());
        }
        let message = format!(
            "rows with the same key may come from any of {} partitions, which would overwrite each other",
            rows.partitions
        );
        let help = match &rows.partitioned_by {
            Some(decisive) => {
                let decisive = listed(decisive.iter().map(|column| &rows.fields[*column].name));
                format!("what is read is partitioned by {decisive}: make that part of the key")
            }
            None => "if what is read is partitioned by columns of the key, say so at the source: \
                     `partitioned_by: [column, …]`"
                .to_owned(),
        };
        self.report.error(names.place, message).suggest(help);
        Err(Reported)
    }
}

/// Whether a table is one in which the host or the store keeps what it needs itself. SQLite takes capital letters for
/// small ones.
fn is_reserved(table: &str) -> bool {
    let table = table.to_ascii_lowercase();
    let name = table.rsplit('.').next().unwrap_or_default();
    ["azenha_", "sqlite_"].iter().any(|prefix| name.starts_with(prefix))
        || ["pg_catalog.", "information_schema."].iter().any(|schema| table.starts_with(schema))
}

/// The columns that arrive, for positions among those that are written.
fn inputs(key: &[usize], columns: &[OutputColumn]) -> Vec<usize> {
    key.iter().map(|position| columns[*position].input).collect()
}

fn reads(columns: &[OutputColumn]) -> BTreeSet<usize> {
    columns.iter().map(|column| column.input).collect()
}
