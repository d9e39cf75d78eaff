//! Tells whoever watches a host that pipelines write dead letters.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::sleep;

use crate::host::{Host, Running};

/// How often the counters are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A pipeline is not spoken of again before so much time has passed.
const QUIET: Duration = Duration::from_secs(10);

/// Warns of the dead letters of every pipeline, and never ends.
pub async fn warn(host: &Host) {
    join_all(host.running().iter().map(warn_of)).await;
}

async fn warn_of(running: &Running) {
    let mut told = 0;
    loop {
        let written = running.dead_letters();
        if written == told {
            sleep(LOOK_INTERVAL).await;
            continue;
        }
        let (pipeline, topic) = (running.name(), &running.pipeline.plan().dead_letters);
        tracing::warn!(pipeline, "dead letters: {} more, in topic `{topic}`", written - told);
        told = written;
        sleep(QUIET).await;
    }
}
