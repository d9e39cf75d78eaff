//! Each route takes the role that this table says, and no less.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use azenha_e2e::Azenha;

use crate::helpers::{ROLES, ask, define, show, start};

/// Every route of the API, and the role that it takes at least; none: nobody needs a token.
const TABLE: [(&str, &str, Option<&str>); 36] = [
    ("GET", "/livez", None),
    ("GET", "/readyz", None),
    ("GET", "/whoami", None),
    ("GET", "/audit", Some("viewer")),
    ("GET", "/metrics", Some("viewer")),
    ("GET", "/pipelines", Some("viewer")),
    ("GET", "/pipelines/{name}", Some("viewer")),
    ("PUT", "/pipelines/{name}", Some("deployer")),
    ("DELETE", "/pipelines/{name}", Some("deployer")),
    ("POST", "/pipelines/{name}/pause", Some("operator")),
    ("POST", "/pipelines/{name}/resume", Some("operator")),
    ("POST", "/pipelines/{name}/restart", Some("operator")),
    ("GET", "/pipelines/{name}/offsets", Some("viewer")),
    ("PATCH", "/pipelines/{name}/offsets", Some("operator")),
    ("GET", "/pipelines/{name}/runs", Some("viewer")),
    ("POST", "/pipelines/{name}/runs", Some("operator")),
    ("GET", "/pipelines/{name}/graph", Some("viewer")),
    ("GET", "/pipelines/{name}/dead-letters", Some("viewer")),
    ("GET", "/pipelines/{name}/dead-letters/{id}", Some("viewer")),
    ("GET", "/pipelines/{name}/dead-letters/{id}/bundle", Some("operator")),
    ("GET", "/pipelines/{name}/dead-letters/{id}/personal-bundle", Some("deployer")),
    ("POST", "/pipelines/{name}/dead-letters/{id}/replay", Some("operator")),
    ("POST", "/pipelines/{name}/dead-letters/{id}/retry", Some("operator")),
    ("POST", "/pipelines/{name}/dead-letters/{id}/discard", Some("operator")),
    ("GET", "/pipelines/{name}/versions", Some("viewer")),
    ("POST", "/pipelines/{name}/rollback", Some("deployer")),
    ("GET", "/pipelines/{name}/shadows", Some("viewer")),
    ("GET", "/pipelines/{name}/steps/{step}/tap", Some("viewer")),
    ("GET", "/pipelines/{name}/steps/{step}/shadow", Some("viewer")),
    ("POST", "/pipelines/{name}/steps/{step}/shadow", Some("deployer")),
    ("DELETE", "/pipelines/{name}/steps/{step}/shadow", Some("deployer")),
    ("POST", "/pipelines/{name}/steps/{step}/shadow/promote", Some("deployer")),
    ("GET", "/plugins", Some("viewer")),
    ("PUT", "/plugins/{name}", Some("deployer")),
    ("DELETE", "/plugins/{name}", Some("deployer")),
    ("POST", "/topics/{topic}/records", Some("operator")),
];

/// Pages for browsers, which the API does not describe.
const PAGES: [&str; 4] = ["/docs", "/openapi.json", "/console", "/console/style.css"];

#[test]
fn every_route_asks_for_its_role_and_no_route_is_forgotten() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha, "")?;
    let described = show(&host, "viewer", "/openapi.json")?;
    let mut routes = BTreeMap::new();
    for (path, methods) in described["paths"].as_object().context("no paths")? {
        for (method, operation) in methods.as_object().context("no methods")? {
            routes.insert((method.to_ascii_uppercase(), path.clone()), operation["x-role"].as_str());
        }
    }
    let table: BTreeMap<_, _> =
        TABLE.iter().map(|(method, path, role)| (((*method).to_owned(), (*path).to_owned()), *role)).collect();
    assert_eq!(routes, table, "the description, and the table above");

    for (method, template, needed) in TABLE {
        // Of what is not there: whoever is let in changes nothing.
        let path = ["{name}", "{step}", "{topic}", "{id}"]
            .iter()
            .fold(template.to_owned(), |path, name| path.replace(name, "none"));
        let needed = needed.map(|role| ROLES.iter().position(|known| *known == role));
        for (asker, rank) in
            [("", None), ("nobody", None), ("viewer", Some(0)), ("operator", Some(1)), ("deployer", Some(2))]
        {
            let status = ask(&host, asker, method, &path, &[], "")?.status;
            let is_right = match (needed, rank) {
                (Some(_), None) => status == 401,
                (Some(needed), rank) if rank < needed => status == 403,
                _ => ![401, 403, 405, 429].contains(&status) && status < 500,
            };
            assert!(is_right, "{method} {path} as `{asker}`: {status}");
        }
    }
    Ok(())
}

