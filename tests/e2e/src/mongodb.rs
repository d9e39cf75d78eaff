//! Looking into a MongoDB.

use anyhow::{Context, Result};
use mongodb::bson::{Document, doc};
use mongodb::{Client, Database};

/// A database of MongoDB as a test sees it.
#[derive(Debug, Clone)]
pub struct Mongo {
    url: String,
    database: Database,
}

impl Mongo {
    /// A database of the server of a URL; it is made by whoever writes to it.
    pub async fn at(server: &str, name: &str) -> Result<Self> {
        let (base, options) = server.split_once('?').unwrap_or((server, ""));
        let (base, _) = base.rsplit_once('/').context("the URL names no database")?;
        let url = format!("{base}/{name}?{options}");
        let database = Client::with_uri_str(&url).await?.database(name);
        Ok(Self { url, database })
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every document of a collection, in the order of its `_id`.
    pub async fn documents(&self, collection: &str) -> Result<Vec<Document>> {
        let mut cursor = self.database.collection(collection).find(doc! {}).sort(doc! { "_id": 1 }).await?;
        let mut documents = Vec::new();
        while cursor.advance().await? {
            documents.push(cursor.deserialize_current()?);
        }
        Ok(documents)
    }

    /// How many documents a collection has.
    pub async fn count(&self, collection: &str) -> Result<u64> {
        Ok(self.database.collection::<Document>(collection).count_documents(doc! {}).await?)
    }

    /// Runs a command.
    pub async fn run(&self, command: Document) -> Result<Document> {
        Ok(self.database.run_command(command).await?)
    }
}
