//! Queries that a pipeline declares, asked over HTTP.

use anyhow::{Context, Result};
use azenha_e2e::{Azenha, Running, get, post, send};
use serde_json::{Value, json};

const SHOP: &str = r#"
name: shop
sources:
  views:
    topic: views
    schema: { customer: text, id: int64, at: timestamp(ms), product: text }
    event_time: { field: at, lateness: 1s }
sinks:
  views_table: { from: views, connection: warehouse, table: views, key: [customer, at, id] }
queries:
  seen:
    path: /seen/{customer}
    connection: warehouse
    sql: |
      SELECT id, "at", product FROM views
      WHERE customer = :customer AND "at" >= :since AND (:product IS NULL OR product = :product)
    columns: { id: int64, at: timestamp, product: text }
    parameters:
      customer: { type: text, max_length: 20 }
      since: { type: timestamp, default: '2026-01-01T00:00:00Z' }
      product: text?
      shard: { type: int64, default: 0, min: 0, max: 3 }
    order_by: [at desc, id]
    limit: { default: 2, max: 10 }
    freshness: views_table
"#;

fn shop() -> String {
    SHOP.replace("product = :product)\n", "product = :product) AND :shard >= 0\n")
}

/// A host with seven views of `ana` and one of `bia`.
fn start(azenha: &Azenha) -> Result<Running> {
    let pipeline = azenha.write("shop/pipeline.yaml", &shop())?;
    let mut host = azenha.start(&[&pipeline], &[])?;
    let view = |customer: &str, id: i64| {
        let at = 1_769_860_800_000_i64 + id / 2 * 1_000;
        json!({ "customer": customer, "id": id, "at": at, "product": format!("p{}", id % 3) })
    };
    let mut views: Vec<Value> = (0..7).map(|id| view("ana", id)).collect();
    views.push(view("bia", 7));
    post(&host.address, "/topics/views/records", "application/json", &json!(views).to_string())?;
    host.wait_until("the views are in the table", |host| {
        let rows = |path| anyhow::Ok(get(&host.address, path)?.json()?["rows"].as_array().map_or(0, Vec::len));
        Ok(get(&host.address, "/seen/bia")?.status == 200
            && rows("/seen/bia")? == 1
            && rows("/seen/ana?limit=10")? == 7)
    })?;
    Ok(host)
}

fn ids(answer: &Value) -> Vec<i64> {
    answer["rows"].as_array().into_iter().flatten().filter_map(|row| row["id"].as_i64()).collect()
}

