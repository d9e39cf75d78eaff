//! The column of a sink that says which version of the pipeline made a row.
//!
//! It is made where rows are written. A sink of its own behind a step whose results have a topic between tasks writes
//! what another lane made, which may run another version at that moment: there the topic says it, under a name that no
//! column of a step has.

use super::stream::{Rows, Stream};
use super::{Outcome, Resolver};
use crate::plan::{OutputColumn, StreamColumn, TimeFormat, results_topic};
use crate::types::{DataType, Field, meta};
use crate::yaml::{Place, Spanned};

/// What a sink calls the column, if it has it.
pub(super) type VersionColumn<'a> = Option<&'a Spanned<String>>;

impl Resolver<'_> {
    /// Adds the column to those that a sink writes.
    pub(super) fn add_version(
        &mut self,
        name: VersionColumn<'_>,
        rows: &Rows,
        columns: &mut Vec<OutputColumn>,
    ) -> Outcome<()> {
        let Some(name) = name else { return Ok(()) };
        self.check_version(name, columns)?;
        columns.push(version(rows.made_by.unwrap_or(rows.fields.len()), &name.value));
        Ok(())
    }

    fn check_version(&mut self, name: &Spanned<String>, columns: &[OutputColumn]) -> Outcome<()> {
        let Spanned { value, place } = name;
        let (message, help) = if self.file.is_batch() {
            let message = "a run of a batch makes all rows anew, by one version".to_owned();
            (message, "leave `version_column` out")
        } else if value.is_empty() || value.starts_with('$') || value.contains(char::is_control) {
            let message = format!("a column cannot be called `{value}`");
            (message, "names are not empty, and those that begin with `$` are metadata")
        } else if columns.iter().any(|column| column.field.name == *value) {
            let message = format!("a column `{value}` is written already, and it is not the version");
            (message, "give `version_column` a name that no other column has, or rename the other one in `columns`")
        } else {
            return Ok(());
        };
        self.wrong(*place, message, help)
    }

    /// Has a step's task say which version made its results, if a sink of its own that reads them asks for it.
    pub(super) fn tell_version(&mut self, from: &str, name: VersionColumn<'_>, mut stream: Stream) -> Stream {
        let topic = results_topic(self.file.name(), from);
        let Some(results) = self.results.get(from).filter(|_| name.is_some()) else { return stream };
        let (task, told) = (results.task, version(results.rows.fields.len(), meta::VERSION));
        let outputs = self.result_outputs(task).into_iter().flatten();
        for output in outputs.filter(|output| output.topic == topic && !output.columns.contains(&told)) {
            output.columns.push(told.clone());
        }
        stream.read_version(told.field);
        stream
    }
}

/// Where the file names a column that is written: at `place`, unless it is the version.
pub(super) fn named_at(name: &str, version: VersionColumn<'_>, place: Place) -> Place {
    version.filter(|version| version.value == name).map_or(place, |version| version.place)
}

impl Stream {
    /// Reads the version beside the columns that its topic has for everybody.
    fn read_version(&mut self, field: Field) {
        let rows = &mut self.rows;
        rows.made_by = Some(rows.own);
        rows.fields.insert(rows.own, field.clone());
        rows.own += 1;
        let path = vec![field.name.clone()];
        self.input.columns.push(StreamColumn { field, path, time_format: TimeFormat::default() });
    }
}

/// A topic or table that there was before has rows without it.
fn version(input: usize, name: &str) -> OutputColumn {
    OutputColumn { input, field: Field::new(name, DataType::Int64, true), time_format: TimeFormat::default() }
}
