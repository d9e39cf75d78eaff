//! Where the work of stores is done.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;

use super::failure::Failure;

/// After this long without an answer a store counts as unavailable.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a store's work on its runtime, for a limited time: lanes commit from threads whose runtimes need neither timers
/// nor I/O.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    runtime: Handle,
    pub timeout: Duration,
}

impl Worker {
    /// One that works on the runtime of the caller.
    pub fn here() -> Self {
        Self { runtime: Handle::current(), timeout: TIMEOUT }
    }

    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let timeout = self.timeout;
        match self.runtime.spawn(async move { tokio::time::timeout(timeout, work).await }).await {
            Ok(Ok(done)) => done,
            Ok(Err(elapsed)) => Err(Failure::Unavailable(elapsed.into())),
            Err(stopped) => Err(Failure::Unavailable(stopped.into())),
        }
    }
}
