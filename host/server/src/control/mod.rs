//! What a group of hosts runs is kept in its log: definitions of pipelines, and plugins. Every host follows both topics
//! and so comes to the same conclusions. A third topic says who changed what.

mod audit;
mod change;
mod definition;
mod follow;
mod library;

use std::collections::BTreeMap;
use std::sync::Arc;

use azenha_engine::log::{Log, LogError};
use futures::future::join;

pub use audit::{Audit, Entry, Written};
pub use change::{ATTEMPTS, Change, ChangeError, Condition};
pub use definition::{Definition, Definitions, FORMAT, Version};
pub use follow::Followed;
pub use library::{Library, LibraryError};

/// What the log says.
#[derive(Debug)]
pub struct Control {
    /// Of pipelines.
    pub definitions: Followed<Definitions>,
    /// Of plugins.
    pub plugins: Followed<Library>,
    /// Of who changed what.
    pub audit: Audit,
}

impl Control {
    /// Reads what the log says up to now.
    pub async fn open(log: &Arc<dyn Log>) -> Result<Self, LogError> {
        let (definitions, plugins) = (Followed::open(log).await?, Followed::open(log).await?);
        Ok(Self { definitions, plugins, audit: Audit::open(log).await? })
    }

    /// Reads what comes, and never ends.
    pub async fn follow(&self) {
        join(self.definitions.follow(), self.plugins.follow()).await;
    }

    /// The digests of those of the plugins that were uploaded, as their names are understood now.
    pub async fn pin(&self, plugins: impl Iterator<Item = String>) -> Result<BTreeMap<String, String>, LogError> {
        self.plugins.catch_up().await?;
        Ok(self.plugins.look(|library| {
            let digest = |name: String| library.names().get(&name).map(|named| (name, named.digest.clone()));
            plugins.filter_map(digest).collect()
        }))
    }
}
