//! Indexes of Elasticsearch and OpenSearch.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking, in their helpers too")]

mod failures;
mod fixture;
mod indexes;
mod store;
