//! Tables that a batch makes beside those that people read, and puts in their place all at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use azenha_engine::store::StoreError;
use azenha_model::plan::{StoreOutput, WriteMode};
use azenha_model::{DataType, Field};
use tokio::time::sleep;

use super::dialect::{Dialect, Replacement};
use super::positions;
use super::session::{Argument, Failure, Operation, Session};
use super::table::{self, FoundTable, Target};
use super::{Connector, connector};

/// How often tables are put in the place of others before readers are taken to be in the way.
const TRIES: u32 = 10;

/// How long is waited between.
const PAUSE: Duration = Duration::from_secs(1);

/// Reports that are told of one pipeline.
const MOST_REPORTS: usize = 100;

/// The reports of batches.
const REPORTS: &str = "azenha_runs";

/// The run that the new tables of each pipeline belong to: the one that began last, wherever.
const OWNERS: &str = "azenha_batches";

/// What a table is called while it is made.
pub fn building(table: &str) -> String {
    format!("{table}__new")
}

/// What a table that was replaced is called until it is dropped.
fn replaced(table: &str) -> String {
    format!("{table}__old")
}

/// A table of the host, with its rows.
#[derive(Debug)]
pub struct HostTable {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub fields: Vec<Field>,
    /// The positions of those that tell rows apart.
    pub key: Vec<usize>,
    /// The rows.
    pub rows: RecordBatch,
}

/// How two values compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Whether they are equal, and neither is null.
    pub equal: bool,
    /// Both as text.
    pub values: [Option<String>; 2],
}

/// A SQL database in which batches make tables. Every call has a connection of its own.
pub struct Warehouse {
    name: String,
    connector: Arc<dyn Connector>,
}

