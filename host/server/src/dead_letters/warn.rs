//! Tells whoever watches a host that pipelines write dead letters.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::host::Host;

/// How often the counters are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A pipeline is not spoken of again before so much time has passed.
const QUIET: Duration = Duration::from_secs(10);

/// What was told of a pipeline last.
struct Told {
    dead_letters: u64,
    at: Instant,
}

/// Warns of the dead letters of every pipeline, and never ends.
pub async fn warn(host: &Host) {
    let mut told: HashMap<String, Told> = HashMap::new();
    loop {
        for running in host.running() {
            let (pipeline, written) = (running.name(), running.dead_letters());
            let last = told.get(pipeline);
            // A pipeline that was started again counts anew.
            let before = last.map(|last| last.dead_letters).filter(|before| *before <= written).unwrap_or(0);
            if written > before && last.is_none_or(|last| last.at.elapsed() >= QUIET) {
                let topic = &running.dead_letter_topic;
                tracing::warn!(pipeline, "dead letters: {} more, in topic `{topic}`", written - before);
                told.insert(pipeline.to_owned(), Told { dead_letters: written, at: Instant::now() });
            }
        }
        sleep(LOOK_INTERVAL).await;
    }
}
