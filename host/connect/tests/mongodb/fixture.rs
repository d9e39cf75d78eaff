//! A database of its own for each test, on the server of AZENHA_TEST_MONGODB, a URL like
//! `mongodb://127.0.0.1:27017/azenha?directConnection=true`.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use azenha_conformance::store_helpers::{Collections, Keeps, Rule, StoreFixture};
use azenha_connect::open_store;
use azenha_engine::store::Store;
use azenha_formats::civil;
use azenha_model::{DataType, Field};
use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, Database};

pub struct MongoFixture {
    pub store: Collections,
    pub url: String,
    pub database: Database,
}

/// None, and a word about it, if there is no server.
pub async fn database() -> Option<MongoFixture> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = std::env::var("AZENHA_TEST_MONGODB") else {
        println!("skipped: AZENHA_TEST_MONGODB names no server to test with");
        return None;
    };
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("azenha_test_{}_{number}", std::process::id());
    let (base, options) = server.split_once('?').unwrap();
    let url = format!("{}/{name}?{options}", base.rsplit_once('/').unwrap().0);
    let database = Client::with_uri_str(&url).await.unwrap().database(&name);
    Some(MongoFixture { store: Collections(open_store("documents", &url).unwrap()), url, database })
}

impl MongoFixture {
    /// Every document of a collection, in the order of a field.
    pub async fn sorted(&self, collection: &str, field: &str) -> Vec<Document> {
        let collection = self.database.collection::<Document>(collection);
        let found = collection.find(doc! {}).sort(doc! { field: 1 }).await.unwrap();
        found.try_collect().await.unwrap()
    }
}

#[async_trait]
impl StoreFixture for MongoFixture {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn keeps(&self) -> Keeps {
        Keeps { digits: 34, microseconds: false, whole_commits: true }
    }

    async fn rows(&self, table: &str, columns: &[Field]) -> Vec<Vec<Option<String>>> {
        let row = |document: &Document| columns.iter().map(|field| text(field, document.get(&field.name)?)).collect();
        self.sorted(table, &columns[0].name).await.iter().map(row).collect()
    }

    async fn make(&self, table: &str, rule: Rule) {
        match rule {
            Rule::NoPoison => {
                let validator = doc! { "name": { "$ne": "poison" } };
                self.database.create_collection(table).validator(validator).await.unwrap();
            }
            Rule::UniqueNames => {
                let index = doc! { "key": { "name": 1 }, "name": "names", "unique": true };
                let command = doc! { "createIndexes": table, "indexes": [index] };
                self.database.run_command(command).await.unwrap();
            }
        }
    }

    async fn move_lanes(&self, topic: &str, next: i64) {
        let positions = self.database.collection::<Document>("azenha_positions");
        let moved = doc! { "$set": { "next_offset": next } };
        positions.update_many(doc! { "_id.topic": topic }, moved).await.unwrap();
    }
}

/// A value as the checks write it.
fn text(field: &Field, value: &Bson) -> Option<String> {
    let text = match (field.data_type, value) {
        (_, Bson::Null) if field.data_type != DataType::Json => return None,
        (DataType::Json, value) => json(value),
        (DataType::Boolean, Bson::Boolean(value)) => u8::from(*value).to_string(),
        (DataType::Int64, Bson::Int64(value)) => value.to_string(),
        (DataType::Float64, Bson::Double(value)) => format!("{value:?}"),
        (DataType::Decimal { .. }, Bson::Decimal128(value)) => value.to_string(),
        (DataType::Text | DataType::Time, Bson::String(value)) => value.clone(),
        (DataType::Bytes, Bson::Binary(value)) => value.bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        (DataType::Date, Bson::DateTime(value)) => {
            assert_eq!(value.timestamp_millis() % 86_400_000, 0, "midnight");
            civil::format_date((value.timestamp_millis() / 86_400_000) as i32)
        }
        (DataType::Timestamp, Bson::DateTime(value)) => civil::format_timestamp(value.timestamp_millis() * 1000),
        (data_type, value) => panic!("{data_type} is written as {value:?}"),
    };
    Some(text)
}

/// What a `json` column became, as JSON.
fn json(value: &Bson) -> String {
    match value {
        Bson::Null => "null".to_owned(),
        Bson::Boolean(value) => value.to_string(),
        Bson::Int64(value) => value.to_string(),
        Bson::Decimal128(value) => value.to_string(),
        Bson::String(value) => format!("{value:?}"),
        Bson::Array(values) => format!("[{}]", values.iter().map(json).collect::<Vec<_>>().join(",")),
        Bson::Document(members) => {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{name:?}:{}", json(value))).collect();
            format!("{{{}}}", members.join(","))
        }
        other => panic!("JSON became {other:?}"),
    }
}
