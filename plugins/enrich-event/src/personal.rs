//! What becomes of personal data: it is kept, hashed, or masked.

use std::borrow::Cow;

use azenha_sdk::Problem;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::identifiers::Identifier;

/// A salt that is shorter could be guessed.
const LEAST_SALT: usize = 16;

/// Bytes of a hash that are kept, as two hexadecimal digits each: 128 bits tell any number of people apart.
const HASH_BYTES: usize = 16;

/// What becomes of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// It stays readable.
    #[default]
    Keep,
    /// Equal values stay equal, and nothing else is seen of them.
    Hash,
    /// A part of it stays readable. Different values may become equal, so nobody can be told by them.
    Mask,
}

/// By column.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Personal {
    email: Treatment,
    phone: Treatment,
    document: Treatment,
    cookie: Treatment,
    name: Treatment,
}

/// Treats values.
pub struct Protection {
    personal: Personal,
    salt: String,
}

impl Protection {
    pub fn new(personal: Personal, salt: String) -> Result<Self, Problem> {
        let Personal { email, phone, document, cookie, name } = personal;
        if [email, phone, document, cookie, name].contains(&Treatment::Hash) && salt.len() < LEAST_SALT {
            let message = format!("what is hashed needs a salt of at least {LEAST_SALT} bytes");
            return Err(if salt.is_empty() { Problem::new(message) } else { Problem::at("/salt", message) });
        }
        Ok(Self { personal, salt })
    }

    /// An identifier in its one spelling.
    pub fn identifier(&self, identifier: Identifier, value: String) -> String {
        let treatment = match identifier {
            Identifier::Email => self.personal.email,
            Identifier::Phone => self.personal.phone,
            Identifier::Document => self.personal.document,
            Identifier::Cookie => self.personal.cookie,
        };
        match treatment {
            Treatment::Keep => value,
            Treatment::Hash => self.hash(identifier.column(), &value),
            Treatment::Mask => masked(identifier, &value),
        }
    }

    /// What the person is called.
    pub fn name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self.personal.name {
            Treatment::Keep => Cow::Borrowed(name),
            Treatment::Hash => Cow::Owned(self.hash("name", name)),
            Treatment::Mask => Cow::Owned(initials(name)),
        }
    }

    /// SHA-256 over salt, column and value, each ended by a zero.
    fn hash(&self, column: &str, value: &str) -> String {
        let mut hasher = Sha256::new();
        for part in [&self.salt, column, value] {
            hasher.update(part);
            hasher.update([0]);
        }
        let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
        hasher.finalize()[..HASH_BYTES].iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

/// Characters that a cookie needs to have for its last ones to be shown.
const LONG_COOKIE: usize = 8;

/// `a***@example.com`, `+55*******1234`, `*********25`; of a cookie as of a document, if it is long enough.
fn masked(identifier: Identifier, value: &str) -> String {
    let ending = |kept: usize| value.len().saturating_sub(kept);
    match (identifier, value.split_once('@')) {
        (Identifier::Email, Some((name, domain))) => {
            let first: String = name.chars().take(1).collect();
            format!("{first}***@{domain}")
        }
        (Identifier::Phone, _) => format!("{}*******{}", &value[..3], &value[ending(4)..]),
        (Identifier::Cookie, _) => {
            let letters: Vec<char> = value.chars().collect();
            let kept = if letters.len() < LONG_COOKIE { 0 } else { 2 };
            format!("*********{}", letters[letters.len() - kept..].iter().collect::<String>())
        }
        _ => format!("*********{}", &value[ending(2)..]),
    }
}

/// `A. S.`
fn initials(name: &str) -> String {
    let initial = |word: &str| word.chars().next().map(|letter| format!("{letter}."));
    name.split_whitespace().filter_map(initial).collect::<Vec<_>>().join(" ")
}
