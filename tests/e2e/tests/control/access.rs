//! Who may ask what, and uploaded plugins.

use anyhow::{Context, Result};
use azenha_e2e::{Azenha, Running, post, send};
use serde_json::json;

use crate::helpers::{
    ADMIN, COPY, COUNTED, WRITER, await_number, await_state, call, click, component, longer, put, show, start, upload,
};

#[test]
fn a_plugin_is_uploaded_only_by_who_may_and_only_if_it_is_one() -> Result<()> {
    let azenha = Azenha::new()?;
    let plugin = component(&azenha, "filter")?;
    let host = start(&azenha)?;
    for (token, name, bytes, status) in [
        (WRITER, "filter", &plugin[..], 403),
        ("nobody-0123456789", "filter", &plugin, 401),
        (ADMIN, "Filter", &plugin, 422),
        (ADMIN, "filter", b"no plugin", 422),
        (ADMIN, "filter", &plugin[..plugin.len() / 2], 422),
        (ADMIN, "filter", &longer(&plugin, 17 << 20), 413),
    ] {
        let answer = upload(&host, token, name, bytes)?;
        assert_eq!(answer.status, status, "{token} {name} {}: {answer:?}", bytes.len());
        assert!(!answer.body.contains("0123456789"), "a token is repeated: {answer:?}");
    }
    assert_eq!(show(&host, "/plugins")?, json!([]));
    let uploaded = upload(&host, ADMIN, "filter", &plugin)?;
    assert_eq!(uploaded.status, 200, "{uploaded:?}");
    let detail = uploaded.json()?;
    assert_eq!((&detail["size"], &detail["world"]), (&json!(plugin.len()), &json!("transform")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_goes_on_with_the_bytes_that_it_was_defined_with() -> Result<()> {
    let azenha = Azenha::new()?;
    let (filter, count) = (component(&azenha, "filter")?, component(&azenha, "click-count")?);
    let mut host = start(&azenha)?;
    // More than fits into one record of the log.
    let long = longer(&filter, 3 << 20);
    let first = upload(&host, ADMIN, "filter", &long)?.json()?["digest"].clone();
    upload(&host, ADMIN, "click-count", &count)?;
    let pieces = azenha.topic("azenha.plugins")?.len();
    upload(&host, ADMIN, "filter", &long)?;
    assert_eq!(azenha.topic("azenha.plugins")?.len(), pieces + 1, "the same bytes are written once");
    assert_eq!(put(&host, "counted", COUNTED, &[])?.status, 201);
    await_state(&mut host, "counted", "running")?;

    let second = upload(&host, ADMIN, "filter", &filter)?.json()?;
    assert_eq!((&second["used_by"], &second["earlier_used_by"]), (&json!([]), &json!(["counted"])));
    host.kill()?;
    let mut host = start(&azenha)?;
    await_state(&mut host, "counted", "running")?;
    let plugins = |host: &Running| {
        Ok::<_, anyhow::Error>(show(host, "/pipelines/counted")?["definition"]["plugins"]["filter"].clone())
    };
    assert_eq!(plugins(&host)?, first);
    click(&host, "clicks_in", &["spring"])?;
    await_number(&azenha, "SELECT click_count FROM counts WHERE campaignId = 'spring'", 1).await?;
    let anew = put(&host, "counted", COUNTED, &[])?;
    assert_eq!((anew.status, anew.etag.as_deref()), (200, Some("\"2\"")));
    assert_eq!(plugins(&host)?, second["digest"]);
    Ok(())
}

#[test]
fn a_plugin_that_no_definition_runs_can_be_removed() -> Result<()> {
    let azenha = Azenha::new()?;
    let filter = component(&azenha, "filter")?;
    let host = start(&azenha)?;
    upload(&host, ADMIN, "click-count", &component(&azenha, "click-count")?)?;
    let digest = upload(&host, ADMIN, "filter", &filter)?.json()?["digest"].as_str().map(str::to_owned);
    let digest = digest.context("an upload without a digest")?;
    let remove = |token| call(&host, token, "DELETE", &format!("/plugins/{digest}"), &[], "");
    assert_eq!(put(&host, "counted", COUNTED, &[])?.status, 201);
    assert_eq!(remove(WRITER)?.status, 403);
    let used = remove(ADMIN)?;
    assert!(used.status == 409 && used.body.contains("counted"), "{used:?}");
    assert_eq!(call(&host, ADMIN, "DELETE", "/pipelines/counted", &[], "")?.status, 200);
    // Bytes that lost their name are still listed, and gone with what they are.
    let newer = upload(&host, ADMIN, "filter", &longer(&filter, 100))?;
    assert_eq!(newer.status, 200, "{newer:?}");
    let nameless =
        |plugins: &serde_json::Value| plugins.as_array().is_some_and(|all| all.iter().any(|one| one["name"] == ""));
    assert!(nameless(&show(&host, "/plugins")?));
    assert_eq!(remove(ADMIN)?.status, 204);
    assert_eq!(remove(ADMIN)?.status, 404);
    assert!(!nameless(&show(&host, "/plugins")?));
    drop(host);
    let host = start(&azenha)?;
    assert!(!nameless(&show(&host, "/plugins")?));
    assert_eq!(put(&host, "counted", COUNTED, &[])?.status, 201, "the newer bytes are still there");
    Ok(())
}

#[test]
fn a_definition_has_the_host_ask_no_registry_of_its_own_choice() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha)?;
    let asking = COPY.replace("topic: copied,", "topic: copied, format: avro, registry: 'http://169.254.169.254/',");
    let refused = put(&host, "copy", &asking, &[])?;
    assert!(refused.status == 422 && refused.body.contains("others"), "{refused:?}");
    Ok(())
}

#[test]
fn without_tokens_nobody_uploads_and_no_other_site_may_ask() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = azenha.start(&[], &[])?;
    let refused = send(&host.address, "PUT", "/plugins/filter", &[], b"\0asm")?;
    assert!(refused.status == 403 && refused.body.contains("tokens"), "{refused:?}");
    let yaml = ("Content-Type", "application/yaml");
    let from_a_page =
        send(&host.address, "PUT", "/pipelines/copy", &[yaml, ("Origin", "https://shop.example")], COPY.as_bytes())?;
    assert_eq!(from_a_page.status, 403);
    assert_eq!(send(&host.address, "PUT", "/pipelines/copy", &[yaml], COPY.as_bytes())?.status, 201);
    for topic in ["azenha.definitions", "azenha.plugins", "copy_output"] {
        let answer = post(&host.address, &format!("/topics/{topic}/records"), "application/json", "[{}]")?;
        assert_eq!(answer.status, 404, "{topic}");
    }
    Ok(())
}
