//! The table that a sink writes: making it, and checking one that exists.

use arrow_array::RecordBatch;
use azenha_model::Field;
use azenha_model::plan::{self, StoreOutput, WriteMode};

use super::dialect::{Declaration, Dialect};
use super::session::{Failure, Operation, Session};
use crate::store::cells::Cells;
use crate::store::changes::Shape;

/// What a sink writes.
#[derive(Debug)]
pub(super) struct Target {
    pub table: String,
    pub fields: Vec<Field>,
    /// Positions in `fields`.
    pub key: Vec<usize>,
    pub mode: WriteMode,
    /// Columns of text that have an index of their words.
    pub fulltext: Vec<String>,
}

impl Target {
    pub fn new(output: &StoreOutput) -> Self {
        let fields = output.columns.iter().map(|column| column.field.clone()).collect();
        let fulltext = match &output.target {
            plan::Target::Table { fulltext: words } | plan::Target::Index { search: words, .. } => words.clone(),
            plan::Target::Collection { .. } => Vec::new(),
        };
        Self { table: output.name.clone(), fields, key: output.key.clone(), mode: output.mode, fulltext }
    }

    /// The rows.
    pub fn shape(&self) -> Shape<'_> {
        Shape { fields: &self.fields, key: &self.key, mode: self.mode }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }

    pub fn key_fields(&self) -> Vec<&Field> {
        self.key.iter().map(|index| &self.fields[*index]).collect()
    }

    /// The columns of the rows that an operation takes.
    pub fn fields_of(&self, operation: Operation) -> Vec<&Field> {
        match operation {
            Operation::Put => self.fields.iter().collect(),
            Operation::Delete => self.key_fields(),
        }
    }

    /// The values of rows that an operation takes.
    pub fn cells<'a>(&'a self, operation: Operation, rows: &'a RecordBatch) -> Result<Vec<Cells<'a>>, Failure> {
        let fields = self.fields_of(operation).into_iter().zip(rows.columns());
        fields.map(|(field, column)| Cells::new(field, column)).collect()
    }

    pub fn is_nullable(&self, index: usize) -> bool {
        self.fields[index].nullable && !self.key.contains(&index)
    }

    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|index| self.fields[*index].name.as_str())
    }
}

/// A table as the database describes it.
#[derive(Debug, Default)]
pub(super) struct FoundTable {
    pub columns: Vec<FoundColumn>,
    /// The columns of each unique index, the primary key among them.
    pub unique: Vec<Vec<String>>,
}

impl FoundTable {
    /// The column of one of the target's fields.
    fn column(&self, dialect: &dyn Dialect, target: &Target, index: usize) -> Option<&FoundColumn> {
        self.columns.iter().find(|column| dialect.same_name(&column.name, &target.fields[index].name))
    }
}

#[derive(Debug)]
pub(super) struct FoundColumn {
    pub name: String,
    pub declared: String,
    /// Neither null nor a default: whoever inserts must give a value.
    pub required: bool,
}

/// Makes the table if it is missing, else checks it and adds columns that it lacks.
pub(super) async fn prepare(session: &mut dyn Session, target: &Target) -> Result<(), Failure> {
    let dialect = session.dialect();
    let Some(found) = session.find_table(&target.table).await? else {
        session.run(&create_statement(dialect, target)).await?;
        return prepare_words(session, target).await;
    };
    let problems = problems(dialect, target, &found);
    if !problems.is_empty() {
        return Err(Failure::Definition(problems.join("\n")));
    }
    for index in (0..target.fields.len()).filter(|index| found.column(dialect, target, *index).is_none()) {
        session.run(&dialect.add_column(&target.table, &declaration(dialect, target, index))).await?;
    }
    prepare_words(session, target).await
}

/// Makes the index of the words of texts, if it is missing.
async fn prepare_words(session: &mut dyn Session, target: &Target) -> Result<(), Failure> {
    if target.fulltext.is_empty() || session.has_fulltext(target).await? {
        return Ok(());
    }
    for statement in session.dialect().fulltext(target) {
        session.run(&statement).await?;
    }
    Ok(())
}

/// The column by which the index of words finds rows, if there is one.
fn row_number(dialect: &dyn Dialect, target: &Target) -> Option<&'static str> {
    dialect.row_number().filter(|_| !target.fulltext.is_empty())
}

