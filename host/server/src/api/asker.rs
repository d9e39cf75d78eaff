//! Who asks, and what they may.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use azenha_model::access::{AccessToken, Role};
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::roles::Needs;

/// Whoever asks, if the host knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// Whoever has a token.
    Named {
        /// The token's name.
        name: String,
        /// What it allows.
        role: Role,
    },
    /// Somebody on this machine, of a host without tokens.
    Neighbour,
}

impl Asker {
    /// The token's name, if one was used.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Named { name, .. } => Some(name),
            Self::Neighbour => None,
        }
    }

    /// What they may do.
    pub fn role(&self) -> Role {
        match self {
            Self::Named { role, .. } => *role,
            Self::Neighbour => Role::Deployer,
        }
    }

    /// Whether they have what is needed.
    pub fn check(&self, needs: Needs) -> Result<(), ApiError> {
        let wanted = match needs {
            Needs::Nothing => return Ok(()),
            Needs::Token(_) if *self == Self::Neighbour => {
                let token = "{ name: …, token: \"${AZENHA_TOKEN:?}\", role: deployer }";
                return Err(ApiError::forbidden("uploading code needs a token, and this host has none")
                    .help(format!("`http: {{ tokens: [{token}] }}` in its configuration")));
            }
            Needs::Role(role) | Needs::Token(role) => role,
        };
        if self.role() < wanted {
            let (name, role) = (self.name().unwrap_or_default(), self.role());
            return Err(ApiError::forbidden(format!("token `{name}` has the role `{role}`; this needs `{wanted}`"))
                .help(format!("use a token with `role: {wanted}`; the host's configuration says who has one")));
        }
        Ok(())
    }
}

/// The tokens that a host knows.
#[derive(Debug)]
pub struct Tokens(Vec<(AccessToken, [u8; 32])>);

impl Tokens {
    /// Those of the configuration.
    pub fn new(tokens: &[AccessToken]) -> Self {
        Self(tokens.iter().map(|token| (token.clone(), digest(token.secret.reveal()))).collect())
    }

    /// Who sends these headers from an address; none if the host does not know them.
    pub fn identify(&self, headers: &HeaderMap, from: IpAddr) -> Option<Asker> {
        if self.0.is_empty() {
            return from.is_loopback().then_some(Asker::Neighbour);
        }
        self.find(headers).map(|token| Asker::Named { name: token.name.clone(), role: token.role })
    }

    /// Every known token is compared, and of digests: the time that takes tells nothing of any of them.
    fn find(&self, headers: &HeaderMap) -> Option<&AccessToken> {
        let sent = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, sent) = sent.split_once(' ')?;
        let sent = scheme.eq_ignore_ascii_case("bearer").then(|| digest(sent.trim()))?;
        let equal =
            |known: &[u8; 32]| known.iter().zip(&sent).fold(0, |differs, (left, right)| differs | (left ^ right)) == 0;
        self.0.iter().fold(None, |found, (token, known)| if equal(known) { Some(token) } else { found })
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// What to say to somebody whom the host does not know.
pub fn unknown() -> ApiError {
    ApiError::unauthorized("this host wants a token that it knows")
        .help("send `Authorization: Bearer …`; the host's configuration names the tokens under `http`")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::http::HeaderValue;
    use azenha_model::config::HostConfig;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn tokens() -> Tokens {
        let text = "http: { tokens: [
            { name: looks, token: looks-0123456789, role: viewer },
            { name: all, token: all-0123456789abc, role: deployer } ] }";
        let config = HostConfig::parse("host.yaml", text, &|_| None, std::path::Path::new("data")).unwrap();
        Tokens::new(&config.http.tokens)
    }

    fn with(sent: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(sent))])
    }

    #[test]
    fn a_token_is_known_by_all_of_its_text() {
        for (sent, name) in [
            ("Bearer looks-0123456789", Some("looks")),
            ("bearer all-0123456789abc", Some("all")),
            ("Bearer all-0123456789ab", None),
            ("Bearer all-0123456789abcd", None),
            ("Basic all-0123456789abc", None),
            ("Bearer ", None),
            ("all-0123456789abc", None),
        ] {
            let asker = tokens().identify(&with(sent), HERE);
            assert_eq!(asker.as_ref().and_then(Asker::name), name, "{sent}");
        }
        assert_eq!(tokens().identify(&HeaderMap::new(), HERE), None);
    }

    #[test]
    fn without_tokens_only_this_machine_is_known_and_uploads_nothing() {
        let open = Tokens::new(&[]);
        assert_eq!(open.identify(&HeaderMap::new(), HERE), Some(Asker::Neighbour));
        assert_eq!(open.identify(&HeaderMap::new(), Ipv4Addr::new(10, 0, 0, 7).into()), None);
        assert!(Asker::Neighbour.check(Needs::Role(Role::Deployer)).is_ok());
        assert_eq!(Asker::Neighbour.check(Needs::Token(Role::Deployer)).unwrap_err().status().as_u16(), 403);
    }

    #[test]
    fn a_role_may_what_it_includes_and_no_more() {
        for role in Role::ALL {
            let asker = Asker::Named { name: "someone".to_owned(), role };
            for wanted in Role::ALL {
                assert_eq!(asker.check(Needs::Role(wanted)).is_ok(), role >= wanted, "{role} {wanted}");
                assert_eq!(asker.check(Needs::Token(wanted)).is_ok(), role >= wanted, "{role} {wanted}");
            }
        }
    }
}
