//! What every request passes: who asks, how much, from where, whether they may; and changes are written down.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::ETAG;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use azenha_model::http::HttpConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::asker::{Asker, Tokens, unknown};
use super::browser::{check_host, check_origin};
use super::error::ApiError;
use super::rates::{Payer, Rates};
use super::roles::{Needs, Route, is_safe};
use crate::control::Entry;
use crate::host::Host;
use crate::ingest::now;

/// Requests that are worked on at once.
const CONCURRENT: usize = 256;

/// How long one may take; compiling a large plugin takes longest.
const PATIENCE: Duration = Duration::from_secs(120);

/// One refusal is told in this time: whoever tries many tokens does not fill the host's log.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// So much of a path is written down.
const PATH_LENGTH: usize = 500;

/// Who asked: the name of the token; none if the host has no tokens.
#[derive(Debug, Clone)]
pub struct Caller(pub Option<String>);

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// What every request has to pass.
pub struct Guard {
    host: Arc<Host>,
    door: Door,
    /// When a refusal was told last.
    told: Mutex<Option<Instant>>,
}

impl Guard {
    /// Lets pass what the host's configuration allows.
    pub fn new(host: Arc<Host>) -> Self {
        let door = Door::new(&host.config().http);
        Self { host, door, told: Mutex::new(None) }
    }

    fn tell_refusal(&self, request: &Request, asker: Option<&Asker>, from: IpAddr) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            *told = Some(Instant::now());
            let (method, path, token) = (request.method(), request.uri().path(), asker.and_then(Asker::name));
            tracing::warn!(%method, path, token, %from, "a request was refused");
        }
    }

    /// Answers in a task of its own: whoever asked may go away, and what they changed is written down all the same.
    async fn change(
        self: Arc<Self>,
        route: Route,
        request: Request,
        next: Next,
        entry: Entry,
    ) -> Result<Response, ApiError> {
        let slot = self.door.slot(route)?;
        let answering = tokio::spawn(async move {
            let _slot = slot;
            let response = next.run(request).await;
            self.host.control().audit.write(&ended(entry, &response)).await;
            response
        });
        let answered = timeout(PATIENCE, answering).await.map_err(|_| too_long())?;
        answered.map_err(|error| anyhow::Error::from(error).into())
    }
}

/// Decides who may ask what, and how much.
#[derive(Debug)]
struct Door {
    tokens: Tokens,
    rates: Rates,
    slots: Arc<Semaphore>,
}

impl Door {
    fn new(http: &HttpConfig) -> Self {
        let (tokens, rates) = (Tokens::new(&http.tokens), Rates::new(http.requests_per_second));
        Self { tokens, rates, slots: Arc::new(Semaphore::new(CONCURRENT)) }
    }

    /// Refuses what is too much of one caller. Probes are answered whatever else is asked.
    fn count(&self, route: Route, asker: Option<&Asker>, from: IpAddr) -> Result<(), ApiError> {
        if route.is_probe {
            return Ok(());
        }
        self.rates.take(Payer::of(asker, from), Instant::now()).map_err(ApiError::too_many_requests)
    }

    /// A place among the requests that are worked on; probes need none.
    fn slot(&self, route: Route) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        if route.is_probe {
            return Ok(None);
        }
        let busy = |_| ApiError::unavailable(format!("{CONCURRENT} requests are being worked on")).help("try again");
        Arc::clone(&self.slots).try_acquire_owned().map(Some).map_err(busy)
    }

    /// Whether a request may be answered: whoever asks has what it needs, and no page of another site has them ask.
    fn admit(&self, route: Route, method: &Method, headers: &HeaderMap, asker: Option<&Asker>) -> Result<(), ApiError> {
        if route.needs == Needs::Nothing {
            return Ok(());
        }
        let asker = asker.ok_or_else(unknown)?;
        if *asker == Asker::Neighbour {
            check_host(headers)?;
        }
        if *asker == Asker::Neighbour || !is_safe(method) {
            check_origin(headers)?;
        }
        asker.check(route.needs)
    }
}

/// Lets a request pass, or says why not.
pub async fn guard(
    State(guard): State<Arc<Guard>>,
    Extension(Peer(from)): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let Some(route) = Route::find(request.method(), path) else {
        let (method, path) = (request.method(), request.uri().path());
        return Err(ApiError::method_not_allowed(format!("{path} does not take {method}"))
            .help("GET /docs lists what there is"));
    };
    let asker = guard.door.tokens.identify(request.headers(), from);
    guard.door.count(route, asker.as_ref(), from)?;
    let entry = asker.as_ref().filter(|_| route.is_recorded).map(|asker| begun(&request, asker, from));
    if let Err(refused) = guard.door.admit(route, request.method(), request.headers(), asker.as_ref()) {
        guard.tell_refusal(&request, asker.as_ref(), from);
        let response = refused.into_response();
        // What other sites have a neighbour's browser ask is not written down: they would fill the log.
        if let Some(entry) = entry.filter(|entry| entry.by.is_some()) {
            guard.host.control().audit.write(&ended(entry, &response)).await;
        }
        return Ok(response);
    }
    request.extensions_mut().insert(Caller(asker.as_ref().and_then(Asker::name).map(str::to_owned)));
    let reads = |asker: &Asker| guard.door.admit(Route::READ, &Method::GET, request.headers(), Some(asker)).is_ok();
    if let Some(reader) = asker.filter(reads) {
        request.extensions_mut().insert(reader);
    }
    match entry {
        Some(entry) => guard.change(route, request, next, entry).await,
        None => {
            let _slot = guard.door.slot(route)?;
            timeout(PATIENCE, next.run(request)).await.map_err(|_| too_long())
        }
    }
}

