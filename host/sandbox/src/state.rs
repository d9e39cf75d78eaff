//! What the host keeps beside an instance: the meter of its memory, and its log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;

use crate::bindings::log::{Host, Level};
use crate::limits::Limits;

/// Bytes of a plugin's message that are kept.
const MESSAGE_BYTES: usize = 2048;

/// Core instances, memories and tables of one plugin: a component is made of a few modules at most.
const PARTS: usize = 64;

/// The host's side of one instance.
pub struct State {
    plugin: Arc<str>,
    /// What the instance holds, and what it was refused.
    pub meter: Meter,
    rate: Rate,
    last_error: Option<String>,
}

impl State {
    /// For an instance of the plugin called `plugin`.
    pub fn new(plugin: Arc<str>, limits: &Limits) -> Self {
        Self { plugin, meter: Meter::new(limits), rate: Rate::new(limits.log_lines), last_error: None }
    }

    /// Forgets what happened in the call before.
    pub fn begin_call(&mut self) {
        self.meter.refused = None;
        self.last_error = None;
    }

    /// The last error that the plugin logged during the call. The SDK logs panics in this way.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }
}

impl Host for State {
    fn write(&mut self, level: Level, message: String) {
        let message = shortened(message);
        match self.rate.admit(Instant::now()) {
            Admitted::Yes => pass_on(&self.plugin, level, &message),
            Admitted::After(dropped) => {
                pass_on(&self.plugin, Level::Warn, &format!("{dropped} messages were left out: too many a second"));
                pass_on(&self.plugin, level, &message);
            }
            Admitted::No => {}
        }
        if level == Level::Error {
            self.last_error = Some(message);
        }
    }
}

fn pass_on(plugin: &str, level: Level, message: &str) {
    match level {
        Level::Debug => tracing::debug!(target: "plugin", plugin, "{message}"),
        Level::Info => tracing::info!(target: "plugin", plugin, "{message}"),
        Level::Warn => tracing::warn!(target: "plugin", plugin, "{message}"),
        Level::Error => tracing::error!(target: "plugin", plugin, "{message}"),
    }
}

/// A message of a plugin, cut to a length that logs and dead letters can take.
pub fn shortened(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
        message.push('…');
    }
    message
}

/// Whether a message is passed on.
#[derive(Debug, PartialEq, Eq)]
enum Admitted {
    Yes,
    /// Yes, the first after this many that were not.
    After(u64),
    No,
}

/// At most so many messages within a second.
struct Rate {
    lines: u32,
    second: Option<Instant>,
    admitted: u32,
    dropped: u64,
}

impl Rate {
    fn new(lines: u32) -> Self {
        Self { lines, second: None, admitted: 0, dropped: 0 }
    }

    fn admit(&mut self, now: Instant) -> Admitted {
        if self.second.is_none_or(|start| now.duration_since(start) >= Duration::from_secs(1)) {
            self.second = Some(now);
            self.admitted = 0;
        }
        if self.admitted >= self.lines {
            self.dropped += 1;
            return Admitted::No;
        }
        self.admitted += 1;
        match std::mem::take(&mut self.dropped) {
            0 => Admitted::Yes,
            dropped => Admitted::After(dropped),
        }
    }
}

/// Counts memory and tables of all parts of an instance together, and remembers a refusal: the trap that
/// usually follows says nothing of memory.
pub struct Meter {
    memory_limit: usize,
    memory: usize,
    table_limit: usize,
    table: usize,
    /// What was refused last, for people.
    pub refused: Option<String>,
}

impl Meter {
    fn new(limits: &Limits) -> Self {
        let Limits { memory_bytes: memory_limit, table_elements: table_limit, .. } = *limits;
        Self { memory_limit, memory: 0, table_limit, table: 0, refused: None }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        // The engine refuses what is beyond the memory's own maximum, so that must not be counted.
        if total > self.memory_limit || maximum.is_some_and(|maximum| desired > maximum) {
            let limit = self.memory_limit >> 10;
            self.refused = Some(format!("it asked for {} KiB of memory; the limit is {limit} KiB", total >> 10));
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table.saturating_add(desired.saturating_sub(current));
        if total > self.table_limit || maximum.is_some_and(|maximum| desired > maximum) {
            self.refused = Some(format!("it asked for tables of {total} elements; the limit is {}", self.table_limit));
            return Ok(false);
        }
        self.table = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_beyond_the_rate_are_counted() {
        let mut rate = Rate::new(2);
        let start = Instant::now();
        assert_eq!(rate.admit(start), Admitted::Yes);
        assert_eq!(rate.admit(start), Admitted::Yes);
        assert_eq!(rate.admit(start), Admitted::No);
        assert_eq!(rate.admit(start + Duration::from_millis(999)), Admitted::No);
        assert_eq!(rate.admit(start + Duration::from_secs(1)), Admitted::After(2));
        assert_eq!(rate.admit(start + Duration::from_secs(1)), Admitted::Yes);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = shortened("é".repeat(MESSAGE_BYTES));
        assert_eq!(cut, format!("{}…", "é".repeat(MESSAGE_BYTES / 2)));
        assert_eq!(shortened("short".to_owned()), "short");
    }

    #[test]
    fn an_error_is_remembered_even_if_it_is_not_passed_on() {
        let mut state = State::new("p".into(), &Limits { log_lines: 0, ..Limits::default() });
        state.write(Level::Error, "boom".to_owned());
        state.write(Level::Info, "calm".to_owned());
        assert_eq!(state.last_error(), Some("boom"));
        state.begin_call();
        assert_eq!(state.last_error(), None);
    }

    #[test]
    fn memories_are_counted_together() {
        let mut meter = Meter::new(&Limits { memory_bytes: 4 << 16, ..Limits::default() });
        assert!(meter.memory_growing(0, 3 << 16, None).unwrap());
        assert!(!meter.memory_growing(0, 2 << 16, None).unwrap());
        assert!(meter.refused.take().unwrap().contains("the limit is 256 KiB"));
        assert!(meter.memory_growing(3 << 16, 4 << 16, None).unwrap());
        assert_eq!(meter.refused, None);
    }
}
