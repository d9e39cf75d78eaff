//! What stands where an identifier should, and is nobody's: the address that a till types for everybody, a cookie called
//! `null`. Whoever had one of them would be one customer with all others who have it.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::identifiers::Identifier;

/// Values that identify nobody, by column; documents are told by their check digits.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nobodys {
    email: BTreeSet<String>,
    phone: BTreeSet<String>,
    cookie: BTreeSet<String>,
}

impl Nobodys {
    /// In the spelling that identifiers have. A value that has none is unusable anyway.
    pub fn normal(self) -> Self {
        let normal = |identifier: Identifier, values: BTreeSet<String>| -> BTreeSet<String> {
            values.iter().filter_map(|value| identifier.normal(value)).collect()
        };
        Self {
            email: normal(Identifier::Email, self.email),
            phone: normal(Identifier::Phone, self.phone),
            cookie: normal(Identifier::Cookie, self.cookie),
        }
    }

    /// Whether an identifier in its one spelling is among them.
    pub fn contain(&self, identifier: Identifier, value: &str) -> bool {
        match identifier {
            Identifier::Email => self.email.contains(value),
            Identifier::Phone => self.phone.contains(value),
            Identifier::Cookie => self.cookie.contains(value),
            Identifier::Document => false,
        }
    }
}
