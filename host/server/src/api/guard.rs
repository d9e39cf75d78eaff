//! Who may ask what, and how much at once.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;
use azenha_model::access::{AccessToken, Right};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::error::ApiError;

/// Requests that are worked on at once.
const CONCURRENT: usize = 256;

/// How long one may take; compiling a large plugin takes longest.
const PATIENCE: Duration = Duration::from_secs(120);

/// One refusal is told in this time: whoever tries many tokens does not fill the host's log.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// What tells nobody anything about what runs, so that probes and people need no token for it.
const OPEN: [&str; 4] = ["/livez", "/readyz", "/docs", "/openapi.json"];

/// Who asked: the name of the token; none if the host has no tokens.
#[derive(Debug, Clone)]
pub struct Caller(pub Option<String>);

/// Whether whoever asks for what is open to everybody may also read what runs.
#[derive(Debug, Clone, Copy)]
pub struct MayRead(pub bool);

/// What every request has to pass.
#[derive(Debug)]
pub struct Guard {
    tokens: Vec<(AccessToken, [u8; 32])>,
    slots: Semaphore,
    /// When a refusal was told last.
    told: Mutex<Option<Instant>>,
}

impl Guard {
    /// Lets pass who has one of the tokens; everybody on this machine if there are none.
    pub fn new(tokens: &[AccessToken]) -> Self {
        let known = |token: &AccessToken| (token.clone(), digest(token.secret.reveal()));
        let (tokens, slots) = (tokens.iter().map(known).collect(), Semaphore::new(CONCURRENT));
        Self { tokens, slots, told: Mutex::new(None) }
    }

    fn admit(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Caller, ApiError> {
        if OPEN.contains(&path) { Ok(Caller(None)) } else { self.identify(needed(method, path), headers) }
    }

    /// Who asks, if whoever it is has a right.
    fn identify(&self, right: Right, headers: &HeaderMap) -> Result<Caller, ApiError> {
        if self.tokens.is_empty() {
            return admit_neighbour(right, headers);
        }
        let token = self.token(headers).ok_or_else(|| {
            ApiError::unauthorized("this host wants a token that it knows")
                .help("send `Authorization: Bearer …`; the host's configuration names the tokens under `http`")
        })?;
        if !token.rights.contains(&right) {
            let refused = format!("token `{}` does not have the right `{right}`", token.name);
            return Err(
                ApiError::forbidden(refused).help("add it to `rights` of the token in the host's configuration")
            );
        }
        Ok(Caller(Some(token.name.clone())))
    }

    /// A place among the requests that are worked on; probes need none, because they have to be answered when all are
    /// taken, too.
    fn slot(&self, path: &str) -> Result<Option<SemaphorePermit<'_>>, ApiError> {
        if OPEN.contains(&path) {
            return Ok(None);
        }
        let busy = |_| ApiError::unavailable(format!("{CONCURRENT} requests are being worked on")).help("try again");
        self.slots.try_acquire().map(Some).map_err(busy)
    }

    fn tell_refusal(&self, request: &Request) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            *told = Some(Instant::now());
            let token = self.token(request.headers()).map(|token| token.name.as_str());
            let (method, path) = (request.method(), request.uri().path());
            tracing::warn!(%method, path, token, "a request was refused");
        }
    }

    /// Every known token is compared, and of digests: the time that takes tells nothing of any of them.
    fn token(&self, headers: &HeaderMap) -> Option<&AccessToken> {
        let sent = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, sent) = sent.split_once(' ')?;
        let sent = scheme.eq_ignore_ascii_case("bearer").then(|| digest(sent.trim()))?;
        let equal =
            |known: &[u8; 32]| known.iter().zip(&sent).fold(0, |differs, (left, right)| differs | (left ^ right)) == 0;
        self.tokens.iter().fold(None, |found, (token, known)| if equal(known) { Some(token) } else { found })
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn needed(method: &Method, path: &str) -> Right {
    match *method {
        Method::GET | Method::HEAD => Right::Read,
        Method::PUT | Method::DELETE if path.starts_with("/plugins/") => Right::Plugins,
        _ => Right::Write,
    }
}

/// Without tokens whoever works on this machine may do all but upload code. A web page may not: not even one that got
/// a name of its own to lead here.
fn admit_neighbour(right: Right, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let named = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if !named(HOST).is_some_and(is_loopback) {
        return Err(
            ApiError::forbidden("`Host` names another machine than this one").help("ask 127.0.0.1 or localhost")
        );
    }
    let origin = named(ORIGIN).map(|origin| origin.split_once("://").map_or("", |(_, host)| host));
    if !origin.is_none_or(is_loopback) {
        return Err(ApiError::forbidden("a page of another origin asks")
            .help("give the host tokens: `http: { tokens: […] }` in its configuration"));
    }
    if right == Right::Plugins {
        return Err(ApiError::forbidden("uploading code needs a token, and this host has none").help(
            "`http: { tokens: [{ name: …, token: \"${AZENHA_TOKEN:?}\", rights: [read, write, plugins] }] }` in its \
             configuration",
        ));
    }
    Ok(Caller(None))
}

