//! Object stores, as the engine sees them: a folder, or a bucket on S3 and its like; and how objects are announced.

use std::collections::BTreeMap;

use async_trait::async_trait;
use azenha_model::Offset;
use azenha_model::plan::{Layout, ObjectsOutput};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use crate::end::folders_of;
use crate::spool::Content;
use crate::store::StoreError;

/// An object that a commit makes.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// Its path below the connection's URL.
    pub path: String,
    /// What is in it.
    pub content: Content,
}

/// The record that says that an object is there. It is committed together with the position behind the object's last row,
/// after the object was put. Of what others announce, only the path is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The object's path below the connection's URL.
    pub path: String,
    /// What all objects of the sink stand below.
    #[serde(default)]
    pub table: String,
    /// What is in it: `record`, `lines`, `json` or `parquet`.
    #[serde(default)]
    pub format: String,
    /// The values of the folders that it stands in, by column; null where the column has none.
    #[serde(default)]
    pub partition: BTreeMap<String, Option<String>>,
    /// The topic that its rows came from.
    #[serde(default)]
    pub topic: String,
    /// The partition of that topic.
    #[serde(default)]
    pub topic_partition: u32,
    /// The first offset that was looked at for it.
    #[serde(default)]
    pub from: Offset,
    /// The offset behind the last one.
    #[serde(default)]
    pub to: Offset,
    /// Its rows.
    #[serde(default)]
    pub rows: u64,
    /// Its size.
    #[serde(default)]
    pub bytes: u64,
    /// SHA-256 of its content in hexadecimal digits; empty: whoever announced it did not say.
    #[serde(default)]
    pub sha256: String,
}

impl Announcement {
    /// Announces an object of a sink: `read` is the topic, its partition, and the offsets that the rows came from.
    pub fn of(
        output: &ObjectsOutput,
        object: &NewObject,
        partition: BTreeMap<String, Option<String>>,
        read: (&str, u32, Offset, Offset),
        rows: u64,
    ) -> Self {
        let (topic, topic_partition, from, to) = read;
        Self {
            path: object.path.clone(),
            table: output.path.clone(),
            format: output.layout.to_string(),
            partition,
            topic: topic.to_owned(),
            topic_partition,
            from,
            to,
            rows,
            bytes: object.content.bytes(),
            sha256: object.content.sha256().to_owned(),
        }
    }

    /// What a record announces.
    ///
    /// # Errors
    /// If it announces nothing, for people.
    pub fn read(value: &[u8]) -> Result<Self, String> {
        let read = serde_json::from_slice::<Self>(value);
        let announcement = read.map_err(|error| format!("this is no announcement of an object: {error}"))?;
        match is_path(&announcement.path) {
            true => Ok(announcement),
            false => Err(format!("`{}` is no path of an object", announcement.path.escape_debug())),
        }
    }

    /// How records stand in the object, if it is text: each in a line, unless all of it is one.
    pub fn text_layout(&self) -> Layout {
        if self.format == Layout::Record.to_string() { Layout::Record } else { Layout::Lines }
    }
}

/// Bytes that a path may have, and each name in it.
const LONGEST_PATH: usize = 1_024;
const LONGEST_NAME: usize = 255;

/// Whether every store takes a path.
pub fn is_path(path: &str) -> bool {
    let is_name = |name: &str| {
        !matches!(name, "" | "." | "..")
            && name.len() <= LONGEST_NAME
            && !name.contains(|c: char| c.is_control() || c == '\\')
    };
    path.len() <= LONGEST_PATH && path.split('/').all(is_name) && !path.starts_with(".azenha")
}

/// SHA-256 of a content, in hexadecimal digits.
pub fn sha256(content: &[u8]) -> String {
    hexadecimal(&Sha256::digest(content))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What identifies the content of an object: another content has another tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(pub String);

/// An object that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What is in it.
    pub content: Content,
    /// What identifies the content.
    pub tag: Tag,
}

/// An object of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path below the connection's.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What identifies the content.
    pub tag: Tag,
}

/// What became of an object that was to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It was made.
    Made,
    /// There is one at this path already; it was left as it is.
    Exists,
}

/// What became of an object that was to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement {
    /// It has the new content.
    Done(Tag),
    /// It was not as expected: somebody else wrote it, and it was left as it is.
    Changed,
}

/// Objects by path. Paths are relative to the connection's URL, with `/` between their parts. A reader sees an object
/// whole, before a change or after it.
#[async_trait]
pub trait Objects: Send + Sync + std::fmt::Debug {
    /// Makes the bucket or folder, unless it is there.
    async fn prepare(&self) -> Result<(), StoreError>;

    /// Makes an object, unless one is there; it is durable when this returns, whoever made it.
    async fn create(&self, path: &str, content: Content) -> Result<Creation, StoreError>;

    /// Replaces the content of an object that has this tag; none: makes one where none is. An object that has the new
    /// content already counts as replaced: the answer to an earlier try may have been lost.
    async fn replace(&self, path: &str, content: Content, expected: Option<&Tag>) -> Result<Replacement, StoreError>;

    /// An object; none if there is none. A large one is not in memory.
    async fn get(&self, path: &str) -> Result<Option<Object>, StoreError>;

    /// All objects below a path, in the order of their paths; below an empty one, all there are.
    async fn list(&self, below: &str) -> Result<Vec<Listed>, StoreError>;
}