#[test]
fn pages_are_open_and_what_is_no_route_is_closed() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha, "")?;
    for path in PAGES {
        assert_eq!(ask(&host, "", "GET", path, &[], "")?.status, 200, "{path}");
        assert_eq!(ask(&host, "deployer", "POST", path, &[], "")?.status, 405, "{path}");
    }
    for (role, path, status) in [
        ("", "/seen/ana", 401),
        ("viewer", "/seen/ana", 404),
        ("", "/console/../metrics", 401),
        ("", "/console/none.js", 404),
        ("", "//metrics", 401),
        ("", "/metrics/", 401),
        ("", "/METRICS", 401),
        ("", "/livez/../metrics", 401),
        ("", "/%6detrics", 401),
    ] {
        assert_eq!(ask(&host, role, "GET", path, &[], "")?.status, status, "{path} as `{role}`");
    }
    Ok(())
}

#[test]
fn the_host_says_who_is_asking() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha, "")?;
    for role in ROLES {
        let caller = show(&host, role, "/whoami")?;
        assert_eq!((caller["name"].as_str(), caller["role"].as_str()), (Some(role), Some(role)));
    }
    for unknown in ["", "nobody"] {
        assert_eq!(show(&host, unknown, "/whoami")?, serde_json::json!({}), "`{unknown}`");
    }
    Ok(())
}

#[test]
fn an_operator_keeps_running_what_only_a_deployer_defines() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha, "")?;
    assert_eq!(define(&host)?.status, 201);
    let statuses = |role: &str| {
        let changes =
            [("POST", "/pipelines/copy/pause"), ("POST", "/pipelines/copy/resume"), ("DELETE", "/pipelines/copy")];
        changes.map(|(method, path)| ask(&host, role, method, path, &[], "").map_or(0, |answer| answer.status))
    };
    assert_eq!(statuses("viewer"), [403; 3]);
    assert_eq!(statuses("operator"), [200, 200, 403]);
    assert_eq!(statuses("deployer"), [200; 3]);
    Ok(())
}

#[test]
fn whoever_asks_too_much_is_told_to_wait_and_others_are_not() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha, ", requests_per_second: 5")?;
    let refused = (0..200).find_map(|_| {
        let answer = ask(&host, "viewer", "GET", "/pipelines", &[], "").ok()?;
        (answer.status == 429).then_some(answer)
    });
    let refused = refused.context("nothing was refused")?;
    let wait: u64 = refused.header("retry-after").context("no Retry-After")?.parse()?;
    assert_eq!(ask(&host, "operator", "GET", "/pipelines", &[], "")?.status, 200, "another token");
    assert_eq!(ask(&host, "", "GET", "/readyz", &[], "")?.status, 200, "a probe");
    std::thread::sleep(std::time::Duration::from_secs(wait));
    assert_eq!(ask(&host, "viewer", "GET", "/pipelines", &[], "")?.status, 200, "after {wait} s");

    let wrong: BTreeSet<u16> = (0..200)
        .filter_map(|guess| Some(ask(&host, &format!("guess-{guess}"), "GET", "/pipelines", &[], "").ok()?.status))
        .collect();
    assert_eq!(wrong, BTreeSet::from([401, 429]), "whoever tries tokens counts by address");
    assert_eq!(ask(&host, "operator", "GET", "/pipelines", &[], "")?.status, 200, "a token from the same address");
    Ok(())
}

#[test]
fn bodies_that_are_too_large_are_refused() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha, "")?;
    define(&host)?;
    for (method, path, kind, bytes) in [
        ("PUT", "/pipelines/copy", "application/yaml", 257 << 10),
        ("PUT", "/plugins/big", "application/wasm", 17 << 20),
        ("POST", "/topics/clicks/records", "application/x-ndjson", 9 << 20),
        ("PATCH", "/pipelines/copy/offsets", "application/json", 9 << 20),
    ] {
        let answer = ask(&host, "deployer", method, path, &[("Content-Type", kind)], &" ".repeat(bytes))?;
        assert_eq!(answer.status, 413, "{method} {path}: {answer:?}");
    }
    Ok(())
}
