//! The host: command line and HTTP API. The binary is a few lines around this; benchmarks load pipelines with it.

mod api;
mod batch;
mod browse;
pub mod cli;
mod client;
mod connectors;
mod control;
mod dead_letters;
mod feed;
mod histogram;
mod host;
mod ingest;
pub mod load;
mod plugins;
pub mod program;
mod queries;
mod results;
pub mod telemetry;
pub mod usage;
