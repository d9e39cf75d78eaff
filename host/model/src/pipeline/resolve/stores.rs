//! Sinks in stores: tables, collections and indexes.

use super::super::file::{CollectionSinkDef, SinkColumns, TableSinkDef};
use super::sinks::{KeyNames, reads};
use super::stream::Rows;
use super::versions::{VersionColumn, named_at};
use super::{Outcome, Reported, Resolver};
use crate::names::unknown;
use crate::plan::{End, OutputColumn, StoreOutput, Target, WriteMode};
use crate::yaml::{Place, Spanned};

/// Bytes of the name of an index: some less than engines take, because a date may stand behind it.
const MOST_INDEX_NAME: usize = 240;

/// The field that identifies a document.
const ID: &str = "_id";

/// What the sinks in stores have in common.
pub(super) struct StoreSink<'a> {
    pub from: &'a Spanned<String>,
    pub connection: &'a Spanned<String>,
    /// The table, collection or index.
    pub name: &'a Spanned<String>,
    pub key: Option<&'a KeyNames>,
    pub columns: Option<&'a SinkColumns>,
    pub version: VersionColumn<'a>,
    pub mode: Option<&'a Spanned<WriteMode>>,
}

impl StoreSink<'_> {
    /// Where the file names a column that is written; `sink` is the sink's name.
    pub fn named_at(&self, column: &str, sink: &Spanned<String>) -> Place {
        named_at(column, self.version, self.columns.and_then(SinkColumns::place).unwrap_or(sink.place))
    }
}

