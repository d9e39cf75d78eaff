//! Columns that the file names.

use std::collections::BTreeMap;

use super::super::file::SinkColumns;
use super::stream::Rows;
use super::{Outcome, Reported, Resolver};
use crate::names::{listed, unknown};
use crate::plan::{OutputColumn, TimeFormat};
use crate::types::Field;
use crate::yaml::{Entries, Place, Spanned};

impl Resolver<'_> {
    /// The index of the column that is called `name`.
    pub(super) fn column(&mut self, name: &Spanned<String>, fields: &[Field]) -> Outcome<usize> {
        let found = fields.iter().position(|field| field.name == name.value);
        found.ok_or_else(|| {
            let known: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            self.report.error(name.place, format!("there is no column `{}` here", name.value)).suggest(unknown(
                &name.value,
                "columns are",
                &known,
            ));
            Reported
        })
    }

    /// The indices of several columns; every one that is not there is reported.
    pub(super) fn columns(&mut self, names: &[Spanned<String>], fields: &[Field]) -> Outcome<Vec<usize>> {
        let found: Vec<Outcome<usize>> = names.iter().map(|name| self.column(name, fields)).collect();
        found.into_iter().collect()
    }

    /// The indices of columns that tell rows apart: at least one, never absent, none twice.
    pub(super) fn key_columns(
        &mut self,
        names: &Spanned<Vec<Spanned<String>>>,
        fields: &[Field],
    ) -> Outcome<Vec<usize>> {
        let columns = self.columns(&names.value, fields)?;
        if columns.is_empty() {
            self.report.error(names.place, "a key needs a column").suggest("write `[column, …]`");
            return Err(Reported);
        }
        let mut is_right = true;
        for (position, (name, column)) in names.value.iter().zip(&columns).enumerate() {
            if columns[..position].contains(column) {
                self.report
                    .error(name.place, format!("column `{}` stands in the key twice", name.value))
                    .suggest("name each column once");
                is_right = false;
            } else if fields[*column].nullable {
                self.report
                    .error(name.place, format!("column `{}` may be absent, so it cannot be part of a key", name.value))
                    .suggest("leave out the `?` after its type, or use a plugin that fills it in");
                is_right = false;
            }
        }
        if is_right { Ok(columns) } else { Err(Reported) }
    }

    /// The columns that a sink writes, and what they are called there.
    pub(super) fn output_columns(
        &mut self,
        definition: Option<&SinkColumns>,
        rows: &Rows,
        sink: &Spanned<String>,
    ) -> Outcome<Vec<OutputColumn>> {
        let all = (0..rows.own).filter(|index| !rows.fields[*index].name.starts_with('$'));
        let output = |input: usize| OutputColumn {
            input,
            field: rows.fields[input].clone(),
            time_format: TimeFormat::default(),
        };
        let columns: Vec<OutputColumn> = match definition {
            None => all.map(output).collect(),
            Some(SinkColumns::Selected(names)) => self.columns(names, &rows.fields)?.into_iter().map(output).collect(),
            Some(SinkColumns::Renamed(Entries(renames))) => {
                let names: Vec<Spanned<String>> = renames.iter().map(|rename| rename.name.clone()).collect();
                let renamed = self.columns(&names, &rows.fields)?;
                let added = renamed.iter().copied().filter(|index| rows.fields[*index].name.starts_with('$'));
                let mut columns: Vec<OutputColumn> = all.chain(added).map(output).collect();
                for (rename, input) in renames.iter().zip(&renamed) {
                    let written = columns.iter_mut().filter(|column| column.input == *input);
                    written.for_each(|column| column.field.name.clone_from(&rename.value.value));
                }
                columns
            }
        };
        let place = definition.and_then(SinkColumns::place).unwrap_or(sink.place);
        self.check_distinct(columns.iter().map(|column| &column.field.name), place)?;
        Ok(columns)
    }

    /// Checks that no two of the columns that are written or given have one name.
    pub(super) fn check_distinct<'n>(&mut self, names: impl Iterator<Item = &'n String>, place: Place) -> Outcome<()> {
        let mut seen = BTreeMap::new();
        names.for_each(|name| *seen.entry(name).or_insert(0) += 1);
        let twice: Vec<&String> = seen.iter().filter(|(_, times)| **times > 1).map(|(name, _)| *name).collect();
        if twice.is_empty() {
            return Ok(());
        }
        self.report
            .error(place, format!("several columns would be called {}", listed(&twice)))
            .suggest("give each column a name of its own");
        Err(Reported)
    }
}

impl SinkColumns {
    /// Where its first column stands.
    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Self::Selected(names) => names.first().map(|name| name.place),
            Self::Renamed(Entries(renames)) => renames.first().map(|rename| rename.name.place),
        }
    }
}