impl fmt::Debug for Warehouse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Warehouse").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Warehouse {
    /// The database of a connection; nothing is connected yet.
    ///
    /// # Errors
    /// `Definition` for a URL that cannot be read, or that is not one of a SQL database.
    pub fn new(name: &str, url: &str) -> Result<Self, StoreError> {
        Ok(Self { name: name.to_owned(), connector: connector(name, url)? })
    }

    /// Takes the new tables of a pipeline for a run, and drops what an earlier one left: of these tables, and how far its
    /// lanes had come. A run of before that is still under way elsewhere cannot put them in place any more.
    ///
    /// # Errors
    /// If the database does not do it.
    pub async fn begin(&self, pipeline: &str, run: &str, tables: &[String]) -> Result<(), StoreError> {
        self.told("clearing what a run left", async {
            let session = &mut *self.session().await?;
            own(session, pipeline, run).await?;
            for table in tables {
                drop_table(session, &building(table)).await?;
                drop_table(session, &replaced(table)).await?;
            }
            positions::forget(session, pipeline).await
        })
        .await
    }

    /// Begins the new table of a sink with the rows of the one that is read, if there is one.
    ///
    /// # Errors
    /// If the database does not do it.
    pub async fn copy(&self, output: &StoreOutput) -> Result<(), StoreError> {
        self.told(&format!("copying `{}`", output.name), async {
            let session = &mut *self.session().await?;
            let target = Target::new(output);
            self.copy_into(session, &Target { table: building(&target.table), ..target }, &output.name).await
        })
        .await
    }

    /// Makes the new table and copies the rows of another into it, if that is there.
    async fn copy_into(&self, session: &mut dyn Session, target: &Target, from: &str) -> Result<(), Failure> {
        drop_table(session, &target.table).await?;
        session.run(&table::create_statement(session.dialect(), target)).await?;
        let Some(found) = session.find_table(from).await? else { return Ok(()) };
        check_columns(session.dialect(), target, (from, &found))?;
        let quotes = session.dialect().quotes();
        let (columns, new, from) = (quotes.columns(target.names()), quotes.table(&target.table), quotes.table(from));
        session.run(&format!("INSERT INTO {new} ({columns}) SELECT {columns} FROM {from}")).await
    }

    /// Makes a table of the host. With `keep`, it begins with the rows of the one that is read, but for those whose
    /// column `keep` has one of the values that rows of `table` have there.
    ///
    /// # Errors
    /// If the database does not do it.
    pub async fn put(&self, table: &HostTable, keep: Option<(&str, &[String])>) -> Result<(), StoreError> {
        let target = keyed(&building(&table.name), table.fields.clone(), table.key.clone());
        self.told(&format!("writing `{}`", table.name), async {
            let session = &mut *self.session().await?;
            match keep {
                None => {
                    drop_table(session, &target.table).await?;
                    session.run(&table::create_statement(session.dialect(), &target)).await?;
                }
                Some((column, values)) => {
                    self.copy_into(session, &target, &table.name).await?;
                    let quoted = session.dialect().quotes();
                    let (new, column) = (quoted.table(&target.table), quoted.columns([column]));
                    session.begin().await?;
                    for value in values {
                        let delete = format!("DELETE FROM {new} WHERE {column} = $1");
                        session.change(&delete, &[Argument::Text(value)]).await?;
                    }
                    session.commit().await?;
                }
            }
            session.begin().await?;
            session.write(&target, Operation::Put, &table.rows).await?;
            session.commit().await
        })
        .await
    }

    /// Adds rows to a table of the host that is made.
    ///
    /// # Errors
    /// If the database does not do it.
    pub async fn add(&self, table: &HostTable) -> Result<(), StoreError> {
        let target = keyed(&building(&table.name), table.fields.clone(), table.key.clone());
        self.told(&format!("writing `{}`", table.name), async {
            let session = &mut *self.session().await?;
            session.begin().await?;
            session.write(&target, Operation::Put, &table.rows).await?;
            session.commit().await
        })
        .await
    }

    /// Makes a table of the rows of a statement.
    ///
    /// # Errors
    /// If the database does not do it: the statement may be wrong.
    pub async fn build(&self, table: &str, select: &str) -> Result<(), StoreError> {
        self.told(&format!("making `{table}`"), async {
            let session = &mut *self.session().await?;
            let new = building(table);
            drop_table(session, &new).await?;
            let quoted = session.dialect().quotes().table(&new);
            session.run(&format!("CREATE TABLE {quoted} AS {select}")).await
        })
        .await
    }

    /// Makes the index by which rows of a new table are told apart; the run names it, because that of the table before
    /// is there yet.
    ///
    /// # Errors
    /// If the database does not do it, for instance because two rows have one key.
    pub async fn index(&self, table: &str, key: &[String], run: i64) -> Result<(), StoreError> {
        self.told(&format!("indexing `{table}`"), async {
            let session = &mut *self.session().await?;
            let found = session.find_table(&building(table)).await?.unwrap_or_default();
            let declared = |column: &'_ String| found.columns.iter().find(|found| found.name == *column);
            let columns: Vec<(&str, &str)> =
                key.iter().filter_map(declared).map(|found| (found.name.as_str(), found.declared.as_str())).collect();
            for statement in session.dialect().indexable(&building(table), &columns) {
                session.run(&statement).await?;
            }
            let quotes = session.dialect().quotes();
            let (index, new) = (quotes.columns([format!("{table}_{run}").as_str()]), quotes.table(&building(table)));
            let columns = quotes.columns(key.iter().map(String::as_str));
            session.run(&format!("CREATE UNIQUE INDEX {index} ON {new} ({columns})")).await
        })
        .await
    }

    /// How many rows a statement gives. Names of new tables stand in it in quotes, as [`Warehouse::quotes`] gives them.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn count(&self, what: &str, select: &str) -> Result<i64, StoreError> {
        self.told(what, async { count(&mut *self.session().await?, select).await }).await
    }

    /// Compares the values of two statements.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn compare(&self, what: &str, left: &str, right: &str) -> Result<Compared, StoreError> {
        self.told(what, async {
            let session = &mut *self.session().await?;
            let shown = session.dialect().shown_type();
            let equal = format!("SELECT 1 AS one FROM (SELECT 1 AS one) AS whole WHERE ({left}) = ({right})");
            let equal = count(session, &equal).await? == 1;
            let values = format!("SELECT CAST(({left}) AS {shown}), CAST(({right}) AS {shown})");
            let mut rows = session.texts(&values, &[]).await?;
            let mut values = rows.pop().unwrap_or_default().into_iter();
            Ok(Compared { equal, values: [values.next().flatten(), values.next().flatten()] })
        })
        .await
    }

    /// A name as statements have it.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn quotes(&self) -> Result<impl Fn(&str) -> String + use<>, StoreError> {
        let quotes = self.told("asking", async { Ok(self.session().await?.dialect().quotes()) }).await?;
        Ok(move |name: &str| quotes.table(name))
    }

    /// Whether each of these tables is being made.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn are_made(&self, tables: &[String]) -> Result<bool, StoreError> {
        self.told("looking for new tables", async {
            let session = &mut *self.session().await?;
            for table in tables {
                if session.find_table(&building(table)).await?.is_none() {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    /// Whether new tables stand where they are to stand, so that none is being made any more.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn is_replaced(&self, tables: &[String]) -> Result<bool, StoreError> {
        self.told("looking for new tables", async {
            let session = &mut *self.session().await?;
            for table in tables {
                if session.find_table(&building(table)).await?.is_some() {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    /// Whether the new tables of a pipeline are those of a run.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn belongs_to(&self, pipeline: &str, run: &str) -> Result<bool, StoreError> {
        let owner = format!("SELECT run FROM {OWNERS} WHERE pipeline = $1");
        self.told("looking for the run", async {
            let session = &mut *self.session().await?;
            if session.find_table(OWNERS).await?.is_none() {
                return Ok(false);
            }
            let rows = session.texts(&owner, &[Argument::Text(pipeline)]).await?;
            Ok(rows.into_iter().flatten().flatten().any(|owner| owner == run))
        })
        .await
    }

    /// Puts the new tables of a run in the place of those that are read, all at once: a reader sees all before or all
    /// after.
    ///
    /// # Errors
    /// If another run has begun since, readers do not let go of the tables, something else depends on them, or the database
    /// fails.
    pub async fn replace(&self, pipeline: &str, run: &str, tables: &[String]) -> Result<(), StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self
                .told("putting new tables in place", async {
                    replace(&mut *self.session().await?, (pipeline, run), tables).await
                })
                .await
            {
                Err(StoreError::Unavailable { .. }) if tries < TRIES => sleep(PAUSE).await,
                done => return done,
            }
        }
    }

    /// Keeps the report of a run.
    ///
    /// # Errors
    /// If the database does not do it.
    pub async fn keep_report(&self, pipeline: &str, run: &str, report: &str) -> Result<(), StoreError> {
        let target = keyed(REPORTS, texts(["pipeline", "run", "report"]), vec![0, 1]);
        self.told("keeping a report", async {
            let session = &mut *self.session().await?;
            if session.find_table(REPORTS).await?.is_none() {
                session.run(&table::create_statement(session.dialect(), &target)).await?;
            }
            let arguments = [Argument::Text(pipeline), Argument::Text(run), Argument::Text(report)];
            session.begin().await?;
            session.change(&format!("DELETE FROM {REPORTS} WHERE pipeline = $1 AND run = $2"), &arguments[..2]).await?;
            let insert = format!("INSERT INTO {REPORTS} (pipeline, run, report) VALUES ($1, $2, $3)");
            session.change(&insert, &arguments).await?;
            session.commit().await
        })
        .await
    }

    /// The reports of a pipeline's runs, the latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn reports(&self, pipeline: &str) -> Result<Vec<String>, StoreError> {
        self.told("reading reports", async {
            let session = &mut *self.session().await?;
            if session.find_table(REPORTS).await?.is_none() {
                return Ok(Vec::new());
            }
            let select =
                format!("SELECT report FROM {REPORTS} WHERE pipeline = $1 ORDER BY run DESC LIMIT {MOST_REPORTS}");
            let rows = session.texts(&select, &[Argument::Text(pipeline)]).await?;
            Ok(rows.into_iter().flatten().flatten().collect())
        })
        .await
    }

    async fn session(&self) -> Result<Box<dyn Session>, Failure> {
        let mut session = self.connector.connect().await?;
        let prepare = session.dialect().of_people();
        session.run(prepare).await?;
        Ok(session)
    }

    /// What the work gives, or says what was being done when it failed.
    async fn told<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T, StoreError> {
        work.await.map_err(|failure| failure.into_error(&format!("`{}`: {what}", self.name)))
    }
}

/// Refuses rows of a table that lacks columns.
fn check_columns(dialect: &dyn Dialect, target: &Target, (from, found): (&str, &FoundTable)) -> Result<(), Failure> {
    let has = |name: &&str| found.columns.iter().any(|column| dialect.same_name(&column.name, name));
    match target.names().find(|name| !has(name)) {
        None => Ok(()),
        Some(missing) => Err(Failure::Definition(format!(
            "table `{from}` has no column `{missing}`, because the pipeline was another when it was made: run over \
             everything first, without dates"
        ))),
    }
}

async fn drop_table(session: &mut dyn Session, table: &str) -> Result<(), Failure> {
    let quoted = session.dialect().quotes().table(table);
    session.run(&format!("DROP TABLE IF EXISTS {quoted}")).await
}

/// A table whose rows have a key.
fn keyed(table: &str, fields: Vec<Field>, key: Vec<usize>) -> Target {
    Target { table: table.to_owned(), fields, key, mode: WriteMode::Upsert, fulltext: Vec::new() }
}

/// Columns of text that is never absent.
fn texts<const COLUMNS: usize>(names: [&str; COLUMNS]) -> Vec<Field> {
    names.map(|name| Field::new(name, DataType::Text, false)).to_vec()
}

/// Keeps others from taking tables, and from putting them in place, until the session ends.
async fn lock(session: &mut dyn Session) -> Result<(), Failure> {
    let Some(lock) = session.dialect().takeover_lock() else { return Ok(()) };
    match session.integers(lock, &[]).await?.as_deref() {
        Some([Some(1)]) => Ok(()),
        _ => Err(Failure::Unavailable("another run holds the tables of batches at this moment".into())),
    }
}

/// Makes a run the owner of a pipeline's new tables.
async fn own(session: &mut dyn Session, pipeline: &str, run: &str) -> Result<(), Failure> {
    lock(session).await?;
    let target = keyed(OWNERS, texts(["pipeline", "run"]), vec![0]);
    if session.find_table(OWNERS).await?.is_none() {
        session.run(&table::create_statement(session.dialect(), &target)).await?;
    }
    session.begin().await?;
    session.change(&format!("DELETE FROM {OWNERS} WHERE pipeline = $1"), &[Argument::Text(pipeline)]).await?;
    let insert = format!("INSERT INTO {OWNERS} (pipeline, run) VALUES ($1, $2)");
    session.change(&insert, &[Argument::Text(pipeline), Argument::Text(run)]).await?;
    session.commit().await
}

async fn count(session: &mut dyn Session, select: &str) -> Result<i64, Failure> {
    let row = session.integers(&format!("SELECT COUNT(*) FROM ({select}) AS counted"), &[]).await?;
    Ok(row.and_then(|row| row.first().copied().flatten()).unwrap_or_default())
}

async fn replace(session: &mut dyn Session, (pipeline, run): (&str, &str), tables: &[String]) -> Result<(), Failure> {
    lock(session).await?;
    let mut names = Vec::new();
    for table in tables {
        let is_there = session.find_table(table).await?.is_some();
        names.push((building(table), table, is_there.then(|| replaced(table))));
    }
    let replacements: Vec<Replacement<'_>> =
        names.iter().map(|(new, name, old)| Replacement { new, name, old: old.as_deref() }).collect();
    let statements = session.dialect().replace_tables(&replacements);
    session.begin().await?;
    // Another run that begins now waits for the end of this transaction, or for the lock.
    let still = format!("UPDATE {OWNERS} SET run = run WHERE pipeline = $1 AND run = $2");
    if session.change(&still, &[Argument::Text(pipeline), Argument::Text(run)]).await? == 0 {
        session.roll_back().await?;
        return Err(Failure::Definition("another run of this pipeline has begun since; let that one end".to_owned()));
    }
    for statement in statements {
        session.run(&statement).await?;
    }
    session.commit().await
}
