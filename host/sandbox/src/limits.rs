//! How much a plugin may take.

use std::time::Duration;

/// Bounds on one plugin. Reaching one is a [`Failure`](crate::Failure) of a call or a
/// [`LoadError`](crate::LoadError), never a failure of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory that an instance may hold.
    pub memory_bytes: usize,
    /// How long one call may run; measured in steps of [`Limits::TICK`].
    pub call_time: Duration,
    /// Elements that the tables of an instance may hold.
    pub table_elements: usize,
    /// Bytes of stack that a call may use of the calling thread's; keep it well below what a thread has.
    pub stack_bytes: usize,
    /// Bytes of the file that is loaded.
    pub module_bytes: usize,
    /// Functions in the file.
    pub functions: usize,
    /// Bytes of the longest function: the compiler's time grows faster than its length.
    pub function_bytes: usize,
    /// How long compilation may take.
    pub compile_time: Duration,
    /// Bytes that one call may give back.
    pub output_bytes: usize,
    /// Rows that one call may give for each row of its input ...
    pub output_rows_per_input: usize,
    /// ... and in addition to that, whatever the input.
    pub output_rows: usize,
    /// Rejections of rows, groups or parts of them that one call may give for each row or group that it gets ...
    pub rejections_per_input: usize,
    /// ... and in addition to that, whatever the input.
    pub rejections: usize,
    /// Log lines of a loaded plugin, all its instances together, that are passed on within a second; the rest is
    /// counted.
    pub log_lines: u32,
}

impl Limits {
    /// The step in which the time of a call is measured.
    pub const TICK: Duration = Duration::from_millis(10);

    /// The rows that a call with `input` rows may give.
    pub(crate) fn rows_for(&self, input: usize) -> usize {
        input.saturating_mul(self.output_rows_per_input).saturating_add(self.output_rows)
    }

    /// The rejections that a call with `input` rows or groups may give.
    pub(crate) fn rejections_for(&self, input: usize) -> usize {
        input.saturating_mul(self.rejections_per_input).saturating_add(self.rejections)
    }

    /// The time of a call in ticks. The first tick may come at once, so there is one more.
    pub(crate) fn call_ticks(&self) -> u64 {
        (self.call_time.as_nanos() / Self::TICK.as_nanos()) as u64 + 1
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            call_time: Duration::from_secs(1),
            table_elements: 100_000,
            stack_bytes: 512 << 10,
            module_bytes: 16 << 20,
            functions: 50_000,
            function_bytes: 512 << 10,
            compile_time: Duration::from_secs(30),
            output_bytes: 128 << 20,
            output_rows_per_input: 16,
            output_rows: 10_000,
            rejections_per_input: 2,
            rejections: 64,
            log_lines: 20,
        }
    }
}
