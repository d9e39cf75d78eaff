//! What a group of hosts runs is defined through the API, and kept in the log.

mod access;
mod definitions;
mod helpers;
mod offsets;
