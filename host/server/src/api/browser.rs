//! What a browser is told and believed: pages of other sites must neither change anything here, nor show this host's
//! pages in theirs.

use std::net::IpAddr;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

use super::error::ApiError;

/// Browsers say with it where a request comes from; pages cannot set it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Scripts, styles and images of this host alone; no page of anybody shows one of ours in a frame.
const POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What every answer carries.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Adds what every answer carries. Only what says so itself may be kept by whoever asked.
pub async fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.extend(HEADERS);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a request comes from a page of this host, or from no page at all.
pub fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_own = match (named(headers, SEC_FETCH_SITE), named(headers, ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        // Browsers that are older, or that do not trust plain HTTP.
        (None, Some(origin)) => origin.split_once("://").map(|(_, host)| host) == named(headers, HOST),
        (None, None) => true,
    };
    let foreign = || {
        ApiError::forbidden("a page of another origin asks")
            .help("open the host's own console; a proxy in front has to pass `Host` on as it came")
    };
    is_own.then_some(()).ok_or_else(foreign)
}

/// Whether a request names this machine by a name that nobody else can give: a site that got a name of its own to lead
/// here is none of ours.
pub fn check_host(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_here = named(headers, HOST).is_some_and(is_loopback);
    let elsewhere =
        || ApiError::forbidden("`Host` names another machine than this one").help("ask 127.0.0.1 or localhost");
    is_here.then_some(()).ok_or_else(elsewhere)
}

fn named(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Whether `host:port` is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(headers: &[(HeaderName, &'static str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_names_of_this_machine_are_this_machine() {
        for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"] {
            assert!(check_host(&headers(&[(HOST, host)])).is_ok(), "{host}");
        }
        for host in ["azenha.example:8080", "127.0.0.1.example", "localhost.example", "10.0.0.1", ""] {
            assert!(check_host(&headers(&[(HOST, host)])).is_err(), "{host}");
        }
        assert!(check_host(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_page_of_another_origin_is_told_by_either_header() {
        let host = (HOST, "azenha.example:8443");
        for (header, is_own) in [
            ((SEC_FETCH_SITE, "same-origin"), true),
            ((SEC_FETCH_SITE, "none"), true),
            ((SEC_FETCH_SITE, "same-site"), false),
            ((SEC_FETCH_SITE, "cross-site"), false),
            ((ORIGIN, "https://azenha.example:8443"), true),
            ((ORIGIN, "https://azenha.example"), false),
            ((ORIGIN, "https://azenha.example:8443.other.example"), false),
            ((ORIGIN, "https://other.example"), false),
            ((ORIGIN, "null"), false),
        ] {
            let sent = headers(&[host.clone(), header.clone()]);
            assert_eq!(check_origin(&sent).is_ok(), is_own, "{header:?}");
        }
        assert!(check_origin(&headers(&[host])).is_ok(), "programs send neither");
    }
}
