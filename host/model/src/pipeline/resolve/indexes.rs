//! Sinks in indexes of search engines, and the words of texts.

use super::super::file::{EachDef, IndexSinkDef};
use super::stores::{StoreSink, texts};
use super::{Outcome, Resolver};
use crate::names::unknown;
use crate::plan::{Each, OutputColumn, Target};
use crate::types::DataType;
use crate::yaml::{Place, Spanned};

impl Resolver<'_> {
    pub(super) fn index_sink(&mut self, name: &Spanned<String>, sink: &IndexSinkDef) -> Outcome<()> {
        let IndexSinkDef { from, connection, index, each, key, columns, version_column, mode, search, language } = sink;
        let (key, columns, version, mode) = (key.as_ref(), columns.as_ref(), version_column.as_ref(), mode.as_ref());
        let sink = StoreSink { from, connection, name: index, key, columns, version, mode };
        let search = search.as_deref().unwrap_or_default();
        let language = language.as_ref().map(|found| found.value);
        self.check_store(&sink, &Target::Index { search: texts(search), language, each: None });
        self.store_sink(name, &sink, |resolver, columns, key| {
            resolver.check_members(columns, |column| sink.named_at(column, name))?;
            resolver.check_texts(search, columns)?;
            let each = each.as_ref().map(|each| resolver.each(each, columns, key)).transpose()?;
            Ok(Target::Index { search: texts(search), language, each })
        })
    }

    /// Names that no document of a search engine can have.
    fn check_members(&mut self, columns: &[OutputColumn], place: impl Fn(&str) -> Place) -> Outcome<()> {
        let is_wrong = |name: &str| name.is_empty() || name.starts_with('_') || name.contains(['.', '*']);
        match columns.iter().map(|column| &column.field.name).find(|name| is_wrong(name)) {
            None => Ok(()),
            Some(name) => {
                let message = format!("column `{name}` cannot be a field of an index");
                self.wrong(
                    place(name),
                    message,
                    "rename it in `columns`: without `.` and `*`, and not beginning with `_`",
                )
            }
        }
    }

    /// That words are looked for in texts.
    pub(super) fn check_texts(&mut self, names: &[Spanned<String>], columns: &[OutputColumn]) -> Outcome<()> {
        for name in names {
            let found = columns.iter().map(|column| &column.field).find(|field| field.name == name.value);
            match found.map(|field| field.data_type) {
                Some(DataType::Text) => {}
                Some(other) => {
                    let message = format!("`{}` is {other}, but words are those of a text", name.value);
                    return self.wrong(name.place, message, "name columns of type text");
                }
                None => {
                    let known: Vec<&str> = columns.iter().map(|column| column.field.name.as_str()).collect();
                    let help = unknown(&name.value, "columns that are written are", &known);
                    return self.wrong(name.place, format!("no column `{}` is written", name.value), help);
                }
            }
        }
        Ok(())
    }

    /// What parts rows among indexes: nothing that may change, or a row would stay behind where it was. `key` is what
    /// identifies a document, and empty if documents are only added.
    fn each(&mut self, written: &Spanned<EachDef>, columns: &[OutputColumn], key: &[usize]) -> Outcome<Each> {
        let Some((part, column)) = written.value.only() else {
            let message = "`each` says exactly one of `day`, `month` and `year`".to_owned();
            return self.wrong(written.place, message, "write for instance `each: { month: COLUMN }`");
        };
        let name = &column.value;
        let Some(position) = columns.iter().position(|found| found.field.name == *name) else {
            let known: Vec<&str> = columns.iter().map(|column| column.field.name.as_str()).collect();
            let help = unknown(name, "columns that are written are", &known);
            return self.wrong(column.place, format!("no column `{name}` is written"), help);
        };
        let field = &columns[position].field;
        if !matches!(field.data_type, DataType::Date | DataType::Timestamp) {
            let message = format!("`{name}` is {}, which is no day", field.data_type);
            return self.wrong(column.place, message, "name a column of type date or timestamp");
        }
        if key.is_empty() && field.nullable {
            let message = format!("`{name}` may be absent: such a row would belong to no index");
            return self.wrong(column.place, message, "name a column that is never absent");
        }
        if !key.is_empty() && !key.contains(&position) {
            let message = format!("`{name}` may change: the row would stay in the index of before, too");
            return self.wrong(column.place, message, "make it part of the `key`, or name a column that is");
        }
        Ok(Each { part, column: name.clone() })
    }
}
