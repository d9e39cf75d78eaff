//! What pages of other sites can have a browser do, and what browsers are told.

use anyhow::Result;
use azenha_e2e::Azenha;

use crate::helpers::{ask, define, start};

#[test]
fn a_page_of_another_site_changes_nothing() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha, "")?;
    define(&host)?;
    let own = format!("http://{}", host.address);
    for (header, value, status) in [
        ("Sec-Fetch-Site", "same-origin", 200),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Origin", own.as_str(), 200),
        ("Origin", "https://shop.example", 403),
        ("Origin", "http://127.0.0.1:1", 403),
        ("Origin", "null", 403),
    ] {
        for role in ["operator", "deployer"] {
            let answer = ask(&host, role, "POST", "/pipelines/copy/restart", &[(header, value)], "")?;
            assert_eq!(answer.status, status, "{role}, {header}: {value}: {answer:?}");
        }
    }
    Ok(())
}

#[test]
fn no_answer_lets_another_site_read_it() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha, "")?;
    let from_elsewhere = [("Origin", "https://shop.example"), ("Access-Control-Request-Method", "PUT")];
    for (method, path) in [("GET", "/livez"), ("GET", "/pipelines"), ("OPTIONS", "/pipelines/copy")] {
        let answer = ask(&host, "viewer", method, path, &from_elsewhere, "")?;
        let allowed = answer.headers.iter().find(|(name, _)| name.starts_with("access-control-"));
        assert_eq!(allowed, None, "{method} {path}");
    }
    Ok(())
}

#[test]
fn every_answer_says_what_a_browser_may_make_of_it() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha, "")?;
    for (role, path, status) in [
        ("", "/console", 200),
        ("", "/console/style.css", 200),
        ("", "/docs", 200),
        ("", "/pipelines", 401),
        ("viewer", "/pipelines", 200),
        ("viewer", "/none", 404),
    ] {
        let answer = ask(&host, role, "GET", path, &[], "")?;
        assert_eq!(answer.status, status, "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        for part in ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("set-cookie"), None, "{path}");
    }
    Ok(())
}
