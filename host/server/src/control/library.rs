//! Plugins that were uploaded: their bytes in pieces that fit below a broker's limit of a message, and what each name
//! means now.

use std::collections::BTreeMap;

use azenha_engine::log::LogError;
use azenha_model::Offset;
use azenha_sandbox::Plugin;
use serde::{Deserialize, Serialize};

use super::follow::{Followed, Table};
use crate::ingest::now;

/// Bytes of a piece: a broker takes messages of up to a mebibyte, unless it is told otherwise.
const PIECE: usize = 512 << 10;

/// What is known of uploaded bytes, without the bytes: those are read from the log when they are needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Bytes.
    pub size: u64,
    /// How many pieces they are cut into.
    pub pieces: u32,
    /// `transform` or `aggregate`.
    pub world: String,
    /// Whether the plugin brings a JSON Schema of its configuration.
    pub config_schema: bool,
}

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// SHA-256 of the bytes, in hex.
    pub digest: String,
    /// The name of the token that was used.
    pub by: Option<String>,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub at: i64,
}

/// What the log holds of plugins.
#[derive(Debug, Default)]
pub struct Library {
    names: BTreeMap<String, Named>,
    manifests: BTreeMap<String, Manifest>,
    /// Where the pieces stand, by digest and number.
    pieces: BTreeMap<(String, u32), Offset>,
}

/// Why the bytes of a plugin cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A piece is missing.
    #[error("the log does not hold the whole plugin with digest {0}; push it again")]
    Incomplete(String),
}

impl Table for Library {
    const TOPIC: &'static str = "azenha.plugins";

    fn apply(&mut self, offset: Offset, key: &str, value: Option<&[u8]>) {
        let Some(value) = value else { return };
        let outcome = match key.split('/').collect::<Vec<_>>()[..] {
            ["piece", digest, number] => number.parse().map_err(|_| "no number").map(|number| {
                self.pieces.insert((digest.to_owned(), number), offset);
            }),
            ["plugin", digest] => serde_json::from_slice(value).map_err(|_| "no manifest").map(|manifest| {
                self.manifests.insert(digest.to_owned(), manifest);
            }),
            ["name", name] => serde_json::from_slice(value).map_err(|_| "no digest").map(|named| {
                self.names.insert(name.to_owned(), named);
            }),
            _ => Err("an unknown key"),
        };
        if let Err(problem) = outcome {
            tracing::error!(offset, key, problem, "a record of `{}` is passed over", Self::TOPIC);
        }
    }
}

impl Library {
    /// What every name means, by name.
    pub fn names(&self) -> &BTreeMap<String, Named> {
        &self.names
    }

    /// What is known of a digest whose pieces are all there.
    pub fn manifest(&self, digest: &str) -> Option<&Manifest> {
        let manifest = self.manifests.get(digest)?;
        self.offsets(digest, manifest).map(|_| manifest)
    }

    /// Where the pieces of a digest stand, in order; none if one is missing.
    fn offsets(&self, digest: &str, manifest: &Manifest) -> Option<Vec<Offset>> {
        (0..manifest.pieces).map(|number| self.pieces.get(&(digest.to_owned(), number)).copied()).collect()
    }
}

impl Followed<Library> {
    /// Gives a name to a plugin, whose bytes are written unless they are there already.
    pub async fn push(&self, name: &str, plugin: &Plugin, bytes: &[u8], by: Option<String>) -> Result<(), LogError> {
        self.catch_up().await?;
        let digest = plugin.digest();
        if self.look(|library| library.manifest(digest).is_none()) {
            self.write(plugin, bytes).await?;
        }
        let named = Named { digest: digest.to_owned(), by, at: now() };
        self.append(&[(format!("name/{name}"), Some(json(&named)))]).await?;
        self.catch_up().await
    }

    async fn write(&self, plugin: &Plugin, bytes: &[u8]) -> Result<(), LogError> {
        let digest = plugin.digest();
        let pieces = bytes.chunks(PIECE);
        let manifest = Manifest {
            size: bytes.len() as u64,
            pieces: pieces.len() as u32,
            world: plugin.world().to_string(),
            config_schema: plugin.config_schema().is_some(),
        };
        for (number, piece) in pieces.enumerate() {
            self.append(&[(format!("piece/{digest}/{number}"), Some(piece.to_vec()))]).await?;
        }
        self.append(&[(format!("plugin/{digest}"), Some(json(&manifest)))]).await
    }

    /// The bytes of a digest. Whether they are is for whoever loads them to check.
    pub async fn bytes(&self, digest: &str) -> Result<Vec<u8>, LibraryError> {
        let incomplete = || LibraryError::Incomplete(digest.to_owned());
        let find = |library: &Library| library.offsets(digest, library.manifests.get(digest)?);
        let mut bytes = Vec::new();
        for offset in self.look(find).ok_or_else(incomplete)? {
            bytes.extend(self.value_at(offset).await?.ok_or_else(incomplete)?);
        }
        Ok(bytes)
    }
}

/// The record of something that has only texts and numbers, which cannot fail.
pub(super) fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}