/// What is written down of a request, before it is known what comes of it.
fn begun(request: &Request, asker: &Asker, from: IpAddr) -> Entry {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    Entry {
        at: 0,
        by: asker.name().map(str::to_owned),
        role: asker.role().to_string(),
        from: from.to_string(),
        method: request.method().to_string(),
        path: path.chars().take(PATH_LENGTH).collect(),
        status: 0,
        version: None,
    }
}

fn ended(entry: Entry, response: &Response) -> Entry {
    let version = response.headers().get(ETAG).and_then(|version| version.to_str().ok());
    let version = version.map(|version| version.trim_matches('"').to_owned());
    Entry { at: now(), status: response.status().as_u16(), version, ..entry }
}

fn too_long() -> ApiError {
    ApiError::unavailable(format!("this took longer than {} s; it may still happen", PATIENCE.as_secs()))
}

#[cfg(test)]
mod tests {
    use axum::http::header::{HOST, HeaderName, ORIGIN};
    use azenha_model::access::Role;
    use azenha_model::config::HostConfig;

    use super::*;

    fn door(http: &str) -> Door {
        let text = format!("http: {{ {http} }}");
        Door::new(&HostConfig::parse("host.yaml", &text, &|_| None, std::path::Path::new("data")).unwrap().http)
    }

    fn headers(headers: &[(HeaderName, &'static str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn status(door: &Door, method: &Method, path: &str, headers: &HeaderMap, asker: Option<&Asker>) -> u16 {
        let route = Route::find(method, Some(path)).unwrap();
        door.admit(route, method, headers, asker).map_or_else(|error| error.status().as_u16(), |()| 200)
    }

    const CHANGE: (Method, &str) = (Method::POST, "/pipelines/{name}/pause");

    #[test]
    fn what_is_open_is_open_to_whoever_asks_and_nothing_else_is() {
        let door = door("");
        for (path, expected) in [("/livez", 200), ("/console", 200), ("/metrics", 401), ("/pipelines", 401)] {
            assert_eq!(status(&door, &Method::GET, path, &HeaderMap::new(), None), expected, "{path}");
        }
    }

    #[test]
    fn a_page_of_another_site_changes_nothing_even_with_a_token() {
        let door = door("");
        let asker = Asker::Named { name: "ops".to_owned(), role: Role::Operator };
        let (method, path) = CHANGE;
        for (origin, expected) in [("https://azenha.example", 200), ("https://shop.example", 403), ("null", 403)] {
            let headers = headers(&[(HOST, "azenha.example"), (ORIGIN, origin)]);
            assert_eq!(status(&door, &method, path, &headers, Some(&asker)), expected, "{origin}");
            assert_eq!(status(&door, &Method::GET, "/metrics", &headers, Some(&asker)), 200, "{origin}");
        }
    }

    #[test]
    fn without_tokens_a_page_of_another_site_reads_nothing_either() {
        let (door, (method, path)) = (door(""), CHANGE);
        for (host, origin, expected) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080", 200),
            ("127.0.0.1:8080", "http://localhost:3000", 403),
            ("127.0.0.1:8080", "https://shop.example", 403),
            ("shop.example:8080", "http://shop.example:8080", 403),
        ] {
            let headers = headers(&[(HOST, host), (ORIGIN, origin)]);
            for (method, path) in [(&method, path), (&Method::GET, "/metrics")] {
                assert_eq!(status(&door, method, path, &headers, Some(&Asker::Neighbour)), expected, "{host} {origin}");
            }
        }
    }

    #[test]
    fn probes_are_answered_however_much_is_asked() {
        let door = door("requests_per_second: 1");
        let from = "10.0.0.7".parse().unwrap();
        let count = |path| door.count(Route::find(&Method::GET, Some(path)).unwrap(), None, from);
        let refused = (0..10).find_map(|_| count("/openapi.json").err()).unwrap();
        assert_eq!(refused.status().as_u16(), 429);
        assert!(count("/livez").is_ok() && count("/readyz").is_ok());
        let _all = door.slots.try_acquire_many(CONCURRENT as u32).unwrap();
        let slot = |path| door.slot(Route::find(&Method::GET, Some(path)).unwrap());
        assert_eq!(slot("/metrics").unwrap_err().status().as_u16(), 503);
        assert!(slot("/livez").is_ok() && slot("/readyz").is_ok());
    }
}
