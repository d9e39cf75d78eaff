//! How fast rows are written to PostgreSQL and to MariaDB, beside what is plain and fast there: a bare `COPY`, or a bare
//! `INSERT` of many rows, of the same rows into a table of the same kind. Prints rows a second and the host's own CPU
//! a row; fails nothing. The servers are those of AZENHA_TEST_POSTGRES and AZENHA_TEST_MARIADB.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::Schema;
use azenha_connect::open_store;
use azenha_engine::store::{Store, StoreLaneId, StoreRows};
use azenha_model::plan::{OutputColumn, StoreOutput, Target, TimeFormat, WriteMode};
use azenha_model::{DataType, Field};
use futures::future::try_join_all;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ROWS: usize = 480_000;
/// Rows of a batch of the engine.
const BATCH: usize = 4000;
const TABLE: &str = "azenha_bench_rows";

/// What one run took.
#[derive(Clone, Copy)]
struct Taken {
    wall: Duration,
    cpu: Duration,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    println!("{ROWS} rows of five columns");
    for (variable, what) in [("AZENHA_TEST_POSTGRES", "PostgreSQL"), ("AZENHA_TEST_MARIADB", "MariaDB")] {
        let Ok(url) = std::env::var(variable) else {
            println!("{what} is skipped: {variable} names no server");
            continue;
        };
        println!("{what}");
        match variable {
            "AZENHA_TEST_POSTGRES" => compare(&url, &mut PgConnection::connect(&url).await?).await?,
            _ => compare(&url, &mut MySqlConnection::connect(&url).await?).await?,
        }
    }
    Ok(())
}

/// A server that rows are written to, as plainly as it allows.
trait Server {
    /// What is fast there.
    const BARE: &str;

    /// Runs statements.
    async fn run(&mut self, sql: &str) -> Outcome<()>;

    /// Writes all rows in one transaction, of text that was made before.
    async fn bare(&mut self) -> Outcome<Taken>;
}

/// Our writing beside the plain one, in both modes.
async fn compare<S: Server>(url: &str, server: &mut S) -> Outcome<()> {
    for mode in [WriteMode::Upsert, WriteMode::Append] {
        let store = open_store("bench", url)?;
        let output = output(mode);
        fresh_table(server, &*store, &output).await?;
        let bare = server.bare().await?;
        report::<S>(&format!("{mode:?}: bare"), bare, bare);
        for (lanes, commit) in [(1, 4000), (1, 8000), (1, 20_000), (2, 4000), (2, 20_000)] {
            fresh_table(server, &*store, &output).await?;
            let taken = write(&*store, &output, (lanes, commit, 0)).await?;
            report::<S>(&format!("{mode:?}: {lanes} lane(s), {commit} rows a commit"), taken, bare);
        }
        // Every row is there already.
        let taken = write(&*store, &output, (2, 8000, 1)).await?;
        report::<S>(&format!("{mode:?}: 2 lane(s), 8000 rows a commit, again"), taken, bare);
    }
    server.run(&format!("DROP TABLE {TABLE}; DELETE FROM azenha_positions WHERE pipeline = 'bench'")).await
}

fn report<S: Server>(what: &str, taken: Taken, bare: Taken) {
    let seconds = taken.wall.as_secs_f64();
    println!(
        "{what:45} {:8.0} rows/s, {:.2} × a bare {}, {:.2} µs of our CPU a row",
        ROWS as f64 / seconds,
        bare.wall.as_secs_f64() / seconds,
        S::BARE,
        taken.cpu.as_secs_f64() * 1e6 / ROWS as f64
    );
}

/// The CPU time of this process's threads so far, which are the same all the time.
fn cpu() -> Outcome<Duration> {
    let mut total = Duration::ZERO;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let times = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanos = times.split_whitespace().next().ok_or("unreadable schedstat")?;
        total += Duration::from_nanos(nanos.parse()?);
    }
    Ok(total)
}

async fn timed(work: impl Future<Output = Outcome<()>>) -> Outcome<Taken> {
    let (started, before) = (Instant::now(), cpu()?);
    work.await?;
    Ok(Taken { wall: started.elapsed(), cpu: cpu()?.saturating_sub(before) })
}

fn fields() -> [Field; 5] {
    [
        Field::new("id", DataType::Int64, false),
        Field::new("campaign", DataType::Text, true),
        Field::new("user_name", DataType::Text, true),
        Field::new("amount", DataType::Float64, true),
        Field::new("ts", DataType::Timestamp, true),
    ]
}

fn output(mode: WriteMode) -> StoreOutput {
    let column = |(input, field)| OutputColumn { input, field, time_format: TimeFormat::default() };
    StoreOutput {
        sink: format!("{mode:?}"),
        connection: "bench".to_owned(),
        name: TABLE.to_owned(),
        target: Target::Table { fulltext: Vec::new() },
        columns: fields().into_iter().enumerate().map(column).collect(),
        key: if mode == WriteMode::Upsert { vec![0] } else { Vec::new() },
        mode,
    }
}

