//! Schema registries: where they are, and what the host says to get in.

use std::path::PathBuf;

use crate::access::{Hidden, Secret};
use crate::yaml::{Report, Spanned, from_keys};

/// The host's schema registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Where its API is, without a slash at the end.
    pub url: String,
    /// What it asks for.
    pub credentials: Option<Credentials>,
    /// A file of certificates (PEM) of authorities that may vouch for it; none: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// URLs of further registries that definitions may name, without a slash at the end. They hear no credentials.
    pub others: Vec<String>,
}

/// What a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// HTTP basic authentication.
    Password {
        /// Who asks.
        username: String,
        /// What only they know.
        password: Secret,
    },
    /// A bearer token.
    Token(Secret),
}

/// `registry` in the host's configuration.
pub(crate) struct RegistryDef {
    url: Spanned<String>,
    username: Option<Spanned<String>>,
    password: Option<Spanned<Hidden>>,
    token: Option<Spanned<Hidden>>,
    ca: Option<String>,
    others: Option<Vec<Spanned<String>>>,
}
from_keys!(RegistryDef, "`registry`", required: [url], optional: [username, password, token, ca, others]);

impl RegistryDef {
    /// The registry; none if the URL is empty, as that of a variable that is not set.
    pub fn checked(self, report: &mut Report) -> Option<RegistryConfig> {
        let place = self.url.place;
        let url = checked_url(&self.url, report);
        let credentials = match (self.username, self.password, self.token) {
            (Some(username), Some(Spanned { value: Hidden(password), .. }), None) => {
                Some(Credentials::Password { username: username.value, password })
            }
            (None, None, token) => token.map(|token| Credentials::Token(token.value.0)),
            _ => {
                report
                    .error(place, "a registry asks for a user's password or for a token")
                    .suggest("write `username: …` and `password: \"${…:?}\"`, or only `token: \"${…:?}\"`");
                None
            }
        };
        let others = self.others.unwrap_or_default();
        let others = others.iter().filter_map(|other| checked_url(other, report)).collect();
        Some(RegistryConfig { url: url?, credentials, ca: self.ca.map(PathBuf::from), others })
    }
}

/// A registry's URL without a slash at the end; none if it is empty or wrong. Messages do not repeat it, because it
/// may hold a password.
pub(crate) fn checked_url(url: &Spanned<String>, report: &mut Report) -> Option<String> {
    let text = url.value.trim_end_matches('/');
    if text.is_empty() {
        return None;
    }
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let authority = host.and_then(|host| host.split(['/', '?', '#']).next()).unwrap_or_default();
    if authority.contains('@') {
        report.error(url.place, "a registry's URL must not hold a password: it shows in messages").suggest(
            "leave out what stands before the `@`, and write `registry: { url: …, username: …, password: \"${…:?}\" }` \
             in the host's configuration",
        );
        return None;
    }
    if authority.is_empty() || text.contains(['?', '#']) || text.contains(char::is_whitespace) {
        report
            .error(url.place, "this is no URL of a registry")
            .suggest("write where its API is: `http://localhost:8081`, `https://registry.example.com/apis/ccompat/v7`");
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::HostConfig;

    fn registry(text: &str) -> Option<RegistryConfig> {
        let environment = |name: &str| (name == "PASSWORD").then(|| "s3cret".to_owned());
        let config = HostConfig::parse("host.yaml", &format!("registry: {text}"), &environment, Path::new("data"));
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        assert!(!format!("{config:?}").contains("s3cret"), "a password is shown");
        config.registry
    }

    #[test]
    fn what_a_registry_asks_for_is_kept_and_not_shown() {
        let config = registry(
            "{ url: 'https://registry/api/', username: me, password: '${PASSWORD}', ca: ./ca.pem, others: ['http://b/'] }",
        );
        let Some(RegistryConfig { url, credentials: Some(Credentials::Password { username, password }), ca, others }) =
            config
        else {
            panic!("{config:?}")
        };
        assert_eq!((url.as_str(), username.as_str(), password.reveal()), ("https://registry/api", "me", "s3cret"));
        assert_eq!((ca.as_deref(), others.as_slice()), (Some(Path::new("./ca.pem")), &["http://b".to_owned()][..]));
        let token = registry("{ url: 'http://registry', token: '${PASSWORD}' }").and_then(|config| config.credentials);
        assert_eq!(token, Some(Credentials::Token(Secret::from("s3cret".to_owned()))));
    }

    #[test]
    fn an_empty_url_is_no_registry() {
        assert_eq!(registry("{ url: '${NOWHERE:-}' }"), None);
    }
}
