//! The sandbox as a whole, with plugins written by hand.

// A fixture that does not work is a test that fails.
#![allow(clippy::expect_used, clippy::panic)]

mod guest;
mod hostile;
mod plugins;
