//! Tables: sources and results whose rows are kept by key, and the joins and assemblies over them.

use super::super::file::{AssembleDef, AssembledDef, GroupRows, JoinDef, SinkColumns, TableDef};
use super::aggregate::Results;
use super::plugins::PluginStep;
use super::stream::{Rows, Stream};
use super::{Outcome, Reported, Resolver};
use crate::names::listed;
use crate::plan::{End, Input, ObjectsOutput, PluginUse, Task, TimeFormat, TopicKind, exchange_topic};
use crate::plugin::{AssemblePlan, TableFields};
use crate::relation::{Assembling, Feed, JoinKind, OnTruncate, Operator, RelatedTable, Relation, Table};
use crate::types::{DataType, Field};
use crate::yaml::{Entries, Named, Place, Spanned};

/// A table that joins and assemblies can read.
#[derive(Debug, Clone)]
pub(super) struct TableRows {
    /// The index of the task that feeds whoever reads it.
    pub task: usize,
    /// The topic that it is kept of, or the join that makes it.
    pub origin: String,
    pub fields: Vec<Field>,
    /// The columns that identify a row.
    pub key: Vec<usize>,
    /// How many numbers a version of a row has.
    pub versions: u8,
    pub partitions: u32,
}

/// Numbers that a version may have: a change says in one byte how many bytes they take.
const MOST_NUMBERS: usize = 31;

/// Tables that a relation may have.
const MOST_TABLES: usize = 31;

/// A table as a relation reads it.
pub(super) struct Reading {
    pub rows: TableRows,
    pub name: String,
    /// The columns that are a row's group there.
    pub by: Vec<usize>,
    /// The columns that are sent.
    pub columns: Vec<usize>,
    /// What `columns` are called there.
    pub fields: Vec<Field>,
}

impl TableRows {
    /// What is known of the rows.
    pub(super) fn as_rows(&self) -> Rows {
        Rows::of_table(self.fields.clone(), self.key.clone(), self.partitions)
    }
}

impl Reading {
    pub fn related(&self) -> RelatedTable {
        RelatedTable {
            name: self.name.clone(),
            origin: self.rows.origin.clone(),
            by: self.by.iter().map(|column| self.rows.fields[*column].name.clone()).collect(),
            fields: self.fields.clone(),
            versions: self.rows.versions,
        }
    }
}

