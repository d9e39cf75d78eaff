//! Who may use the HTTP API, and for what.

use std::fmt;

use crate::yaml::{FromNode, Node, Report, Spanned, Value, from_keys, word};

/// What a token allows. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// To see what runs: state, offsets, metrics, definitions, live rows, answers, the record of changes.
    Viewer,
    /// To keep it running: pause, resume, restart, offsets, dead letters, runs, records in.
    Operator,
    /// To say what runs: definitions, and plugins, which are code that every host will run.
    Deployer,
}

impl Role {
    /// Every role, the one that may least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Deployer];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Deployer => "deployer",
        })
    }
}

impl FromNode for Role {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let words = Self::ALL.map(|role| (role.to_string(), role));
        word(node, &words.each_ref().map(|(word, role)| (word.as_str(), *role)), report)
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
    pub role: Role,
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
    role: Role,
}
from_keys!(TokenDef, "a token", required: [name, token, role], optional: []);

/// The tokens of the file; those that cannot be told apart are errors.
pub(crate) fn checked(tokens: Vec<TokenDef>, report: &mut Report) -> Vec<AccessToken> {
    let mut checked: Vec<AccessToken> = Vec::new();
    for TokenDef { name, token, role } in tokens {
        if checked.iter().any(|other| other.name == name.value) {
            report.error(name.place, format!("another token is called `{}`", name.value)).suggest("rename one of them");
        }
        if checked.iter().any(|other| other.secret == token.value) {
            report.error(token.place, "another token has the same text").suggest("give each a text of its own");
        }
        checked.push(AccessToken { name: name.value, secret: token.value, role });
    }
    checked
}
