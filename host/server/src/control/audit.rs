//! Who changed what: a topic that every host of the group writes to, and that nothing is deleted from.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Array, BinaryArray};
use azenha_engine::log::{Append, Log, LogError, ReadLimit};
use azenha_model::plan::{TopicKind, TopicSpec};
use azenha_model::{Offset, Records};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::definition::Definition;
use super::library::json;
use crate::ingest::now;

/// Where it is written.
const TOPIC: &str = "azenha.audit";

/// A change that somebody asked for, and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// When it ended: microseconds since 1970-01-01T00:00:00Z.
    pub at: i64,
    /// The name of the token that was used; none on a host without tokens, or if nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The role of whoever asked: `viewer`, `operator` or `deployer`; `host` if nobody did, and a host went back by itself.
    pub role: String,
    /// The address that the request came from; behind a proxy it is the proxy's. `itself` if a host did it by itself.
    pub from: String,
    /// PUT, POST, PATCH or DELETE.
    pub method: String,
    /// What it was asked of: the path, with its parameters.
    pub path: String,
    /// What was answered: below 300 it was done.
    pub status: u16,
    /// What is in force after it, if the answer says so: the version of a definition, the digest of a plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Entry {
    /// A host went back by itself to another version, and this is in force since.
    pub fn by_itself(changed: &Definition, to: u64) -> Self {
        Self {
            at: now(),
            by: None,
            role: "host".to_owned(),
            from: "itself".to_owned(),
            method: "POST".to_owned(),
            path: format!("/pipelines/{}/rollback?to={to}", changed.pipeline),
            status: 200,
            version: Some(changed.version().to_string()),
        }
    }
}

/// An entry, and where it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct Written {
    /// Its offset in the topic.
    pub offset: Offset,
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
}

/// The topic of changes.
#[derive(Debug)]
pub struct Audit(Arc<dyn Log>);

impl Audit {
    /// Makes the topic if it is missing.
    pub async fn open(log: &Arc<dyn Log>) -> Result<Self, LogError> {
        // Each entry has a key of its own, so that none takes the place of another.
        let topic = TopicSpec { name: TOPIC.to_owned(), partitions: 1, kind: TopicKind::Compacted };
        log.ensure_topic(&topic).await?;
        Ok(Self(Arc::clone(log)))
    }

    /// Writes an entry. What was changed is changed already: where this fails, the host's log has the entry instead.
    pub async fn write(&self, entry: &Entry) {
        let keys = BinaryArray::from_iter_values([uuid::Uuid::new_v4().as_bytes()]);
        let values = BinaryArray::from_iter_values([json(entry)]);
        let records = Records { timestamps: vec![now()], keys, values };
        let append = Append { topic: TOPIC.to_owned(), partition: 0, records };
        if let Err(error) = self.0.append(vec![append]).await {
            tracing::error!(%error, ?entry, "a change was not written to `{TOPIC}`");
        }
    }

    /// At most so many entries from an offset on, or the last ones; and the offset to go on from.
    pub async fn read(&self, from: Option<Offset>, limit: usize) -> Result<(Vec<Written>, Offset), LogError> {
        let bounds = self.0.bounds(TOPIC, 0).await?;
        let last = bounds.end.saturating_sub(limit as Offset);
        let from = from.unwrap_or(last).clamp(bounds.start, bounds.end);
        let limits = ReadLimit { records: limit, bytes: 4 << 20, wait: Duration::ZERO };
        let fetched = self.0.read(TOPIC, 0, from, limits).await?;
        let values = &fetched.records.values;
        let written = fetched.offsets.iter().enumerate().take(limit).filter_map(|(row, offset)| {
            let value = values.is_valid(row).then(|| values.value(row))?;
            Some(Written { offset: *offset, entry: serde_json::from_slice(value).ok()? })
        });
        let next = fetched.offsets.get(limit).copied().unwrap_or(fetched.next);
        Ok((written.collect(), next))
    }
}
