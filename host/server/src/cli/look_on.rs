//! `azenha pipeline apply --wait`: whether what was put into force runs, and stays in force.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Deserialize;
use tokio::time::sleep;

use super::Outcome;
use crate::api::InForce;
use crate::client::Client;

/// How often the host is asked.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a version has to be in at the end: its lanes run here, or on other hosts; a batch waits for its time.
const AT_WORK: [&str; 3] = ["running", "elsewhere", "waiting"];

/// How a pipeline does.
#[derive(Debug, Deserialize)]
struct Seen {
    state: String,
    version: Option<u64>,
    error: Option<String>,
    note: Option<String>,
}

/// Looks for a time at pipelines that were changed. It fails as soon as one of the versions is not in force any more, and in
/// the end if one does not run.
pub async fn look_on(client: &Client, in_force: &[InForce], seconds: u32) -> Result<Outcome> {
    let begun = Instant::now();
    loop {
        let is_over = begun.elapsed() >= Duration::from_secs(seconds.into());
        for InForce { name, version, .. } in in_force.iter().filter(|changed| !changed.paused) {
            let seen: Seen = client.get(&["pipelines", name]).await?;
            if let Some(problem) = seen.problem(*version, is_over) {
                eprintln!("error: pipeline `{name}`: {problem}");
                return Ok(Outcome::Failed);
            }
        }
        if is_over {
            return Ok(Outcome::Done);
        }
        sleep(LOOK_EVERY).await;
    }
}

impl Seen {
    /// What is wrong about a version; before the time is over, only what does not become right.
    fn problem(&self, version: u64, is_over: bool) -> Option<String> {
        let Self { state, version: now, error, note } = self;
        if now.is_none_or(|now| now > version) {
            let now = now.map_or("no version".to_owned(), |now| format!("version {now}"));
            let why = note.as_ref().map_or(String::new(), |note| format!(": {note}"));
            return Some(format!("{now} is in force, and not version {version}{why}"));
        }
        let does_not_run = || error.clone().unwrap_or_else(|| format!("version {version} is {state}"));
        let runs = *now == Some(version) && error.is_none() && AT_WORK.contains(&state.as_str());
        (is_over && !runs).then(does_not_run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(state: &str, version: u64, error: Option<&str>) -> Seen {
        Seen { state: state.to_owned(), version: Some(version), error: error.map(str::to_owned), note: None }
    }

    #[test]
    fn what_may_become_right_is_wrong_only_in_the_end() {
        for starts in [seen("starting", 2, None), seen("running", 2, Some("version 2 does not start"))] {
            assert_eq!(starts.problem(2, false), None);
            assert!(starts.problem(2, true).unwrap().contains("version 2"), "{starts:?}");
        }
        assert_eq!(seen("running", 2, None).problem(2, true), None);
        assert_eq!(seen("elsewhere", 2, None).problem(2, true), None);
    }

    #[test]
    fn another_version_in_force_is_wrong_at_once_with_the_reason() {
        let back = Seen { note: Some("back to version 1 by itself".to_owned()), ..seen("running", 3, None) };
        let problem = back.problem(2, false).unwrap();
        assert!(problem.contains("version 3 is in force") && problem.contains("by itself"), "{problem}");
    }
}