impl Resolver<'_> {
    /// The latest row of each key of a stream.
    pub(super) fn table_step(&mut self, step: &Spanned<String>, definition: &TableDef) -> Outcome<()> {
        let stream = self.stream_of_additions(&definition.table, "a table of its own")?;
        let own = &stream.rows.fields[..stream.rows.own];
        let key = self.key_columns(&definition.key, own)?;
        let operation = match &definition.operation {
            Some(name) => Some(self.operation_column(name, own)?),
            None => None,
        };
        let table = self.keep_table(step, stream, key, OnTruncate::Stop)?;
        if let End::Table { table, .. } = &mut self.tasks[table.task].end {
            table.operation = operation;
        }
        self.leave_table(step, &table);
        Ok(())
    }

    fn operation_column(&mut self, name: &Spanned<String>, fields: &[Field]) -> Outcome<usize> {
        let column = self.column(name, fields)?;
        let data_type = fields[column].data_type;
        if data_type != DataType::Text {
            self.report
                .error(name.place, format!("`{}` is of type {data_type}, and operations are text", name.value))
                .suggest("name a column that holds `d` where a row is deleted");
            return Err(Reported);
        }
        Ok(column)
    }

    /// Keeps the rows of a stream by its key: a task of its own, which everything that reads the table follows.
    pub(super) fn keep_table(
        &mut self,
        name: &Spanned<String>,
        stream: Stream,
        key: Vec<usize>,
        on_truncate: OnTruncate,
    ) -> Outcome<TableRows> {
        if !stream.rows.are_together(&key) {
            let message = format!(
                "rows of `{}` with the same key may come from any of {} partitions, and nobody could tell which is the \
                 latest",
                name.value, stream.rows.partitions
            );
            self.report.error(name.place, message).suggest(
                "if its records are partitioned by columns of the key, say so at the source: `partitioned_by: [column, …]`",
            );
            return Err(Reported);
        }
        let (task, partitions) = (format!("{}.table", name.value), stream.rows.partitions);
        let fields = stream.rows.fields[..stream.rows.own].to_vec();
        let is_whole = partitions == 1;
        let table = Table {
            name: name.value.clone(),
            fields: fields.clone(),
            key: key.clone(),
            on_truncate,
            is_whole,
            operation: None,
        };
        let origin = stream.input.topic.clone();
        let rows = TableRows { task: self.tasks.len(), origin, fields, key, versions: 1, partitions };
        let reads = (0..rows.fields.len()).collect();
        self.push_stream_task(&task, stream, reads, End::Table { table, feeds: Vec::new(), outputs: Vec::new() });
        self.add_changelog(&task, partitions, name.place);
        self.tables.insert(name.value.clone(), rows.clone());
        Ok(rows)
    }

    /// What a table's task writes for everything that is no join or assembly.
    pub(super) fn leave_table(&mut self, name: &Spanned<String>, table: &TableRows) {
        let (task, rows, key) = (table.task, table.as_rows(), table.key.clone());
        let time_format = TimeFormat::default();
        self.leave_results(&name.value, Results { task, rows, key, time_format, place: name.place });
    }

    /// The table that is called so.
    pub(super) fn table(&mut self, from: &Spanned<String>) -> Outcome<TableRows> {
        if let Some(table) = self.tables.get(&from.value) {
            return Ok(table.clone());
        }
        let stream = self.stream(from)?;
        match &stream.rows.changes {
            Some(key) if !key.is_empty() && stream.stages.is_empty() => {
                let key = key.clone();
                self.keep_table(from, stream, key, OnTruncate::Stop)
            }
            _ => {
                let message = format!("`{}` is no table: nothing says which row a record replaces", from.value);
                self.report.error(from.place, message).suggest(
                    "a table is a source with a `key`, an aggregation with `emit: changes`, a join or an assembly",
                );
                Err(Reported)
            }
        }
    }

    /// Brings the rows of a table together by their folders, and replaces the object of each.
    pub(super) fn related_objects(
        &mut self,
        name: &Spanned<String>,
        (from, table): (&Spanned<String>, TableRows),
        by: Vec<usize>,
        output: ObjectsOutput,
    ) -> Outcome<()> {
        let keys = by.iter().map(|column| table.fields[*column].clone()).collect();
        let columns = (0..table.fields.len()).collect();
        let reading = Reading { name: from.value.clone(), by, columns, fields: table.fields.clone(), rows: table };
        self.relate(&name.value, name.place, keys, vec![reading], Operator::Objects(Box::new(output))).map(drop)
    }

    pub(super) fn join(&mut self, step: &Spanned<String>, definition: &JoinDef) -> Outcome<()> {
        let (rows, beside) = (self.table(&definition.join), self.table(&definition.with));
        let (rows, beside) = (rows?, beside?);
        let by = self.foreign_key(&definition.on, &rows.fields, &definition.with, &beside)?;
        let kind = definition.kind.as_ref().map_or(JoinKind::Inner, |kind| kind.value);
        let (columns, fields) = self.taken_columns(definition.columns.as_ref(), &beside, kind)?;
        let place = definition.columns.as_ref().and_then(SinkColumns::place).unwrap_or(definition.join.place);
        self.check_distinct(rows.fields.iter().chain(&fields).map(|field| &field.name), place)?;

        let key = rows.key.clone();
        let keys = by.iter().map(|column| rows.fields[*column].clone()).collect();
        let all = (0..rows.fields.len()).collect();
        let first =
            Reading { name: definition.join.value.clone(), by, columns: all, fields: rows.fields.clone(), rows };
        let by = beside.key.clone();
        let second = Reading { name: definition.with.value.clone(), by, columns, fields, rows: beside };
        let joined = self.relate(&step.value, step.place, keys, vec![first, second], Operator::Join(kind))?;
        self.tables.insert(step.value.clone(), TableRows { key, ..joined });
        Ok(())
    }

    /// The columns that name a row of the table `with`, in the order of its key.
    pub(super) fn foreign_key(
        &mut self,
        on: &Spanned<Entries<Spanned<String>>>,
        fields: &[Field],
        with: &Spanned<String>,
        beside: &TableRows,
    ) -> Outcome<Vec<usize>> {
        let Entries(pairs) = &on.value;
        let mut named = Vec::new();
        for Named { name, value } in pairs {
            let (from, to) = (self.column(name, fields)?, self.column(value, &beside.fields)?);
            let (one, other) = (fields[from].data_type, beside.fields[to].data_type);
            if one != other {
                let message = format!("`{}` is of type {one}, but `{}` of type {other}", name.value, value.value);
                self.report.error(name.place, message).suggest("give both columns one type");
                return Err(Reported);
            }
            named.push((from, to));
        }
        let of_key = |key: &usize| named.iter().find(|(_, to)| to == key).map(|(from, _)| *from);
        let by: Option<Vec<usize>> = beside.key.iter().map(of_key).collect();
        by.filter(|by| by.len() == named.len()).ok_or_else(|| {
            let key = listed(beside.key.iter().map(|column| &beside.fields[*column].name));
            let message = format!("each row names one row of `{}`, so `on` must name exactly its key", with.value);
            self.report.error(on.place, message).suggest(format!("its key is {key}"));
            Reported
        })
    }

    /// The columns that are taken of a table to stand beside other rows, and what they are called there.
    pub(super) fn taken_columns(
        &mut self,
        columns: Option<&SinkColumns>,
        beside: &TableRows,
        kind: JoinKind,
    ) -> Outcome<(Vec<usize>, Vec<Field>)> {
        let (columns, names): (Vec<usize>, Vec<String>) = match columns {
            None => {
                let all = (0..beside.fields.len()).filter(|column| !beside.key.contains(column));
                all.map(|column| (column, beside.fields[column].name.clone())).unzip()
            }
            Some(SinkColumns::Selected(names)) => {
                let columns = self.columns(names, &beside.fields)?;
                (columns, names.iter().map(|name| name.value.clone()).collect())
            }
            Some(SinkColumns::Renamed(Entries(renames))) => {
                let names: Vec<Spanned<String>> = renames.iter().map(|rename| rename.name.clone()).collect();
                let columns = self.columns(&names, &beside.fields)?;
                (columns, renames.iter().map(|rename| rename.value.value.clone()).collect())
            }
        };
        let field = |(column, name): (&usize, String)| {
            let field = &beside.fields[*column];
            Field { name, nullable: field.nullable || kind == JoinKind::Left, ..field.clone() }
        };
        let fields = columns.iter().zip(names).map(field).collect();
        Ok((columns, fields))
    }

    pub(super) fn assemble(&mut self, step: PluginStep<'_>, definition: &AssembleDef) -> Outcome<()> {
        let Entries(named) = &definition.tables.value;
        let tables: Vec<Outcome<Reading>> = named.iter().map(|table| self.assembled(table)).collect();
        let tables = tables.into_iter().collect::<Outcome<Vec<_>>>()?;
        let Some(first) = tables.first() else {
            self.report
                .error(definition.tables.place, "an assembly needs a table")
                .suggest("write `tables: { NAME: { from: …, by: [column] } }`");
            return Err(Reported);
        };
        let mut keys: Vec<Field> = first.by.iter().map(|column| first.rows.fields[*column].clone()).collect();
        self.check_same_keys(&keys, named, &tables)?;
        for (position, key) in keys.iter_mut().enumerate() {
            key.pii = tables.iter().any(|table| table.rows.fields[table.by[position]].pii);
        }
        let plan = self.open_assemble(step, named, &tables, &keys)?;
        let GroupRows(max_group_rows) = definition.max_group_rows.unwrap_or_default();
        let max_group_rows = max_group_rows as usize;
        let PluginUse { plugin, config, config_by_name, .. } = step.plugin_use(&[]);
        let assembling = Assembling { plugin, config, config_by_name, plan, max_group_rows };
        let operator = Operator::Assemble(assembling);
        let made = self.relate(&step.step.value, step.step.place, keys.clone(), tables, operator)?;
        self.check_distinct(made.fields.iter().map(|field| &field.name), step.plugin.place)?;
        let key: Vec<usize> = (0..keys.len()).collect();
        let rows = Rows::of_table(made.fields, key.clone(), made.partitions);
        let (time_format, place) = (TimeFormat::default(), step.step.place);
        self.leave_results(&step.step.value, Results { task: made.task, rows, key, time_format, place });
        Ok(())
    }

    fn assembled(&mut self, table: &Named<AssembledDef>) -> Outcome<Reading> {
        let rows = self.table(&table.value.from)?;
        let by = self.key_columns(&table.value.by, &rows.fields)?;
        let columns = (0..rows.fields.len()).collect();
        Ok(Reading { name: table.name.value.clone(), by, columns, fields: rows.fields.clone(), rows })
    }

    /// Rows belong together if their columns are equal: those must be as many, and of the same types.
    fn check_same_keys(&mut self, keys: &[Field], named: &[Named<AssembledDef>], tables: &[Reading]) -> Outcome<()> {
        for (definition, table) in named.iter().zip(tables) {
            let types = table.by.iter().map(|column| table.rows.fields[*column].data_type);
            if !types.eq(keys.iter().map(|key| key.data_type)) {
                let wanted: Vec<String> = keys.iter().map(|key| key.data_type.to_string()).collect();
                let message = format!("the columns that bring rows of `{}` together do not fit", definition.name.value);
                self.report
                    .error(definition.value.by.place, message)
                    .suggest(format!("those of the first table are of the types {}", listed(&wanted)));
                return Err(Reported);
            }
        }
        Ok(())
    }

    fn open_assemble(
        &mut self,
        step: PluginStep<'_>,
        named: &[Named<AssembledDef>],
        tables: &[Reading],
        keys: &[Field],
    ) -> Outcome<AssemblePlan> {
        let plugin = step.plugin_use(&[]);
        let fields: Vec<TableFields> =
            tables.iter().map(|table| TableFields { name: table.name.clone(), fields: table.fields.clone() }).collect();
        let opened = self.surroundings.open_assemble(&plugin.plugin, &plugin.config, &fields, keys);
        // A plugin's problems count columns through all its tables.
        let columns: Vec<Field> = fields.iter().flat_map(|table| table.fields.iter().cloned()).collect();
        let plan = opened.map_err(|error| self.report_plugin_error(step, &columns, error))?;
        for ((definition, table), reads) in named.iter().zip(tables).zip(&plan.reads) {
            let of_table =
                PluginStep { from: &definition.value.from, grant: definition.value.columns.as_ref(), ..step };
            self.check_grant(of_table, &table.fields, reads, &table.by)?;
        }
        Ok(plan)
    }

    /// Adds the task of a relation and the topic in front of it, and has its tables feed that.
    fn relate(
        &mut self,
        name: &str,
        place: Place,
        keys: Vec<Field>,
        tables: Vec<Reading>,
        operator: Operator,
    ) -> Outcome<TableRows> {
        let numbers: usize = tables.iter().map(|table| usize::from(table.rows.versions)).sum();
        if numbers > MOST_NUMBERS || tables.len() > MOST_TABLES {
            let message = format!("`{name}` would bring {} table(s) made of {numbers} others together", tables.len());
            let help =
                format!("at most {MOST_TABLES} tables of {MOST_NUMBERS} others in all: make several pipelines of it");
            self.report.error(place, message).suggest(help);
            return Err(Reported);
        }
        let topic = exchange_topic(self.file.name(), name);
        let partitions = tables.iter().map(|table| table.rows.partitions).max().unwrap_or(1);
        self.add_internal(topic.clone(), partitions, TopicKind::Internal, place);
        for (number, table) in tables.iter().enumerate() {
            self.feed(table, &topic, number as u8);
        }
        let tables = tables.iter().map(Reading::related).collect();
        let relation = Relation { step: name.to_owned(), keys, tables, operator };
        let made = TableRows {
            task: self.tasks.len(),
            origin: name.to_owned(),
            fields: relation.output(),
            key: Vec::new(),
            versions: relation.versions(),
            partitions,
        };
        let end = End::Relate { relation, feeds: Vec::new(), outputs: Vec::new() };
        self.tasks.push(Task { name: name.to_owned(), input: Input::Exchange { topic }, stages: Vec::new(), end });
        self.add_changelog(name, partitions, place);
        Ok(made)
    }

    /// Has a table's task send what changes to a topic, where the table has a number.
    pub(super) fn feed(&mut self, table: &Reading, topic: &str, number: u8) {
        let (by, columns) = (table.by.clone(), table.columns.clone());
        if let End::Table { feeds, .. } | End::Relate { feeds, .. } = &mut self.tasks[table.rows.task].end {
            feeds.push(Feed { topic: topic.to_owned(), table: number, by, columns });
        }
    }

    /// Joined rows come from many lanes, in any order. Where something else than a join or an assembly reads them, they
    /// are brought into their latest version first, each in the lane that owns its key.
    pub(super) fn read_joined(&mut self, from: &Spanned<String>) -> Outcome<()> {
        let Some(joined) = self.tables.get(&from.value).filter(|table| table.versions > 1).cloned() else {
            return Ok(());
        };
        if self.results.contains_key(&from.value) {
            return Ok(());
        }
        let key = joined.key.clone();
        let keys = key.iter().map(|column| joined.fields[*column].clone()).collect();
        let (columns, fields) = ((0..joined.fields.len()).collect(), joined.fields.clone());
        let reading = Reading { name: from.value.clone(), by: key.clone(), columns, fields, rows: joined };
        let latest =
            self.relate(&format!("{}.latest", from.value), from.place, keys, vec![reading], Operator::Latest)?;
        let rows = Rows::of_table(latest.fields, key.clone(), latest.partitions);
        let (time_format, place) = (TimeFormat::default(), from.place);
        self.leave_results(&from.value, Results { task: latest.task, rows, key, time_format, place });
        Ok(())
    }
}

impl Rows {
    /// Rows that replace each other by their key, spread by it.
    fn of_table(fields: Vec<Field>, key: Vec<usize>, partitions: u32) -> Self {
        let own = fields.len();
        let (partitioned_by, changes) = (Some(key.clone()), Some(key));
        Self { fields, own, partitions, partitioned_by, changes, bounds: None, made_by: None }
    }
}
