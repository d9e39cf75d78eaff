//! Where the HTTP API listens, how what is said there is encrypted, and how much one may ask.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::access::{self, AccessToken, TokenDef};
use crate::yaml::{Report, Spanned, from_keys};

/// `http` in the host's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Who may use it; none: everybody on this machine, but nobody uploads plugins.
    pub tokens: Vec<AccessToken>,
    /// Who encrypts what is said.
    pub tls: Tls,
    /// The requests that one token, or one address without a token, may make a second.
    pub requests_per_second: u32,
}

/// Who encrypts what is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Nobody: only this machine hears it.
    Off,
    /// The host.
    Here {
        /// Its certificate and those that vouch for it, as PEM.
        certificate: PathBuf,
        /// The certificate's private key, as PEM.
        key: PathBuf,
    },
    /// A proxy in front of it; nobody else reaches the address.
    Proxy,
}

impl Default for HttpConfig {
    fn default() -> Self {
        let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
        Self { listen, tokens: Vec::new(), tls: Tls::Off, requests_per_second: 1_000 }
    }
}

impl HttpConfig {
    /// Why the API must not listen at an address; none if it may.
    pub fn unsafe_at(&self, address: SocketAddr) -> Option<String> {
        let lack = match (self.tokens.is_empty(), self.tls == Tls::Off) {
            _ if address.ip().is_loopback() => return None,
            (false, false) => return None,
            (true, false) => "there are no tokens to ask for",
            (false, true) => "nothing encrypts what is said there, tokens among it",
            (true, true) => "there are no tokens to ask for, and nothing encrypts what is said there",
        };
        Some(format!("{address} can be reached from other machines, and {lack}"))
    }
}

/// What helps against [`HttpConfig::unsafe_at`].
pub const ADDRESS_HELP: &str = "listen at `127.0.0.1` or `[::1]`, or write in the host's configuration who may ask and \
     how it is encrypted: `http: { tokens: [{ name: …, token: \"${…:?}\", role: viewer }], tls: { certificate: …, key: … } }`, \
     with `behind_proxy: true` for `tls` where a proxy ends TLS and nobody else reaches the address";

/// `http` as the file has it.
#[derive(Default)]
pub(crate) struct HttpDef {
    listen: Option<Spanned<String>>,
    tokens: Option<Vec<TokenDef>>,
    tls: Option<TlsDef>,
    behind_proxy: Option<Spanned<bool>>,
    requests_per_second: Option<Spanned<u32>>,
}
from_keys!(
    HttpDef, "`http`",
    required: [],
    optional: [listen, tokens, tls, behind_proxy, requests_per_second]
);

struct TlsDef {
    certificate: String,
    key: String,
}
from_keys!(TlsDef, "`tls`", required: [certificate, key], optional: []);

impl HttpDef {
    /// The configuration, with defaults for what the file leaves out.
    pub fn checked(self, report: &mut Report) -> HttpConfig {
        let default = HttpConfig::default();
        let tokens = access::checked(self.tokens.unwrap_or_default(), report);
        let tls = match (self.tls, &self.behind_proxy) {
            (Some(_), Some(Spanned { value: true, place })) => {
                report
                    .error(*place, "`tls` says that the host encrypts, and this that a proxy does")
                    .suggest("keep one");
                Tls::Off
            }
            (Some(TlsDef { certificate, key }), _) => Tls::Here { certificate: certificate.into(), key: key.into() },
            (None, Some(Spanned { value: true, .. })) => Tls::Proxy,
            (None, _) => Tls::Off,
        };
        if let (Tls::Proxy, true, Some(behind_proxy)) = (&tls, tokens.is_empty(), &self.behind_proxy) {
            report
                .error(
                    behind_proxy.place,
                    "whoever comes through the proxy seems to be on this machine, and there are no tokens",
                )
                .suggest("name who may ask: `tokens: [{ name: …, token: \"${…:?}\", role: viewer }]`");
        }
        let requests_per_second = self.requests_per_second.map_or(default.requests_per_second, |number| {
            if number.value == 0 {
                report.error(number.place, "this cannot be zero").suggest("leave it out for the default");
            }
            number.value
        });
        let checked = HttpConfig { tokens, tls, requests_per_second, ..default };
        match self.listen.and_then(|listen| parse_listen(&listen, &checked, report)) {
            Some(listen) => HttpConfig { listen, ..checked },
            None => checked,
        }
    }
}

