//! Topic sinks, and the keys of all sinks: whether two partitions could write the same row.

use std::collections::BTreeSet;

use super::super::file::{Partitions, SinkColumns, TopicSinkDef};
use super::super::format::sink_format;
use super::stream::{Rows, Stream};
use super::{Outcome, Reported, Resolver};
use crate::names::listed;
use crate::plan::{End, OutputColumn, TopicKind, TopicOutput};
use crate::yaml::Spanned;

pub(super) type KeyNames = Spanned<Vec<Spanned<String>>>;

impl Resolver<'_> {
    /// A topic sink directly behind an aggregation is one more output of its task, else a task of its own:
    /// each sink has its own position, so that one which is added later begins at the start.
    pub(super) fn topic_sink(&mut self, name: &Spanned<String>, sink: &TopicSinkDef) -> Outcome<()> {
        self.check_topic_is_free(sink)?;
        self.read_joined(&sink.from)?;
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
        let mut columns = self.output_columns(sink.columns.as_ref(), rows, name)?;
        let version = sink.version_column.as_ref();
        self.add_version(version, rows, &mut columns)?;
        let key = self.key(sink.key.as_ref(), rows, &columns)?;
        if let (Some(names), Some(_)) = (&sink.key, &rows.changes) {
            self.check_changes_key(names, &key, rows, &columns)?;
            self.check_together(names, &key, rows, &columns)?;
        }
        let format = sink_format(sink, name.place, &mut self.report);
        let place = sink.columns.as_ref().and_then(SinkColumns::place).unwrap_or(name.place);
        let output = TopicOutput { topic: sink.topic.value.clone(), format: format.value, columns, key };
        self.check_sink_schema(&output, format.place, (place, version))?;
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

    /// The positions of a sink's key in its columns.
    pub(super) fn key(
        &mut self,
        names: Option<&KeyNames>,
        rows: &Rows,
        columns: &[OutputColumn],
    ) -> Outcome<Vec<usize>> {
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
    pub(super) fn check_changes_key(
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
    pub(super) fn check_together(
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

/// The columns that arrive, for positions among those that are written.
fn inputs(key: &[usize], columns: &[OutputColumn]) -> Vec<usize> {
    key.iter().map(|position| columns[*position].input).collect()
}

pub(super) fn reads(columns: &[OutputColumn]) -> BTreeSet<usize> {
    columns.iter().map(|column| column.input).collect()
}
