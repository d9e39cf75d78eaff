//! Threads that lanes share. A lane stays on one thread, so that its state needs no lock and a plugin's
//! call may take its time.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::error::EngineError;

type Work = Pin<Box<dyn Future<Output = ()>>>;
type Start = Box<dyn FnOnce() -> Work + Send>;

/// A plugin's stack is bounded by the sandbox; the host's frames come on top.
pub const STACK_BYTES: usize = 8 << 20;

/// Threads that run lanes. They end when this is dropped and their lanes have ended.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<mpsc::UnboundedSender<Start>>,
    next: AtomicUsize,
}

impl Workers {
    /// Starts so many threads.
    pub fn start(count: usize) -> Result<Self, EngineError> {
        let threads = (0..count.max(1)).map(thread).collect::<Result<_, _>>()?;
        Ok(Self { threads, next: AtomicUsize::new(0) })
    }

    /// Runs work on one of the threads, in turn.
    pub fn spawn<F: Future<Output = ()> + 'static>(&self, start: impl FnOnce() -> F + Send + 'static) {
        let thread = self.next.fetch_add(1, Relaxed) % self.threads.len();
        // The threads live as long as this.
        let _ = self.threads[thread].send(Box::new(move || Box::pin(start())));
    }
}

fn thread(number: usize) -> Result<mpsc::UnboundedSender<Start>, EngineError> {
    let failed = |error| EngineError::Setup(format!("cannot start a worker thread: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
    let (sender, mut starts) = mpsc::unbounded_channel::<Start>();
    let work = move || {
        let lanes = LocalSet::new();
        lanes.spawn_local(async move {
            while let Some(start) = starts.recv().await {
                tokio::task::spawn_local(start());
            }
        });
        runtime.block_on(lanes);
    };
    let named = std::thread::Builder::new().name(format!("lanes-{number}")).stack_size(STACK_BYTES);
    named.spawn(work).map_err(failed)?;
    Ok(sender)
}
