//! Batches: what is made anew from history, and what must hold of it.

use super::super::file::{BatchDef, BuiltTableDef, CheckDef, SinkDef, TableSinkDef};
use super::stores::is_reserved;
use super::{Outcome, Reported, Resolver};
use crate::names::unknown;
use crate::plan::{
    Batch, BatchTable, BuiltTable, Check, DEAD_LETTERS_TABLE, End, History, OBJECTS_TABLE, Reference, StoreOutput,
    Target, Test, WriteMode,
};
use crate::query::Sql;
use crate::schedule::Schedule;
use crate::yaml::{Entries, Named, Spanned};

/// What the names of tables end with while they are made, and until they are dropped.
const BETWEEN: [&str; 2] = ["__new", "__old"];

/// Letters that the name of a table may have: databases cut off what is longer, and the host puts something behind it
/// while the table is made.
const LONGEST_NAME: usize = 40;

/// As long as a name can be in every database, with what is put behind it.
const LONGEST_HOST_NAME: usize = 58;

impl Resolver<'_> {
    /// Where the past of sources stands. What announces it is told once, so no two have one topic.
    pub(super) fn histories(&mut self) -> Vec<History> {
        let file = self.file;
        let pasts: Vec<&super::Source> = file.sources.iter().filter(|source| source.folder.is_some()).collect();
        for (index, source) in pasts.iter().enumerate() {
            if let Some(other) = pasts[..index].iter().find(|other| other.topic.value == source.topic.value) {
                let message =
                    format!("source `{}` has a past in topic `{}` already", other.name.value, source.topic.value);
                self.report
                    .error(source.topic.place, message)
                    .suggest("let steps read that one, or name another topic");
            }
        }
        let history = |source: &super::Source| {
            let objects = &source.objects.as_ref()?.value;
            Some(History {
                source: source.name.value.clone(),
                topic: source.topic.value.clone(),
                connection: objects.connection.clone(),
                folder: source.folder.as_ref()?.value.clone(),
                layout: objects.layout,
            })
        };
        file.sources.iter().filter_map(history).collect()
    }

    /// What the pipeline makes, if it is a batch.
    pub(super) fn batch(&mut self) -> Option<Batch> {
        let file = self.file;
        let definition = file.batch.as_ref()?;
        // Each of these reports what is wrong.
        let sources = self.batch_sources();
        let connection = self.batch_connection(&definition.connection);
        let schedule = definition.schedule.as_ref().map(|schedule| self.schedule(schedule)).transpose();
        let mut batch = Batch {
            connection: definition.connection.value.clone(),
            schedule: None,
            tables: self.written_tables(definition).ok()?,
            built: Vec::new(),
            checks: Vec::new(),
        };
        let Entries(tables) = definition.tables.as_ref().map_or(&Entries(Vec::new()), |tables| tables).clone();
        for table in &tables {
            let built = self.built_table(table, &batch).ok()?;
            batch.tables.push(BatchTable { alias: built.name.clone(), name: built.name.clone() });
            batch.built.push(built);
        }
        for check in definition.checks.iter().flat_map(|Entries(checks)| checks) {
            batch.checks.push(self.check(check, &batch).ok()?);
        }
        sources.ok()?;
        connection.ok()?;
        batch.schedule = schedule.ok()?;
        Some(batch)
    }

    /// A batch reads what stands in folders, from the first object to the last.
    fn batch_sources(&mut self) -> Outcome<()> {
        let Some(source) = self.file.sources.iter().find(|source| source.folder.is_none()) else { return Ok(()) };
        let message = format!("source `{}` has no end, and a batch reads everything that there is", source.name.value);
        self.wrong(source.name.place, message, "read objects: `objects: CONNECTION` and `folder: …`, where they stand")
    }

    fn batch_connection(&mut self, connection: &Spanned<String>) -> Outcome<()> {
        if let Err(help) = self.surroundings.has_connection(&connection.value) {
            return self.wrong(connection.place, format!("there is no connection `{}`", connection.value), help);
        }
        match self.surroundings.check_target(&connection.value, &Target::Table { fulltext: Vec::new() }) {
            Ok(()) => Ok(()),
            Err(problem) => self.wrong(connection.place, problem, "name a connection to a SQL database"),
        }
    }

    fn schedule(&mut self, written: &Spanned<String>) -> Outcome<Schedule> {
        Schedule::parse(&written.value).or_else(|reason| {
            let help = "write five parts as for cron, in UTC: `0 3 * * *` is every day at three";
            self.wrong(written.place, format!("`{}` is no schedule: {reason}", written.value), help)
        })
    }

    /// The tables that sinks write, and those that the host adds.
    fn written_tables(&mut self, definition: &BatchDef) -> Outcome<Vec<BatchTable>> {
        let mut tables = Vec::new();
        let file = self.file;
        for sink in &file.sinks {
            let SinkDef::Table(TableSinkDef { connection, table, fulltext, .. }) = &sink.value else {
                let message = format!("sink `{}` is no table, and a batch makes tables", sink.name.value);
                return self.wrong(sink.name.place, message, "write `table: …`, or move it to another pipeline");
            };
            if let Some(column) = fulltext.iter().flatten().next() {
                let message = "a batch makes no full-text index".to_owned();
                return self.wrong(column.place, message, "leave out `fulltext`");
            }
            if connection.value != definition.connection.value {
                let message = format!("the batch makes its tables in `{}`, all at once", definition.connection.value);
                return self.wrong(connection.place, message, format!("write `{}`", definition.connection.value));
            }
            self.check_batch_table(table, &tables)?;
            tables.push(BatchTable { alias: table.value.clone(), name: table.value.clone() });
        }
        for alias in [OBJECTS_TABLE, DEAD_LETTERS_TABLE] {
            let name = format!("{}_{alias}", file.name());
            if name.len() > LONGEST_HOST_NAME {
                let message = format!("the name of this batch is too long: it would have a table `{name}`");
                return self.wrong(file.name.place, message, "write a shorter one");
            }
            tables.push(BatchTable { alias: alias.to_owned(), name });
        }
        Ok(tables)
    }

    fn check_batch_table(&mut self, name: &Spanned<String>, others: &[BatchTable]) -> Outcome<()> {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let is_name = (1..=LONGEST_NAME).contains(&name.value.len()) && name.value.chars().all(is_letter);
        if !is_name || name.value.starts_with(|first: char| first.is_ascii_digit()) {
            let message = format!("a table of a batch cannot be called `{}`", name.value);
            let help = format!("write up to {LONGEST_NAME} letters, digits and `_`, and no schema");
            return self.wrong(name.place, message, help);
        }
        if is_reserved(&name.value) || BETWEEN.iter().any(|end| name.value.to_ascii_lowercase().ends_with(end)) {
            let message = format!("table `{}` is the host's or the store's own", name.value);
            return self.wrong(name.place, message, "choose another name");
        }
        // Some databases take names that differ in case for one.
        let is_same = |other: &str| other.eq_ignore_ascii_case(&name.value);
        let taken = [OBJECTS_TABLE, DEAD_LETTERS_TABLE].into_iter().any(is_same);
        if taken || others.iter().any(|other| is_same(&other.alias) || is_same(&other.name)) {
            return self.wrong(name.place, format!("there is a table `{}` already", name.value), "choose another name");
        }
        Ok(())
    }

    fn built_table(&mut self, table: &Named<BuiltTableDef>, batch: &Batch) -> Outcome<BuiltTable> {
        let Named { name, value: definition } = table;
        self.check_batch_table(name, &batch.tables)?;
        let sql = self.select(&definition.sql, &batch.tables)?;
        if definition.key.value.is_empty() {
            return self.wrong(definition.key.place, "a key needs a column".to_owned(), "write `[column, …]`");
        }
        let mut references = Vec::new();
        for Named { name: column, value: other } in definition.references.iter().flat_map(|Entries(named)| named) {
            let (table, key) = self.referred(other, batch)?;
            references.push(Reference { column: column.value.clone(), table, key });
        }
        let key = definition.key.value.iter().map(|column| column.value.clone()).collect();
        Ok(BuiltTable { name: name.value.clone(), key, references, sql })
    }

    /// The table that a column refers to, and the one column of its key.
    fn referred(&mut self, name: &Spanned<String>, batch: &Batch) -> Outcome<(usize, String)> {
        let Some(position) = batch.tables.iter().position(|table| table.alias == name.value) else {
            let known: Vec<&str> = batch.tables.iter().map(|table| table.alias.as_str()).collect();
            let help = unknown(&name.value, "those above are", &known);
            return self.wrong(name.place, format!("there is no table `{}` above", name.value), help);
        };
        let of_sink = |output: &StoreOutput| -> Vec<String> {
            output.key.iter().map(|column| output.columns[*column].field.name.clone()).collect()
        };
        let built = batch.built.iter().find(|built| built.name == name.value).map(|built| built.key.clone());
        let written = self.tasks.iter().find_map(|task| match &task.end {
            End::Store(output) if output.name == name.value && output.mode == WriteMode::Upsert => {
                Some(of_sink(output))
            }
            _ => None,
        });
        match built.or(written).as_deref() {
            Some([key]) => Ok((position, key.clone())),
            _ => {
                let message = format!("the key of `{}` is not one column", name.value);
                self.wrong(name.place, message, "a column can only name rows that one column tells apart")
            }
        }
    }

    fn check(&mut self, check: &Named<CheckDef>, batch: &Batch) -> Outcome<Check> {
        let Named { name, value: definition } = check;
        let test = match (&definition.equal, &definition.none) {
            (Some(both), None) => match both.value.as_slice() {
                [left, right] => Test::Equal(self.select(left, &batch.tables)?, self.select(right, &batch.tables)?),
                _ => {
                    return self.wrong(
                        both.place,
                        "two values are compared".to_owned(),
                        "write `[SELECT …, SELECT …]`",
                    );
                }
            },
            (None, Some(sql)) => Test::None(self.select(sql, &batch.tables)?),
            _ => {
                let message = format!("check `{}` needs either `equal` or `none`", name.value);
                return self.wrong(name.place, message, "write `equal: [SELECT …, SELECT …]` or `none: SELECT …`");
            }
        };
        Ok(Check { name: name.value.clone(), test })
    }

    fn select(&mut self, sql: &Spanned<String>, tables: &[BatchTable]) -> Outcome<Sql> {
        let names: Vec<&str> = tables.iter().map(|table| table.alias.as_str()).collect();
        Sql::over_tables(&sql.value, &names).map_err(|error| {
            self.report.error(sql.place, error.message).suggest(error.help);
            Reported
        })
    }
}
