//! Who may use the HTTP API, and for what.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use crate::yaml::{FromNode, Node, Report, Spanned, Value, from_keys, word};

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// To see what runs: state, offsets, metrics, definitions, live rows.
    Read,
    /// To change what runs, and to write records.
    Write,
    /// To upload plugins: code that every host will run.
    Plugins,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Plugins => "plugins",
        })
    }
}

impl FromNode for Right {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let words = [Self::Read, Self::Write, Self::Plugins].map(|right| (right.to_string(), right));
        word(node, &words.each_ref().map(|(word, right)| (word.as_str(), *right)), report)
    }
}

/// Somebody who may use the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// What the records of changes call whoever has it.
    pub name: String,
    /// What requests carry as `Authorization: Bearer …`.
    pub secret: Secret,
    /// What it allows.
    pub rights: BTreeSet<Right>,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, to compare or to send; not for messages.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Tokens that are shorter could be guessed.
const SHORTEST: usize = 16;

/// Messages must not repeat what is found, as those about other texts do.
impl FromNode for Secret {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let text = match &node.value {
            Value::Text(text) | Value::Expanded(text) => text,
            _ => {
                report.error(node.place, "a token is a text").suggest("write `token: \"${NAME:?}\"`");
                return None;
            }
        };
        if text.len() < SHORTEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            report
                .error(node.place, "this token is too short, or has blanks or letters beyond ASCII")
                .suggest(format!("take at least {SHORTEST} letters and digits: `openssl rand -hex 32` makes some"));
        }
        Some(Self(text.clone()))
    }
}

/// A password or token of somebody else's choosing; messages do not repeat it.
pub(crate) struct Hidden(pub Secret);

impl FromNode for Hidden {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Text(text) | Value::Expanded(text) => Some(Self(Secret::from(text.clone()))),
            _ => {
                report.error(node.place, "this is no text").suggest("put it in quotes, or write \"${NAME:?}\"");
                None
            }
        }
    }
}

/// A token as the file has it.
pub(crate) struct TokenDef {
    name: Spanned<String>,
    token: Spanned<Secret>,
    rights: Spanned<Vec<Right>>,
}
from_keys!(TokenDef, "a token", required: [name, token, rights], optional: []);

/// The tokens of the file; those that cannot be told apart are errors.
pub(crate) fn checked(tokens: Vec<TokenDef>, report: &mut Report) -> Vec<AccessToken> {
    let mut checked: Vec<AccessToken> = Vec::new();
    for TokenDef { name, token, rights } in tokens {
        if checked.iter().any(|other| other.name == name.value) {
            report.error(name.place, format!("another token is called `{}`", name.value)).suggest("rename one of them");
        }
        if checked.iter().any(|other| other.secret == token.value) {
            report.error(token.place, "another token has the same text").suggest("give each a text of its own");
        }
        if rights.value.is_empty() {
            report.error(rights.place, "a token without rights is good for nothing").suggest("write `rights: [read]`");
        }
        let rights = rights.value.into_iter().collect();
        checked.push(AccessToken { name: name.value, secret: token.value, rights });
    }
    checked
}

/// Why the API must not listen at an address; none if it may.
pub fn unsafe_address(address: SocketAddr, tokens: &[AccessToken]) -> Option<String> {
    let open = tokens.is_empty() && !address.ip().is_loopback();
    open.then(|| format!("{address} can be reached from other machines, and there are no tokens to ask for"))
}

/// What helps against [`unsafe_address`].
pub const ADDRESS_HELP: &str = "listen at `127.0.0.1` or `[::1]`, or name who may ask: \
     `http: { tokens: [{ name: …, token: \"${…:?}\", rights: [read] }] }` in the host's configuration";
