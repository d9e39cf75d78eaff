//! Time, as it is handed to the engine: it never asks the system itself, so that runs can be simulated.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A clock that never goes back.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Time since some fixed moment.
    fn elapsed(&self) -> Duration;

    /// Time that the calling thread has spent on a processor.
    fn busy(&self) -> Duration;
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

    fn busy(&self) -> Duration {
        let spent = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(spent.tv_sec.unsigned_abs(), spent.tv_nsec.unsigned_abs() as u32)
    }
}