fn declaration(dialect: &dyn Dialect, target: &Target, index: usize) -> Declaration {
    let field = &target.fields[index];
    let data_type = if target.mode == WriteMode::Upsert && target.key.contains(&index) {
        dialect.key_type(&target.key_fields(), field.data_type)
    } else if target.fulltext.contains(&field.name) {
        dialect.searched_type()
    } else {
        dialect.column_type(field.data_type)
    };
    let column = dialect.quotes().columns([field.name.as_str()]);
    Declaration { column, data_type, not_null: !target.is_nullable(index) }
}

/// The statement that makes the table.
pub(super) fn create_statement(dialect: &dyn Dialect, target: &Target) -> String {
    let quotes = dialect.quotes();
    let number = row_number(dialect, target).map(|column| format!("{} INTEGER PRIMARY KEY", quotes.columns([column])));
    let key = if number.is_some() { "UNIQUE" } else { "PRIMARY KEY" };
    let columns = (0..target.fields.len()).map(|index| declaration(dialect, target, index).to_string());
    let mut parts: Vec<String> = number.into_iter().chain(columns).collect();
    if target.mode == WriteMode::Upsert {
        parts.push(format!("{key} ({})", quotes.columns(target.key_names())));
    }
    let options = dialect.table_options(target);
    format!("CREATE TABLE {} ({}){options}", quotes.table(&target.table), parts.join(", "))
}

/// Everything that does not fit and cannot be added: what was found, what is wanted, and what would be right.
fn problems(dialect: &dyn Dialect, target: &Target, found: &FoundTable) -> Vec<String> {
    let columns = (0..target.fields.len()).filter_map(|index| column_problem(dialect, target, index, found));
    let unknown = found
        .columns
        .iter()
        .filter(|column| column.required && !target.names().any(|name| dialect.same_name(name, &column.name)));
    let unknown = unknown.map(|column| {
        format!(
            "column `{}` of table `{}` is NOT NULL without a default, but the sink does not write it; \
             write it, or give it a default",
            column.name, target.table
        )
    });
    let problems = columns.chain(unknown).chain(key_problem(dialect, target, found));
    problems.chain(words_problem(dialect, target, found)).collect()
}

/// A table that was made without an index of words may lack what one needs.
fn words_problem(dialect: &dyn Dialect, target: &Target, found: &FoundTable) -> Option<String> {
    let number = row_number(dialect, target)?;
    if found.columns.iter().any(|column| dialect.same_name(&column.name, number)) {
        return None;
    }
    Some(format!(
        "table `{}` has no column `{number}`, by which an index of words finds its rows: make the table anew: {}",
        target.table,
        create_statement(dialect, target)
    ))
}

fn column_problem(dialect: &dyn Dialect, target: &Target, index: usize, found: &FoundTable) -> Option<String> {
    let (field, table) = (&target.fields[index], &target.table);
    let Some(column) = found.column(dialect, target, index) else {
        if target.is_nullable(index) {
            return None;
        }
        return Some(format!(
            "table `{table}` has no column `{}` ({}), and the rows that it has need a value there: {} DEFAULT …; \
             a column that may be null would be added",
            field.name,
            field.data_type,
            dialect.add_column(table, &declaration(dialect, target, index))
        ));
    };
    let is_key = target.mode == WriteMode::Upsert && target.key.contains(&index);
    let tells_apart = !is_key || dialect.tells_keys_apart(&column.declared);
    if tells_apart && dialect.keeps(field.data_type, &column.declared) {
        return None;
    }
    let wanted = declaration(dialect, target, index);
    let advice = dialect.change_type(table, &wanted);
    let advice = advice.unwrap_or_else(|| format!("make the table anew: {}", create_statement(dialect, target)));
    Some(format!(
        "column `{}` of table `{table}` is declared `{}`, but the sink writes {}{}, which needs `{}`: {advice}",
        field.name,
        column.declared,
        if is_key { "the key as " } else { "" },
        field.data_type,
        wanted.data_type
    ))
}

/// Upserts need the key to be unique in the table, too.
fn key_problem(dialect: &dyn Dialect, target: &Target, found: &FoundTable) -> Option<String> {
    let is_key = |columns: &Vec<String>| {
        columns.len() == target.key.len()
            && target.key_names().all(|key| columns.iter().any(|column| dialect.same_name(column, key)))
    };
    if target.mode == WriteMode::Append || found.unique.iter().any(is_key) {
        return None;
    }
    let quotes = dialect.quotes();
    let keys = quotes.columns(target.key_names());
    Some(format!(
        "the sink's key ({keys}) is not unique in table `{}`: CREATE UNIQUE INDEX {} ON {} ({keys})",
        target.table,
        quotes.columns([format!("{}_key", target.table.replace('.', "_")).as_str()]),
        quotes.table(&target.table)
    ))
}