fn parse_listen(listen: &Spanned<String>, http: &HttpConfig, report: &mut Report) -> Option<SocketAddr> {
    let address: Option<SocketAddr> = listen.value.parse().ok();
    if address.is_none() {
        report
            .error(listen.place, "this is not an address to listen at")
            .suggest("write an IP address and a port: `127.0.0.1:8080`, `[::1]:8080`");
    }
    if let Some(reason) = address.and_then(|address| http.unsafe_at(address)) {
        report.error(listen.place, reason).suggest(ADDRESS_HELP);
    }
    address
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::access::Role;
    use crate::config::HostConfig;

    const TOKEN: &str = "tokens: [{ name: ci, token: ci-0123456789abcdef, role: operator }]";

    fn parse(http: &str) -> Result<HttpConfig, String> {
        let parsed = HostConfig::parse("host.yaml", &format!("http: {{ {http} }}"), &|_| None, Path::new("data"));
        parsed.map(|config| config.http).map_err(|errors| errors.to_string())
    }

    #[test]
    fn beyond_this_machine_there_have_to_be_tokens_and_encryption() {
        for (more, lack) in [
            (String::new(), "no tokens to ask for, and nothing encrypts"),
            ("tls: { certificate: a.crt, key: a.key }".to_owned(), "no tokens to ask for"),
            (TOKEN.to_owned(), "nothing encrypts what is said there"),
            (format!("{TOKEN}, behind_proxy: false"), "nothing encrypts what is said there"),
        ] {
            for address in ["0.0.0.0:8080", "[::]:8080", "10.0.0.7:80"] {
                let refused = parse(&format!("listen: '{address}', {more}")).unwrap_err();
                assert!(refused.contains(lack) && refused.contains("behind_proxy"), "{more}: {refused}");
            }
            assert!(parse(&format!("listen: '127.0.0.1:8080', {more}")).is_ok(), "{more}");
        }
        let proxied = parse(&format!("listen: '0.0.0.0:8080', {TOKEN}, behind_proxy: true")).unwrap();
        assert_eq!(proxied.tls, Tls::Proxy);
        let own =
            parse(&format!("listen: '0.0.0.0:8080', {TOKEN}, tls: {{ certificate: a.crt, key: a.key }}")).unwrap();
        assert_eq!(own.tls, Tls::Here { certificate: "a.crt".into(), key: "a.key".into() });
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (http, problem) in [
            ("tls: { certificate: a.crt }", "needs `key`"),
            ("tls: { certificate: a.crt, key: a.key }, behind_proxy: true", "keep one"),
            ("behind_proxy: true", "there are no tokens"),
            ("requests_per_second: 0", "cannot be zero"),
            ("tokens: [{ name: ci, token: ci-0123456789abcdef }]", "needs `role`"),
            ("tokens: [{ name: ci, token: ci-0123456789abcdef, role: root }]", "viewer"),
            ("tokens: [{ name: ci, token: short, role: viewer }]", "too short"),
        ] {
            let refused = parse(http).unwrap_err();
            assert!(refused.contains(problem) && !refused.contains("0123456789"), "{http}: {refused}");
        }
    }

    #[test]
    fn each_role_may_do_what_those_before_it_may() {
        assert!(Role::ALL.is_sorted());
        let [token] = &parse(TOKEN).unwrap().tokens[..] else { panic!("one token") };
        assert_eq!((token.name.as_str(), token.role), ("ci", Role::Operator));
    }
}
