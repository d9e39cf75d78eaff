//! What is written down of changes.

use anyhow::{Context, Result};
use azenha_e2e::{Azenha, Running};
use serde_json::Value;

use crate::helpers::{ask, define, show, start};

fn entries(host: &Running, query: &str) -> Result<Vec<Value>> {
    let changes = show(host, "viewer", &format!("/audit{query}"))?;
    changes["entries"].as_array().cloned().context("no entries")
}

/// Who, role, what, status, version.
fn told(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
    let what = ["by", "role", "method", "path"].map(text).join(" ");
    format!("{what} {} {}", entry["status"], text("version"))
}

#[test]
fn each_change_is_written_down_with_who_asked_and_what_came_of_it() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha, "")?;
    assert_eq!(define(&host)?.status, 201);
    ask(&host, "operator", "POST", "/pipelines/copy/pause", &[], "")?;
    ask(&host, "viewer", "POST", "/pipelines/copy/resume", &[], "")?;
    ask(&host, "deployer", "DELETE", "/pipelines/copy", &[("If-Match", "\"1\"")], "")?;
    ask(&host, "deployer", "PUT", "/plugins/none", &[], "no plugin")?;
    // None of these is a change that somebody known asked for.
    ask(&host, "nobody", "DELETE", "/pipelines/copy", &[], "")?;
    ask(&host, "operator", "POST", "/topics/clicks/records", &[("Content-Type", "application/json")], "[{}]")?;
    show(&host, "deployer", "/pipelines/copy")?;

    let found = entries(&host, "")?;
    let expected = [
        "deployer deployer PUT /pipelines/copy 201 1",
        "operator operator POST /pipelines/copy/pause 200 2",
        "viewer viewer POST /pipelines/copy/resume 403 -",
        "deployer deployer DELETE /pipelines/copy 412 -",
        "deployer deployer PUT /plugins/none 422 -",
    ];
    assert_eq!(found.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(found.iter().all(|entry| entry["from"] == "127.0.0.1"), "{found:?}");
    assert!(found.is_sorted_by_key(|entry| entry["at"].as_i64()), "{found:?}");
    Ok(())
}

#[test]
fn changes_outlast_the_host_and_are_read_in_parts() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha, "")?;
    define(&host)?;
    for _ in 0..4 {
        ask(&host, "operator", "POST", "/pipelines/copy/pause", &[], "")?;
        ask(&host, "operator", "POST", "/pipelines/copy/resume", &[], "")?;
    }
    host.kill()?;
    let host = start(&azenha, "")?;
    let all = entries(&host, "")?;
    assert_eq!(all.len(), 9, "{all:?}");
    let (mut parts, mut from) = (Vec::new(), 0);
    while parts.len() < all.len() {
        let part = show(&host, "viewer", &format!("/audit?from={from}&limit=2"))?;
        parts.extend(part["entries"].as_array().context("no entries")?.clone());
        assert!(part["next"].as_u64() > Some(from), "{part}");
        from = part["next"].as_u64().context("no next")?;
    }
    assert_eq!(parts, all);
    assert!(entries(&host, &format!("?from={from}"))?.is_empty());
    assert_eq!(entries(&host, "?limit=2")?, all[7..]);
    for wrong in ["?limit=0", "?limit=1001", "?limit=x", "?from=-1", "?until=3"] {
        assert_eq!(ask(&host, "viewer", "GET", &format!("/audit{wrong}"), &[], "")?.status, 400, "{wrong}");
    }
    Ok(())
}

#[test]
fn on_a_host_without_tokens_changes_have_no_name() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = azenha.start(&[], &[])?;
    let kind = [("Content-Type", "application/yaml")];
    assert_eq!(ask(&host, "", "PUT", "/pipelines/copy", &kind, crate::helpers::COPY)?.status, 201);
    let changes = ask(&host, "", "GET", "/audit", &[], "")?.json()?;
    assert_eq!(told(&changes["entries"][0]), "- deployer PUT /pipelines/copy 201 1");
    Ok(())
}
