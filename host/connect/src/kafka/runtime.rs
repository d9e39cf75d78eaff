//! The runtime that the log was opened on. Callers may be on others, which need neither timers nor threads.

use std::time::Duration;

use azenha_engine::log::LogError;
use tokio::runtime::Handle;

use super::error::storage;

/// Where timers run, and calls that block.
#[derive(Debug, Clone)]
pub(super) struct Runtime(Handle);

impl Runtime {
    /// The caller's, which must be a tokio runtime with timers.
    pub fn current() -> Self {
        Self(Handle::current())
    }

    /// Runs something that nobody waits for.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(work);
    }

    /// Runs a call that waits for the network.
    pub async fn blocking<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> Result<T, LogError> {
        let done = self.0.spawn_blocking(call).await;
        done.map_err(|error| storage("using the log", error))
    }

    pub fn sleep(&self, time: Duration) -> tokio::time::Sleep {
        let _entered = self.0.enter();
        tokio::time::sleep(time)
    }
}
