//! What a store has, and what not: a pipeline that asks for more is refused before anything runs.

use crate::connection::StoreKind;
use crate::connection::StoreKind::{Elasticsearch, MongoDb, MySql, Postgres};
use crate::plan::Target;

impl StoreKind {
    /// What it is, for people, if it has no such targets: documents are in MongoDB, indexes in Elasticsearch, and both in
    /// SQLite instead of them.
    pub fn lack_of(self, target: &Target) -> Option<&'static str> {
        Some(match (target, self) {
            (_, kind) if kind.has_objects() => "an object store, which has neither tables nor collections",
            (Target::Table { .. }, MongoDb) => "a MongoDB, which has no tables",
            (Target::Table { .. } | Target::Collection { .. }, Elasticsearch) => {
                "an Elasticsearch, which has indexes only"
            }
            (Target::Table { fulltext }, Postgres) if !fulltext.is_empty() => {
                "a PostgreSQL, in which no full-text index is made"
            }
            (Target::Collection { .. }, Postgres | MySql) => "a database of tables, which has no collections",
            (Target::Index { .. }, Postgres | MySql | MongoDb) => {
                "no search engine: a table of MariaDB or MySQL may have a full-text index"
            }
            _ => return None,
        })
    }

    /// What it is, for people, if it does not find rows by words of their texts.
    pub fn lack_of_search(self) -> Option<&'static str> {
        match self {
            MongoDb => Some("a MongoDB, which answers no queries"),
            kind if kind.has_objects() => Some("an object store, which answers no queries"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_where_there_is_an_index_of_them() {
        let index = Target::Index { search: Vec::new(), language: None, each: None };
        let fulltext = Target::Table { fulltext: vec!["words".to_owned()] };
        for (kind, has_index, has_fulltext, is_searched) in [
            (Elasticsearch, true, false, true),
            (StoreKind::Sqlite, true, true, true),
            (MySql, false, true, true),
            (Postgres, false, false, true),
            (MongoDb, false, false, false),
            (StoreKind::S3, false, false, false),
        ] {
            assert_eq!(kind.lack_of(&index).is_none(), has_index, "{kind:?}");
            assert_eq!(kind.lack_of(&fulltext).is_none(), has_fulltext, "{kind:?}");
            assert_eq!(kind.lack_of_search().is_none(), is_searched, "{kind:?}");
        }
    }
}