/// Whether `host:port` is this machine, by a name that nobody else can give.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Lets a request pass, or says why not.
pub async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let admitted = guard.admit(request.method(), request.uri().path(), request.headers());
    let caller = admitted.inspect_err(|_| guard.tell_refusal(&request))?;
    request.extensions_mut().insert(caller);
    if OPEN.contains(&request.uri().path()) {
        let may_read = guard.identify(Right::Read, request.headers()).is_ok();
        request.extensions_mut().insert(MayRead(may_read));
    }
    let _slot = guard.slot(request.uri().path())?;
    timeout(PATIENCE, next.run(request)).await.map_err(|_| {
        ApiError::unavailable(format!("this took longer than {} s; it may still happen", PATIENCE.as_secs()))
    })
}

#[cfg(test)]
mod tests {
    use azenha_model::config::HostConfig;

    use super::*;

    const TOKENS: &str = "http: { tokens: [
        { name: looks, token: looks-0123456789, rights: [read] },
        { name: all, token: all-0123456789abc, rights: [read, write, plugins] } ] }";

    fn with_tokens() -> Guard {
        let config = HostConfig::parse("host.yaml", TOKENS, &|_| None, std::path::Path::new("data")).unwrap();
        Guard::new(&config.tokens)
    }

    fn headers(headers: &[(axum::http::HeaderName, &'static str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn status(guard: &Guard, method: Method, path: &str, headers: &HeaderMap) -> u16 {
        guard.admit(&method, path, headers).map_or_else(|error| error.status().as_u16(), |_| 200)
    }

    #[test]
    fn a_token_allows_what_its_rights_say() {
        let guard = with_tokens();
        let bearer = |token| headers(&[(AUTHORIZATION, token)]);
        for (token, get, post, upload) in [
            ("Bearer looks-0123456789", 200, 403, 403),
            ("bearer all-0123456789abc", 200, 200, 200),
            ("Bearer all-0123456789ab", 401, 401, 401),
            ("Basic all-0123456789abc", 401, 401, 401),
            ("Bearer ", 401, 401, 401),
        ] {
            let headers = bearer(token);
            assert_eq!(status(&guard, Method::GET, "/metrics", &headers), get, "{token}");
            assert_eq!(status(&guard, Method::POST, "/pipelines/shop/pause", &headers), post, "{token}");
            assert_eq!(status(&guard, Method::PUT, "/plugins/count", &headers), upload, "{token}");
            assert_eq!(status(&guard, Method::DELETE, "/plugins/0a1b", &headers), upload, "{token}");
        }
        assert_eq!(status(&guard, Method::GET, "/pipelines", &HeaderMap::new()), 401);
        assert_eq!(status(&guard, Method::GET, "/livez", &HeaderMap::new()), 200);
    }

    #[test]
    fn probes_are_answered_when_every_slot_is_taken() {
        let guard = with_tokens();
        let _all = guard.slots.try_acquire_many(CONCURRENT as u32).unwrap();
        assert!(guard.slot("/metrics").is_err());
        assert!(guard.slot("/livez").is_ok() && guard.slot("/readyz").is_ok());
    }

    #[test]
    fn without_tokens_only_this_machine_may_ask_and_nobody_uploads() {
        let guard = Guard::new(&[]);
        for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"] {
            assert_eq!(status(&guard, Method::PUT, "/pipelines/shop", &headers(&[(HOST, host)])), 200, "{host}");
            assert_eq!(status(&guard, Method::PUT, "/plugins/count", &headers(&[(HOST, host)])), 403, "{host}");
        }
        for host in ["azenha.example:8080", "127.0.0.1.example", "localhost.example", "10.0.0.1", ""] {
            assert_eq!(status(&guard, Method::GET, "/pipelines", &headers(&[(HOST, host)])), 403, "{host}");
        }
        assert_eq!(status(&guard, Method::GET, "/pipelines", &HeaderMap::new()), 403);
    }

    #[test]
    fn a_page_of_another_origin_may_not_ask() {
        let guard = Guard::new(&[]);
        for (origin, expected) in
            [("http://localhost:3000", 200), ("https://shop.example", 403), ("null", 403), ("http://127.0.0.1", 200)]
        {
            let headers = headers(&[(HOST, "127.0.0.1:8080"), (ORIGIN, origin)]);
            assert_eq!(status(&guard, Method::POST, "/pipelines/shop/pause", &headers), expected, "{origin}");
        }
    }
}
