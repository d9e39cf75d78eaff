//! Tables and rows in a form that checks can write down and compare.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::Schema;
use async_trait::async_trait;
use azenha_engine::store::{RefusedRow, Store, StoreError, StoreLane, StoreLaneId, StoreRows};
use azenha_model::plan::{Generation, OutputColumn, StoreOutput, Target, TimeFormat, WriteMode};
use azenha_model::{DataType, Field, Offset};

/// A store under test, and a second way to look into it.
#[async_trait]
pub trait StoreFixture: Send + Sync {
    /// The store.
    fn store(&self) -> &dyn Store;

    /// What it keeps of the extremes of types.
    fn keeps(&self) -> Keeps {
        Keeps { digits: 38, microseconds: true, whole_commits: true }
    }

    /// Every row of a table or collection, ordered by its first column, each value as text: booleans as `1` and `0`,
    /// bytes as small hexadecimal digits, floats as Rust's `{:?}`, timestamps as `YYYY-MM-DD HH:MM:SS[.ffffff]`, JSON
    /// with any space between its parts.
    async fn rows(&self, table: &str, columns: &[Field]) -> Vec<Vec<Option<String>>>;

    /// Makes a table or collection of [`fields`], of which `id` is the key, with a rule of its own.
    async fn make(&self, table: &str, rule: Rule);

    /// Gives the lanes of a topic another position, as nobody but a person would.
    async fn move_lanes(&self, topic: &str, next: i64);
}

/// A store of tables under test.
#[async_trait]
pub trait TableFixture: StoreFixture {
    /// Runs SQL that every database under test understands.
    async fn run(&self, sql: &str);
}

/// What a store keeps of the extremes of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeps {
    /// The digits of a decimal.
    pub digits: u32,
    /// Whether timestamps have microseconds, or milliseconds only.
    pub microseconds: bool,
    /// Whether rows are seen only once their commit has happened; if not, those of a commit that is cut may be seen before
    /// it is repeated.
    pub whole_commits: bool,
}

/// What a table or collection wants of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// No row is called `poison`.
    NoPoison,
    /// No two rows have one name.
    UniqueNames,
}

/// A store whose sinks write collections where the checks say tables.
#[derive(Debug)]
pub struct Collections(pub Arc<dyn Store>);

fn as_collection(output: &StoreOutput) -> StoreOutput {
    StoreOutput { target: Target::Collection { indexes: Vec::new() }, ..output.clone() }
}

#[async_trait]
impl Store for Collections {
    async fn prepare(&self, output: &StoreOutput) -> Result<(), StoreError> {
        self.0.prepare(&as_collection(output)).await
    }

    async fn open(&self, output: &StoreOutput, lane: &StoreLaneId) -> Result<Box<dyn StoreLane>, StoreError> {
        self.0.open(&as_collection(output), lane).await
    }

    async fn position(&self, lane: &StoreLaneId) -> Result<Option<Offset>, StoreError> {
        self.0.position(lane).await
    }

    async fn set_position(&self, lane: &StoreLaneId, position: Offset) -> Result<(), StoreError> {
        self.0.set_position(lane, position).await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// A sink called `sink` that writes to a table of these columns.
pub fn output(table: &str, fields: &[Field], key: &[usize], mode: WriteMode) -> StoreOutput {
    let column = |(input, field): (usize, &Field)| OutputColumn {
        input,
        field: field.clone(),
        time_format: TimeFormat::default(),
    };
    StoreOutput {
        sink: "sink".to_owned(),
        connection: "store".to_owned(),
        name: table.to_owned(),
        target: Target::Table { fulltext: Vec::new() },
        columns: fields.iter().enumerate().map(column).collect(),
        key: key.to_vec(),
        mode,
    }
}

/// The columns of most checks: a numeric key and a text.
pub fn fields() -> Vec<Field> {
    vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Text, true)]
}

/// A sink that upserts rows of [`fields`].
pub fn simple(table: &str) -> StoreOutput {
    output(table, &fields(), &[0], WriteMode::Upsert)
}

/// The lane of a partition; the topic is named after the table, so that checks do not meet.
pub fn lane(output: &StoreOutput, partition: u32, generation: Generation) -> StoreLaneId {
    StoreLaneId {
        pipeline: "pipeline".to_owned(),
        sink: output.sink.clone(),
        topic: format!("topic-of-{}", output.name),
        topic_id: "first".to_owned(),
        partition,
        generation,
    }
}

/// Prepares the table and takes partition 0.
pub async fn prepared(store: &dyn Store, output: &StoreOutput) -> Box<dyn StoreLane> {
    store.prepare(output).await.unwrap();
    store.open(output, &lane(output, 0, 0)).await.unwrap()
}

/// Rows of `fields` with these columns, from consecutive offsets.
pub fn batch(fields: &[Field], columns: Vec<ArrayRef>, first: Offset) -> StoreRows {
    let fields: Vec<_> = fields.iter().map(|field| field.arrow().with_nullable(true)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let offsets = (first..first + batch.num_rows() as u64).collect();
    StoreRows { batch, deletes: None, offsets }
}

/// Rows of [`fields`] that are put, from offset `first` on.
pub fn puts(first: Offset, rows: &[(i64, &str)]) -> StoreRows {
    let ids: Int64Array = rows.iter().map(|row| Some(row.0)).collect();
    let names: StringArray = rows.iter().map(|row| Some(row.1)).collect();
    batch(&fields(), vec![Arc::new(ids), Arc::new(names)], first)
}

/// Rows of [`fields`]; those without a name are deletes.
pub fn changes(first: Offset, rows: &[(i64, Option<&str>)]) -> StoreRows {
    let ids: Int64Array = rows.iter().map(|row| Some(row.0)).collect();
    let names: StringArray = rows.iter().map(|row| row.1).collect();
    let deletes: BooleanArray = rows.iter().map(|row| Some(row.1.is_none())).collect();
    StoreRows { deletes: Some(deletes), ..batch(&fields(), vec![Arc::new(ids), Arc::new(names)], first) }
}

/// The rows of a table of [`fields`], as `id=name`.
pub async fn found(fixture: &dyn StoreFixture, table: &str) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or("null".to_owned());
    let rows = fixture.rows(table, &fields()).await;
    rows.iter().map(|row| format!("{}={}", text(&row[0]), text(&row[1]))).collect()
}

/// The rows that a commit refused.
pub fn refused(ended: Result<(), StoreError>) -> Vec<RefusedRow> {
    match ended {
        Err(StoreError::Refused(rows)) => rows,
        other => panic!("not refused: {other:?}"),
    }
}

/// Batch and row of each.
pub fn places(refused: &[RefusedRow]) -> Vec<(usize, usize)> {
    refused.iter().map(|row| (row.batch, row.row)).collect()
}
