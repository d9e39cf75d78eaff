//! Dead letters: every kind of them is found, those of plugins are replayed on a machine that has nothing else, and
//! records are put back once.

mod bundles;
mod helpers;
mod kinds;
mod retry;