#[test]
fn pages_follow_each_other_to_the_end_and_say_how_fresh_they_are() -> Result<()> {
    let azenha = Azenha::new()?;
    let host = start(&azenha)?;
    let (mut found, mut path) = (Vec::new(), "/seen/ana?limit=3".to_owned());
    loop {
        let answer = get(&host.address, &path)?.json()?;
        found.extend(ids(&answer));
        assert_eq!(answer["freshness"]["newest"], "2026-01-31T12:00:03Z", "{answer}");
        assert_eq!(answer["freshness"]["watermark"], "2026-01-31T12:00:02Z", "{answer}");
        assert!(answer["freshness"]["age_seconds"].as_f64().is_some(), "{answer}");
        assert_eq!(answer["more"], answer["next"].is_string(), "{answer}");
        match answer["next"].as_str() {
            Some(next) => path = format!("/seen/ana?limit=3&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, [6, 4, 5, 2, 3, 0, 1]);
    let answer = get(&host.address, "/seen/ana?since=2026-01-31T09:00:02-03:00&product=p1")?.json()?;
    assert_eq!(answer["rows"], json!([{ "id": 4, "at": "2026-01-31T12:00:02Z", "product": "p1" }]));
    assert_eq!(ids(&get(&host.address, "/seen/nobody")?.json()?), [] as [i64; 0]);
    Ok(())
}

#[test]
fn wrong_requests_are_refused_with_what_would_be_right() -> Result<()> {
    let azenha = Azenha::new()?;
    let host = start(&azenha)?;
    let next = get(&host.address, "/seen/ana?limit=3")?.json()?;
    let next = next["next"].as_str().context("there are more rows")?;
    let tampered = format!("{}A{}", &next[..4], &next[5..]);
    let cases = [
        ("/seen/ana?limit=0".to_owned(), "1 to 10"),
        ("/seen/ana?limit=11".to_owned(), "1 to 10"),
        ("/seen/ana?limit=99999999999999999999".to_owned(), "1 to 10"),
        ("/seen/ana?limit=-1%3BDROP".to_owned(), "1 to 10"),
        ("/seen/ana?since=yesterday".to_owned(), "2026-01-31T12:00:00Z"),
        ("/seen/ana?since=2026-02-30T00:00:00Z".to_owned(), "2026-01-31T12:00:00Z"),
        ("/seen/ana?shard=4".to_owned(), "at most 3"),
        ("/seen/ana?shard=1%20OR%201%3D1".to_owned(), "whole number"),
        ("/seen/ana?produkt=p1".to_owned(), "did you mean `product`?"),
        ("/seen/ana?limit=1&limit=2".to_owned(), "once"),
        ("/seen/ana?customer=bia".to_owned(), "parameters are"),
        (format!("/seen/{}", "x".repeat(21)), "at most 20 characters"),
        ("/seen/a%00b".to_owned(), "NUL"),
        ("/seen/a%FFb".to_owned(), "UTF-8"),
        (format!("/seen/ana?cursor={tampered}"), "give back `next`"),
        (format!("/seen/bia?cursor={next}"), "give back `next`"),
        (format!("/seen/ana?product=p1&cursor={next}"), "give back `next`"),
        ("/seen/ana?cursor=".to_owned(), "give back `next`"),
        ("/seen/ana?cursor=%27%20OR%201%3D1".to_owned(), "give back `next`"),
    ];
    for (path, help) in cases {
        let answer = get(&host.address, &path)?;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(answer.body.contains(help), "{path}: {answer:?}");
    }
    // What looks like SQL is a customer of that name.
    for attack in ["ana'%20OR%20'1'%3D'1", "ana%3B--", "%22%3BSELECT%201", "ana%2F.."] {
        let answer = get(&host.address, &format!("/seen/{attack}"))?;
        assert_eq!((answer.status, ids(&answer.json()?).len()), (200, 0), "{attack}: {answer:?}");
    }
    for (method, path, status) in [("POST", "/seen/ana", 405), ("GET", "/seen", 404), ("GET", "/seen/a/b", 404)] {
        assert_eq!(send(&host.address, method, path, &[], b"")?.status, status, "{method} {path}");
    }
    Ok(())
}

#[test]
fn response_times_are_told_and_the_query_is_described() -> Result<()> {
    let azenha = Azenha::new()?;
    let host = start(&azenha)?;
    let answer = get(&host.address, "/seen/ana")?;
    let parts = answer.header("server-timing").context("no Server-Timing")?;
    for part in ["parse;dur=", "query;dur=", "encode;dur="] {
        assert!(parts.contains(part), "{parts}");
    }
    get(&host.address, "/seen/ana?limit=0")?;
    let metrics = get(&host.address, "/metrics")?.body;
    let count = |ended: &str| {
        let is_it = |line: &&str| {
            line.starts_with("azenha_query_seconds_count{") && line.contains(&format!("ended=\"{ended}\""))
        };
        metrics.lines().find(is_it).and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    assert!(count("answered") >= Some(1) && count("refused") == Some(1) && count("failed") == Some(0), "{metrics}");
    let api = get(&host.address, "/openapi.json")?.json()?;
    let described = &api["paths"]["/seen/{customer}"]["get"];
    assert!(described["summary"].as_str().is_some_and(|summary| summary.contains("`seen`")), "{described}");
    assert_eq!(described["parameters"].as_array().map(Vec::len), Some(6), "{described}");
    Ok(())
}

#[test]
fn with_tokens_answers_and_descriptions_need_one() -> Result<()> {
    let azenha = Azenha::new()?;
    let pipeline = azenha.write("shop/pipeline.yaml", &shop())?;
    let config =
        azenha.write("host.yaml", "http: { tokens: [{ name: out, token: out-0123456789abcdef, role: viewer }] }\n")?;
    let host = azenha.start(&[&pipeline], &["--config", &config.display().to_string()])?;
    let ask = |path: &str, token: &str| {
        send(&host.address, "GET", path, &[("Authorization", &format!("Bearer {token}-0123456789abcdef"))], b"")
    };
    assert_eq!(get(&host.address, "/seen/ana")?.status, 401);
    assert_eq!(ask("/seen/ana", "in")?.status, 401);
    assert_eq!(ask("/seen/ana", "out")?.status, 200);
    let is_described =
        |answer: azenha_e2e::Answer| Ok::<_, anyhow::Error>(!answer.json()?["paths"]["/seen/{customer}"].is_null());
    assert!(!is_described(get(&host.address, "/openapi.json")?)?);
    assert!(is_described(ask("/openapi.json", "out")?)?);
    Ok(())
}

#[test]
fn two_pipelines_cannot_answer_at_one_path() -> Result<()> {
    let azenha = Azenha::new()?;
    let first = azenha.write("shop/pipeline.yaml", &shop())?;
    let other = shop().replace("name: shop", "name: other").replace("/seen/{customer}", "/seen/all");
    let second = azenha
        .write("other/pipeline.yaml", &other.replace("customer: { type: text, max_length: 20 }", "customer: text"))?;
    let (first, second) = (first.display().to_string(), second.display().to_string());
    for command in [vec!["validate", &first, &second], vec!["run", &first, &second, "--data", "data", "--once"]] {
        let refused = azenha.run(&command)?;
        assert!(!refused.status.success(), "{}", refused.text());
        assert!(refused.stderr.contains("query `seen` of pipeline `shop` answers at /seen/all"), "{}", refused.text());
    }
    Ok(())
}

#[test]
fn a_definition_that_answers_where_another_pipeline_does_is_refused_until_that_is_gone() -> Result<()> {
    let azenha = Azenha::new()?;
    let mut host = start(&azenha)?;
    let put = |path: &str| {
        let text = shop().replace("name: shop", "name: other").replace("/seen/{customer}", path);
        send(&host.address, "PUT", "/pipelines/other", &[("Content-Type", "application/yaml")], text.as_bytes())
    };
    let refused = put("/seen/{customer}/")?;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("query `seen` of pipeline `shop`"), "{refused:?}");
    let accepted = put("/other/{customer}")?;
    assert!(accepted.status < 300, "{accepted:?}");
    host.wait_until("the definition runs", |host| Ok(get(&host.address, "/other/ana")?.status == 200))?;
    send(&host.address, "DELETE", "/pipelines/other", &[], b"")?;
    host.wait_until("it is gone", |host| Ok(get(&host.address, "/other/ana")?.status == 404))?;
    Ok(())
}
