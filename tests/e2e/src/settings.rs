//! What a person may set for a run of the tests.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whether tests that have a long form run it (`tests/run --long`).
pub fn is_long() -> bool {
    env::var_os("AZENHA_TEST_LONG").is_some()
}

/// The seed of what is random in a test: AZENHA_TEST_SEED, or another one each time. It is printed.
pub fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    let seed = env::var("AZENHA_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(now);
    println!("AZENHA_TEST_SEED={seed}");
    seed
}
