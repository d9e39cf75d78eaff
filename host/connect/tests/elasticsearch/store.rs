//! Indexes keep the promises of every store.

use azenha_conformance::store_conformance;

use crate::fixture::{ELASTICSEARCH, OPENSEARCH, server};

mod on_elasticsearch {
    use super::*;

    store_conformance!(server(ELASTICSEARCH));
}

mod on_opensearch {
    use super::*;

    store_conformance!(server(OPENSEARCH));
}
