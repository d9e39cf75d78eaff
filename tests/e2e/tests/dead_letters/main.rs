//! Dead letters: every kind of them is found and decided once more on a machine that has nothing else, and records are
//! put back once.

mod batches;
mod bundles;
mod helpers;
mod kinds;
mod replays;
mod retry;
mod shipped;
