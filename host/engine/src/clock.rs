//! Time, as it is handed to the engine: it never asks the system itself, so that runs can be simulated.

use std::time::{Duration, Instant};

/// A clock that never goes back.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Time since some fixed moment.
    fn elapsed(&self) -> Duration;
}

/// The machine's monotonic clock.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock that starts at zero now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
