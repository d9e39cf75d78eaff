//! What the end-to-end tests share: a directory for each test, the `azenha` binary run as a user runs it, real
//! services that may be broken, and clients of their own for looking at what came out.

pub mod cdp;
mod certificate;
mod clicks;
mod figures;
mod host;
mod hosts;
mod http;
pub mod kafka;
mod lake;
mod mongodb;
pub mod numbered;
pub mod orders;
mod ports;
mod postgres;
mod raw;
mod services;
mod settings;
mod sql;
mod trial;
pub mod versions;
pub mod warehouse;

pub use certificate::Certificate;
pub use clicks::{Click, recount, shuffled, text_of, write_ndjson};
pub use figures::figure;
pub use host::{Azenha, Finished, Running, repository};
pub use hosts::{Group, Host};
pub use http::{Answer, get, post, send};
pub use lake::{BucketLake, LAYERS, Lake, day_of};
pub use mongodb::Mongo;
pub use ports::{free_address, free_port};
pub use postgres::Postgres;
pub use raw::{DAYS, ShopPast, Star};
pub use services::{OwnConnect, OwnDatabase, OwnKafka, OwnObjects, is_there};
pub use settings::{is_long, seed};
pub use sql::{Counts, Database};
pub use trial::Trial;
