//! What the host keeps beside an instance: the meter of its memory, and its log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;

use crate::bindings::log::{Host, Level};
use crate::limits::Limits;
use crate::words::{MESSAGE, shown};

/// Core instances, memories and tables of one plugin: a component is made of a few modules at most.
const PARTS: usize = 64;

/// The host's side of one instance.
pub struct State {
    log: Arc<Log>,
    /// What the instance holds, and what it was refused.
    pub meter: Meter,
    last_error: Option<String>,
}

impl State {
    /// For an instance of the plugin whose log is `log`.
    pub fn new(log: Arc<Log>, limits: &Limits) -> Self {
        Self { log, meter: Meter::new(limits), last_error: None }
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
        let message = shown(&message, MESSAGE);
        self.log.write(level, &message);
        if level == Level::Error {
            self.last_error = Some(message);
        }
    }
}

/// The log of a loaded plugin. Its instances share it, so that one that replaces another does not start the rate again.
pub struct Log {
    plugin: String,
    rate: Mutex<Rate>,
}

impl Log {
    /// For the plugin called `plugin`.
    pub fn new(plugin: &str, limits: &Limits) -> Self {
        Self { plugin: plugin.to_owned(), rate: Mutex::new(Rate::new(limits.log_lines)) }
    }

    /// The plugin's name.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    fn write(&self, level: Level, message: &str) {
        let admitted = self.rate.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        match admitted {
            Admitted::Yes => pass_on(&self.plugin, level, message),
            Admitted::After(dropped) => {
                pass_on(&self.plugin, Level::Warn, &format!("{dropped} messages were left out: too many a second"));
                pass_on(&self.plugin, level, message);
            }
            Admitted::No => {}
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

    /// Bytes of memory that all parts hold together.
    pub fn memory(&self) -> usize {
        self.memory
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

    fn state(log: &Arc<Log>) -> State {
        State::new(log.clone(), &Limits::default())
    }

    fn log(log_lines: u32) -> Arc<Log> {
        Arc::new(Log::new("p", &Limits { log_lines, ..Limits::default() }))
    }

    #[test]
    fn a_new_instance_does_not_start_the_rate_again() {
        let log = log(0);
        for _ in 0..3 {
            state(&log).write(Level::Info, "again".to_owned());
        }
        assert_eq!(log.rate.lock().unwrap().dropped, 3);
    }

    #[test]
    fn an_error_is_remembered_even_if_it_is_not_passed_on() {
        let mut state = state(&log(0));
        state.write(Level::Error, "boom\x1b[2J".to_owned());
        state.write(Level::Info, "calm".to_owned());
        assert_eq!(state.last_error(), Some(r"boom\u{1b}[2J"));
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
