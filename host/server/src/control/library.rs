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
        let Some(value) = value else { return self.forget(key) };
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

    /// Every digest whose pieces are all there.
    pub fn digests(&self) -> impl Iterator<Item = &String> {
        self.manifests.keys().filter(|digest| self.manifest(digest).is_some())
    }

    /// What is known of a digest whose pieces are all there.
    pub fn manifest(&self, digest: &str) -> Option<&Manifest> {
        let manifest = self.manifests.get(digest)?;
        self.offsets(digest, manifest).map(|_| manifest)
    }

    fn forget(&mut self, key: &str) {
        match key.split('/').collect::<Vec<_>>()[..] {
            ["piece", digest, number] => {
                let number = number.parse().ok();
                self.pieces.retain(|piece, _| (piece.0.as_str(), Some(piece.1)) != (digest, number));
            }
            ["plugin", digest] => drop(self.manifests.remove(digest)),
            ["name", name] => drop(self.names.remove(name)),
            _ => {}
        }
    }

    /// The keys of all that the log holds of a digest, names that mean it first.
    fn keys(&self, digest: &str) -> Vec<String> {
        let names = self.names.iter().filter(|(_, named)| named.digest == digest);
        let names = names.map(|(name, _)| format!("name/{name}"));
        let manifest = self.manifests.contains_key(digest).then(|| format!("plugin/{digest}"));
        let pieces = self.pieces.keys().filter(|(of, _)| of == digest);
        names.chain(manifest).chain(pieces.map(|(_, number)| format!("piece/{digest}/{number}"))).collect()
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

    /// Removes the bytes of a digest and the names that mean it; false if there are none. That nobody runs them is for
    /// the caller to know.
    pub async fn remove(&self, digest: &str) -> Result<bool, LogError> {
        self.catch_up().await?;
        let tombstones: Vec<_> = self.look(|library| library.keys(digest)).into_iter().map(|key| (key, None)).collect();
        if tombstones.is_empty() {
            return Ok(false);
        }
        self.append(&tombstones).await?;
        self.catch_up().await?;
        Ok(true)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(pieces: u32) -> Vec<u8> {
        json(&Manifest { size: 1, pieces, world: "transform".to_owned(), config_schema: false })
    }

    fn named(digest: &str) -> Vec<u8> {
        json(&Named { digest: digest.to_owned(), by: None, at: 0 })
    }

    fn after(records: &[(&str, &[u8])]) -> Library {
        let mut library = Library::default();
        for (offset, (key, value)) in (0..).zip(records) {
            library.apply(offset, key, Some(value));
        }
        library
    }

    #[test]
    fn a_plugin_is_there_when_all_its_pieces_are_in_whatever_order() {
        let whole = manifest(2);
        let records: [(&str, &[u8]); 3] = [("plugin/d", &whole), ("piece/d/1", b"b"), ("piece/d/0", b"a")];
        for missing in 0..records.len() {
            let mut some = records.to_vec();
            some.remove(missing);
            assert_eq!(after(&some).manifest("d"), None, "without {}", records[missing].0);
        }
        let library = after(&records);
        let found = library.manifest("d").unwrap();
        assert_eq!(library.offsets("d", found), Some(vec![2, 1]));
    }

    #[test]
    fn a_piece_that_was_written_again_is_read_where_it_stands_last() {
        let library = after(&[("piece/d/0", b"a"), ("plugin/d", &manifest(1)), ("piece/d/0", b"a")]);
        assert_eq!(library.offsets("d", library.manifest("d").unwrap()), Some(vec![2]));
    }

    #[test]
    fn a_name_means_what_was_pushed_last() {
        let library = after(&[("name/count", &named("old")), ("name/count", &named("new"))]);
        assert_eq!(library.names()["count"].digest, "new");
    }

    #[test]
    fn nothing_is_left_of_what_was_removed_and_it_can_be_pushed_again() {
        let (whole, own) = (manifest(1), named("d"));
        let records: [(&str, &[u8]); 4] =
            [("piece/d/0", b"a"), ("plugin/d", &whole), ("name/count", &own), ("name/other", &named("e"))];
        let mut library = after(&records);
        let keys = library.keys("d");
        assert_eq!(keys, ["name/count", "plugin/d", "piece/d/0"]);
        keys.iter().for_each(|key| library.apply(9, key, None));
        assert!(library.keys("d").is_empty() && library.manifest("d").is_none() && library.digests().next().is_none());
        assert_eq!(library.names().keys().collect::<Vec<_>>(), ["other"]);
        records.iter().for_each(|(key, value)| library.apply(10, key, Some(value)));
        assert!(library.manifest("d").is_some() && library.names().contains_key("count"));
    }

    #[test]
    fn a_record_that_cannot_be_read_is_passed_over() {
        let library = after(&[("name/count", b"{"), ("piece/d/x", b"a"), ("other", b"a"), ("plugin/d", b"[]")]);
        assert!(library.names().is_empty() && library.manifest("d").is_none());
    }
}