impl Resolver<'_> {
    pub(super) fn table_sink(&mut self, name: &Spanned<String>, sink: &TableSinkDef) -> Outcome<()> {
        let TableSinkDef { from, connection, table, key, columns, version_column, mode, fulltext } = sink;
        let (key, columns, version, mode) = (key.as_ref(), columns.as_ref(), version_column.as_ref(), mode.as_ref());
        let sink = StoreSink { from, connection, name: table, key, columns, version, mode };
        let fulltext = fulltext.as_deref().unwrap_or_default();
        self.check_store(&sink, &Target::Table { fulltext: texts(fulltext) });
        self.store_sink(name, &sink, |resolver, columns, _| {
            resolver.check_texts(fulltext, columns)?;
            Ok(Target::Table { fulltext: texts(fulltext) })
        })
    }

    pub(super) fn collection_sink(&mut self, name: &Spanned<String>, sink: &CollectionSinkDef) -> Outcome<()> {
        let CollectionSinkDef { from, connection, collection, key, columns, version_column, mode, indexes } = sink;
        let (key, columns, version, mode) = (key.as_ref(), columns.as_ref(), version_column.as_ref(), mode.as_ref());
        let sink = StoreSink { from, connection, name: collection, key, columns, version, mode };
        self.check_store(&sink, &Target::Collection { indexes: Vec::new() });
        self.store_sink(name, &sink, |resolver, columns, key| {
            resolver.check_fields(columns, key, |column| sink.named_at(column, name))?;
            let indexes = resolver.indexes(indexes.as_deref().unwrap_or_default(), columns)?;
            Ok(Target::Collection { indexes })
        })
    }

    /// `target` is told what is written, and the positions of the key in it.
    pub(super) fn store_sink(
        &mut self,
        name: &Spanned<String>,
        sink: &StoreSink<'_>,
        target: impl FnOnce(&mut Self, &[OutputColumn], &[usize]) -> Outcome<Target>,
    ) -> Outcome<()> {
        let stream = self.stream(sink.from)?;
        self.check_readable_changes(sink, &stream.rows)?;
        let stream = self.tell_version(&sink.from.value, sink.version, stream);
        let rows = &stream.rows;
        let mut columns = self.output_columns(sink.columns, rows, name)?;
        self.add_version(sink.version, rows, &mut columns)?;
        let key = self.key(sink.key, rows, &columns)?;
        let mode = self.mode(name, sink, rows)?;
        if let (Some(names), WriteMode::Upsert) = (sink.key, mode) {
            self.check_changes_key(names, &key, rows, &columns)?;
            self.check_together(names, &key, rows, &columns)?;
        }
        // The documents of a sink that appends have ids of its own making.
        let identity = if mode == WriteMode::Upsert { key.as_slice() } else { &[] };
        let target = target(self, &columns, identity)?;
        let reads = reads(&columns);
        let output = StoreOutput {
            sink: name.value.clone(),
            connection: sink.connection.value.clone(),
            name: sink.name.value.clone(),
            target,
            columns,
            key,
            mode,
        };
        self.push_stream_task(&name.value, stream, reads, End::Store(output));
        Ok(())
    }

    pub(super) fn check_store(&mut self, sink: &StoreSink<'_>, target: &Target) {
        let (kind, help) = match target {
            Target::Table { .. } => {
                ("table", "write `collection: …` or `index: …`, or name a connection that has tables")
            }
            Target::Collection { .. } => ("collection", "write `table: …`, or name a connection that has collections"),
            Target::Index { .. } => ("index", "write `table: …`, or name a connection to Elasticsearch or SQLite"),
        };
        let connection = sink.connection;
        if let Err(help) = self.surroundings.has_connection(&connection.value) {
            self.report.error(connection.place, format!("there is no connection `{}`", connection.value)).suggest(help);
        } else if let Err(problem) = self.surroundings.check_connection(&connection.value) {
            self.report.error(connection.place, problem).suggest("correct it in the host's configuration");
        } else if let Err(problem) = self.surroundings.check_target(&connection.value, target) {
            self.report.error(sink.name.place, problem).suggest(help);
        }
        self.check_name(kind, sink.name);
    }

    pub(super) fn check_name(&mut self, kind: &str, name: &Spanned<String>) {
        if name.value.is_empty() {
            self.report.error(name.place, format!("a {kind} needs a name")).suggest(format!("write the {kind}'s name"));
        } else if name.value.contains(char::is_control) {
            self.report
                .error(name.place, format!("a {kind} cannot be called `{}`", name.value))
                .suggest("leave out the control characters");
        } else if is_reserved(&name.value) {
            self.report
                .error(name.place, format!("{kind} `{}` is the host's or the store's own", name.value))
                .suggest("choose another name: positions of pipelines stand in such tables");
        } else if kind == "collection" && name.value.contains('$') {
            self.report
                .error(name.place, format!("a collection cannot be called `{}`", name.value))
                .suggest("leave out the `$`");
        } else if kind == "index" && !is_index_name(&name.value) {
            self.report
                .error(name.place, format!("an index cannot be called `{}`", name.value))
                .suggest("write small letters, digits, `_` and `-`, beginning with a letter or a digit");
        }
    }

    /// Names that no document can have, whatever its values; `key` is what identifies it.
    fn check_fields(&mut self, columns: &[OutputColumn], key: &[usize], place: impl Fn(&str) -> Place) -> Outcome<()> {
        for (position, column) in columns.iter().enumerate() {
            let name = &column.field.name;
            let (problem, help) = if name == ID && key != [position] {
                ("would stand where the document's own `_id` does", "give it another name, or make it the only key")
            } else if name.starts_with('$') {
                ("cannot be a field of a document", "give it a name that does not begin with `$`")
            } else if name.contains(char::is_control) {
                ("cannot be a field of a document", "leave out the control characters")
            } else {
                continue;
            };
            self.report.error(place(name), format!("column `{name}` {problem}")).suggest(help);
            return Err(Reported);
        }
        Ok(())
    }

    fn indexes(
        &mut self,
        indexes: &[Spanned<Vec<Spanned<String>>>],
        columns: &[OutputColumn],
    ) -> Outcome<Vec<Vec<String>>> {
        let known: Vec<&str> = columns.iter().map(|column| column.field.name.as_str()).collect();
        let mut is_right = true;
        for index in indexes {
            if index.value.is_empty() {
                self.report.error(index.place, "an index needs a field").suggest("write `[field, …]`");
                is_right = false;
            }
            for path in &index.value {
                let column = path.value.split('.').next().unwrap_or_default();
                if !known.contains(&column) && !known.contains(&path.value.as_str()) {
                    self.report.error(path.place, format!("the documents have no field `{column}`")).suggest(unknown(
                        column,
                        "their fields are",
                        &known,
                    ));
                    is_right = false;
                }
            }
        }
        let paths = |index: &Spanned<Vec<Spanned<String>>>| index.value.iter().map(|path| path.value.clone()).collect();
        if is_right { Ok(indexes.iter().map(paths).collect()) } else { Err(Reported) }
    }

    fn check_readable_changes(&mut self, sink: &StoreSink<'_>, rows: &Rows) -> Outcome<()> {
        if rows.changes.as_ref().is_none_or(|identity| !identity.is_empty()) {
            return Ok(());
        }
        let from = sink.from;
        let message =
            format!("`{}` holds a changelog without a key, so nobody can tell which row a change is of", from.value);
        self.report.error(from.place, message).suggest(format!("give sink `{}` a `key`", from.value));
        Err(Reported)
    }

    fn mode(&mut self, name: &Spanned<String>, sink: &StoreSink<'_>, rows: &Rows) -> Outcome<WriteMode> {
        let default = if sink.key.is_some() { WriteMode::Upsert } else { WriteMode::Append };
        let mode = sink.mode.map_or(default, |mode| mode.value);
        let place = sink.mode.map_or(name.place, |mode| mode.place);
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
}

pub(super) fn texts(names: &[Spanned<String>]) -> Vec<String> {
    names.iter().map(|name| name.value.clone()).collect()
}

/// What search engines take as the name of an index, and SQLite as that of a table.
fn is_index_name(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let is_allowed = |letter: char| is_plain(letter) || "_-".contains(letter);
    name.starts_with(is_plain) && name.len() <= MOST_INDEX_NAME && name.chars().all(is_allowed)
}

/// Whether a table, collection or index is one in which the host or the store keeps what it needs itself. SQLite takes capital
/// letters for small ones.
pub(super) fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    ["azenha_", "sqlite_"].iter().any(|prefix| last.starts_with(prefix))
        || ["pg_catalog.", "information_schema.", "system."].iter().any(|schema| name.starts_with(schema))
}
