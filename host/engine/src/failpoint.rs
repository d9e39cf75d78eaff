//! Places at which a test lets the process die at once, to show that a crash there is harmless: every call of a
//! commit has one before and behind it. `docs/architecture.md` says why for each.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Every place, in the order in which a lane comes by; then those where somebody decides on a dead letter.
pub const POINTS: &[&str] = &[
    "lane.taken",
    "lane.restored",
    "commit.prepared",
    "commit.dead_letters_written",
    "objects.promised",
    "objects.put",
    "kafka.begun",
    "kafka.produced",
    "kafka.offsets_sent",
    "kafka.flushed",
    "kafka.committed",
    "sql.begun",
    "sql.position_written",
    "sql.rows_written",
    "sql.committed",
    "mongodb.begun",
    "mongodb.position_written",
    "mongodb.documents_written",
    "mongodb.committed",
    "elasticsearch.begun",
    "elasticsearch.documents_written",
    "elasticsearch.committed",
    "commit.done",
    "purge.begun",
    "purge.done",
    "group.revoked",
    "group.stopped",
    "letter.taken",
    "letter.decided",
];

/// The place at which this process is to die.
struct Armed {
    point: String,
    /// How often it is still passed before.
    passes: AtomicU32,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Lets the process die when it reaches a place: `kafka.produced`, or `kafka.produced:3` the third time.
///
/// # Errors
/// If there is no such place, or one was named before.
pub fn arm(place: &str) -> Result<(), String> {
    let (point, times) = place.split_once(':').unwrap_or((place, "1"));
    let times: u32 = times.parse().map_err(|_| format!("`{times}` is not a number of times"))?;
    if !POINTS.contains(&point) {
        return Err(format!("there is no failpoint `{point}`; there is {}", POINTS.join(", ")));
    }
    let armed = Armed { point: point.to_owned(), passes: AtomicU32::new(times.saturating_sub(1)) };
    ARMED.set(armed).map_err(|_| "a failpoint is armed already".to_owned())
}

/// Dies here if a test wants it: without unwinding, flushing or telling anybody, as by SIGKILL.
pub fn reach(point: &'static str) {
    let Some(armed) = ARMED.get() else { return };
    let passes_on = || armed.passes.fetch_update(Relaxed, Relaxed, |passes| passes.checked_sub(1)).is_ok();
    if armed.point == point && !passes_on() {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_does_not_exist_is_refused() {
        assert!(arm("kafka.nowhere").unwrap_err().contains("kafka.produced"));
        assert!(arm("kafka.produced:often").unwrap_err().contains("often"));
    }
}
