//! Indexes of Elasticsearch and OpenSearch.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking, in their helpers too")]

mod dates;
mod failures;
mod fixture;
mod indexes;
mod overload;
mod store;
mod stub;
