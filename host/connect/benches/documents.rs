//! How fast documents are written to MongoDB, beside a bare `insert` of the same documents by the same driver. Prints
//! documents a second; fails nothing. The server is that of AZENHA_TEST_MONGODB.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::Schema;
use azenha_connect::open_store;
use azenha_engine::store::{Store, StoreError, StoreLaneId, StoreRows};
use azenha_model::plan::{OutputColumn, StoreOutput, Target, TimeFormat, WriteMode};
use azenha_model::{DataType, Field};
use futures::future::try_join_all;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::{Acknowledgment, WriteConcern};
use mongodb::{Client, Database};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const DOCUMENTS: usize = 120_000;
/// Rows of a batch of the engine.
const BATCH: usize = 4000;
const COLLECTION: &str = "azenha_bench_documents";
const LINES: &str = r#"[{"sku":"s1","units":3,"price":0.10},{"sku":"s2","units":1,"price":12.50}]"#;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let Ok(url) = std::env::var("AZENHA_TEST_MONGODB") else {
        println!("skipped: AZENHA_TEST_MONGODB names no server");
        return Ok(());
    };
    let database = Client::with_uri_str(&url).await?.default_database().ok_or("the URL names no database")?;
    println!("{DOCUMENTS} documents of five fields, one with two objects");
    let store = open_store("bench", &url)?;
    let bare = bare_insert(&database).await?;
    report("bare insert", bare, bare);
    for mode in [WriteMode::Upsert, WriteMode::Append] {
        for (lanes, commit) in [(1, 4000), (1, 20_000), (2, 4000)] {
            forget(&database).await?;
            let taken = write(&*store, &output(mode), lanes, commit, 0).await?;
            report(&format!("{mode:?}: {lanes} lane(s), {commit} rows a commit"), taken, bare);
        }
    }
    // Every document is there already.
    forget(&database).await?;
    write(&*store, &output(WriteMode::Upsert), 1, 4000, 0).await?;
    report(
        "Upsert: 1 lane(s), 4000 rows a commit, again",
        write(&*store, &output(WriteMode::Upsert), 1, 4000, 1).await?,
        bare,
    );
    forget(&database).await
}

fn report(what: &str, taken: Duration, bare: Duration) {
    let seconds = taken.as_secs_f64();
    println!(
        "{what:50} {:8.0} documents/s, {:.2} × a bare insert",
        DOCUMENTS as f64 / seconds,
        bare.as_secs_f64() / seconds
    );
}

async fn forget(database: &Database) -> Outcome<()> {
    database.collection::<Document>(COLLECTION).drop().await?;
    database.collection::<Document>("azenha_positions").delete_many(doc! { "_id.pipeline": "bench" }).await?;
    Ok(())
}

fn fields() -> [Field; 5] {
    [
        Field::new("id", DataType::Int64, false),
        Field::new("customer", DataType::Text, true),
        Field::new("total", DataType::Decimal { scale: 2 }, true),
        Field::new("ts", DataType::Timestamp, true),
        Field::new("lines", DataType::Json, true),
    ]
}

fn output(mode: WriteMode) -> StoreOutput {
    let column = |(input, field)| OutputColumn { input, field, time_format: TimeFormat::default() };
    StoreOutput {
        sink: format!("{mode:?}"),
        connection: "bench".to_owned(),
        name: COLLECTION.to_owned(),
        target: Target::Collection { indexes: Vec::new() },
        columns: fields().into_iter().enumerate().map(column).collect(),
        key: if mode == WriteMode::Upsert { vec![0] } else { Vec::new() },
        mode,
    }
}

fn customer(id: usize) -> String {
    format!("customer-{}", id * 7919 % 100_000)
}

/// Made before, and acknowledged as durably as a commit.
async fn bare_insert(database: &Database) -> Outcome<Duration> {
    forget(database).await?;
    let decimal = |text: &str| -> Outcome<Bson> { Ok(Bson::Decimal128(text.parse()?)) };
    let lines = vec![
        doc! { "sku": "s1", "units": 3_i64, "price": decimal("0.10")? },
        doc! { "sku": "s2", "units": 1_i64, "price": decimal("12.50")? },
    ];
    let document = |id: usize| -> Outcome<Document> {
        Ok(doc! {
            "_id": id as i64,
            "id": id as i64,
            "customer": customer(id),
            "total": decimal(&format!("{}.{:02}", id % 1000, id % 100))?,
            "ts": DateTime::from_millis(1_767_225_600_000 + id as i64),
            "lines": lines.clone(),
        })
    };
    let documents = (0..DOCUMENTS).map(document).collect::<Outcome<Vec<_>>>()?;
    let collection = database.collection::<Document>(COLLECTION);
    let durable = WriteConcern::builder().w(Acknowledgment::Majority).build();
    let started = Instant::now();
    for chunk in documents.chunks(BATCH) {
        collection.insert_many(chunk).write_concern(durable.clone()).await?;
    }
    Ok(started.elapsed())
}

/// Rows of a batch, from this id on; the offset of a row is its id.
fn rows(first: usize) -> Outcome<StoreRows> {
    let ids = first..first + BATCH;
    let totals = ids.clone().map(|id| (id % 1000 * 100 + id % 100) as i128);
    let ts = ids.clone().map(|id| 1_767_225_600_000_000 + 1000 * id as i64);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.clone().map(|id| id as i64))),
        Arc::new(StringArray::from_iter_values(ids.clone().map(customer))),
        Arc::new(Decimal128Array::from_iter_values(totals).with_precision_and_scale(38, 2)?),
        Arc::new(TimestampMicrosecondArray::from_iter_values(ts).with_timezone("UTC")),
        Arc::new(StringArray::from_iter_values(ids.clone().map(|_| LINES))),
    ];
    let schema = Schema::new(fields().iter().map(Field::arrow).collect::<Vec<_>>());
    let batch = RecordBatch::try_new(Arc::new(schema), columns)?;
    Ok(StoreRows { batch, deletes: None, offsets: ids.map(|id| id as u64).collect() })
}

/// Each lane writes its share, one commit of so many rows after the other, in this generation of its position.
async fn write(
    store: &dyn Store,
    output: &StoreOutput,
    lanes: usize,
    commit: usize,
    generation: u32,
) -> Outcome<Duration> {
    let batches: Vec<StoreRows> = (0..DOCUMENTS / BATCH).map(|batch| rows(batch * BATCH)).collect::<Outcome<_>>()?;
    store.prepare(output).await?;
    let lane = async |(partition, batches): (usize, &[StoreRows])| {
        let id = lane_id(output, partition as u32, generation);
        let mut lane = store.open(output, &id).await?;
        for batches in batches.chunks(commit / BATCH) {
            let next = batches.last().and_then(|rows| rows.offsets.last()).map_or(0, |offset| offset + 1);
            lane.commit(batches, next).await?;
        }
        Ok::<(), StoreError>(())
    };
    let shares = batches.chunks(batches.len() / lanes).enumerate();
    let started = Instant::now();
    try_join_all(shares.map(lane)).await?;
    Ok(started.elapsed())
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