async fn fresh_table(server: &mut impl Server, store: &dyn Store, output: &StoreOutput) -> Outcome<()> {
    server.run(&format!("DROP TABLE IF EXISTS {TABLE}")).await?;
    store.prepare(output).await?;
    server.run("DELETE FROM azenha_positions WHERE pipeline = 'bench'").await
}

impl Server for PgConnection {
    const BARE: &str = "COPY";

    async fn run(&mut self, sql: &str) -> Outcome<()> {
        sqlx::raw_sql(AssertSqlSafe(format!("{sql}; CHECKPOINT"))).execute(self).await?;
        Ok(())
    }

    async fn bare(&mut self) -> Outcome<Taken> {
        let line = |id: usize| {
            let (campaign, user, amount) = row(id);
            format!("{id}\t{campaign}\t{user}\t{amount}\t2026-01-01 00:00:00.{id:06}+00\n")
        };
        let chunks: Vec<String> =
            (0..ROWS / BATCH).map(|chunk| (chunk * BATCH..(chunk + 1) * BATCH).map(line).collect()).collect();
        timed(async {
            let mut copy = self.copy_in_raw(&format!("COPY {TABLE} FROM STDIN")).await?;
            for chunk in chunks {
                copy.send(chunk.into_bytes()).await?;
            }
            copy.finish().await?;
            Ok(())
        })
        .await
    }
}

impl Server for MySqlConnection {
    const BARE: &str = "INSERT";

    async fn run(&mut self, sql: &str) -> Outcome<()> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self).await?;
        Ok(())
    }

    /// `LOAD DATA LOCAL` would be faster, but servers do not allow it unless they are told to.
    async fn bare(&mut self) -> Outcome<Taken> {
        let values = |id: usize| {
            let (campaign, user, amount) = row(id);
            format!("({id},'{campaign}','{user}',{amount},'2026-01-01 00:00:00.{id:06}')")
        };
        let statement = |chunk: usize| {
            let values: Vec<String> = (chunk * BATCH..(chunk + 1) * BATCH).map(values).collect();
            format!("INSERT INTO {TABLE} VALUES {}", values.join(","))
        };
        let statements: Vec<String> = (0..ROWS / BATCH).map(statement).collect();
        timed(async {
            Server::run(self, "BEGIN").await?;
            for statement in statements {
                Server::run(self, &statement).await?;
            }
            Server::run(self, "COMMIT").await
        })
        .await
    }
}

fn row(id: usize) -> (String, String, f64) {
    (format!("campaign-{}", id % 1000), format!("user-{}", id * 7919 % 100_000), (id % 10_000) as f64 / 100.0)
}

/// Rows of a batch, from this id on; the offset of a row is its id.
fn rows(first: usize) -> Outcome<StoreRows> {
    let ids = first..first + BATCH;
    let values: Vec<(String, String, f64)> = ids.clone().map(row).collect();
    let ts = ids.clone().map(|id| 1_767_225_600_000_000 + id as i64);
    let ts = arrow_array::TimestampMicrosecondArray::from_iter_values(ts).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.clone().map(|id| id as i64))),
        Arc::new(StringArray::from_iter_values(values.iter().map(|row| &row.0))),
        Arc::new(StringArray::from_iter_values(values.iter().map(|row| &row.1))),
        Arc::new(Float64Array::from_iter_values(values.iter().map(|row| row.2))),
        Arc::new(ts),
    ];
    let schema = Schema::new(fields().iter().map(Field::arrow).collect::<Vec<_>>());
    let batch = RecordBatch::try_new(Arc::new(schema), columns)?;
    Ok(StoreRows { batch, deletes: None, offsets: ids.map(|id| id as u64).collect() })
}

/// Each lane writes its share, one commit of so many rows after the other, in this generation of its position.
async fn write(
    store: &dyn Store,
    output: &StoreOutput,
    (lanes, commit, generation): (usize, usize, u32),
) -> Outcome<Taken> {
    let batches: Vec<StoreRows> = (0..ROWS / BATCH).map(|batch| rows(batch * BATCH)).collect::<Outcome<_>>()?;
    let lane = async |(partition, batches): (usize, &[StoreRows])| {
        let mut lane = store.open(output, &lane_id(output, partition as u32, generation)).await?;
        for batches in batches.chunks(commit / BATCH) {
            let next = batches.last().and_then(|rows| rows.offsets.last()).map_or(0, |offset| offset + 1);
            lane.commit(batches, next).await?;
        }
        Ok::<(), azenha_engine::store::StoreError>(())
    };
    let shares = batches.chunks(batches.len() / lanes).enumerate();
    timed(async {
        try_join_all(shares.map(lane)).await?;
        Ok(())
    })
    .await
}

fn lane_id(output: &StoreOutput, partition: u32, generation: u32) -> StoreLaneId {
    StoreLaneId {
        pipeline: "bench".to_owned(),
        sink: output.sink.clone(),
        topic: "rows".to_owned(),
        topic_id: "rows".to_owned(),
        partition,
        generation,
    }
}
