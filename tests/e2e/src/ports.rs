//! Ports for what a test starts.

use std::iter::repeat_with;
use std::net::TcpListener;
use std::ops::Range;

use anyhow::{Context, Result};

/// They lie below those that the kernel gives to clients, and to whoever binds port 0: nobody gets one of these by chance
/// before it is bound. Most of `tests/services` take theirs above them.
const PORTS: Range<u16> = 10_000..20_000;

/// A port that nobody listens on.
pub fn free_port() -> Result<u16> {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    repeat_with(|| fastrand::u16(PORTS)).take(1_000).find(is_free).context("no port is free")
}

/// An address of this machine that nobody listens on.
pub fn free_address() -> Result<String> {
    Ok(format!("127.0.0.1:{}", free_port()?))
}
