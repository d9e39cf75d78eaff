//! The schema registry's client against a real registry: `AZENHA_TEST_REGISTRY` is its URL, as
//! `tests/services/registry` writes it. Without one the tests are left out, and say so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::env;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use azenha_connect::registry::{Registries, Registry};
use azenha_engine::schemas::{Schemas, SchemasError};
use azenha_formats::{RegisteredSchema, registered_schema};
use azenha_model::config::HostConfig;
use azenha_model::plan::{Format, OutputColumn, SchemaKind, StreamColumn, TimeFormat, TopicOutput, value_subject};
use azenha_model::registry::RegistryConfig;
use azenha_model::{DataType, Field};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const AVRO: Format = Format::Registered { kind: SchemaKind::Avro, registry: None };

fn config(url: String) -> RegistryConfig {
    RegistryConfig { url, ..RegistryConfig::default() }
}

/// The registry of the tests.
fn real() -> Option<RegistryConfig> {
    let url = env::var("AZENHA_TEST_REGISTRY").ok();
    if url.is_none() {
        eprintln!("left out: AZENHA_TEST_REGISTRY is not set");
    }
    url.map(config)
}

/// A topic that no other test, and no other run, has.
fn topic() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("topic-{}-{}", process::id(), NEXT.fetch_add(1, Relaxed))
}

fn output(topic: &str, format: Format, fields: &[Field]) -> TopicOutput {
    let column =
        |(input, field): (usize, &Field)| OutputColumn { input, field: field.clone(), time_format: TimeFormat::Millis };
    let columns = fields.iter().enumerate().map(column).collect();
    TopicOutput { topic: topic.to_owned(), format, columns, key: Vec::new() }
}

fn columns(fields: &[Field]) -> Vec<StreamColumn> {
    let column = |field: &Field| StreamColumn {
        field: field.clone(),
        path: vec![field.name.clone()],
        time_format: TimeFormat::Millis,
    };
    fields.iter().map(column).collect()
}

fn schema(kind: SchemaKind, topic: &str, fields: &[Field]) -> RegisteredSchema {
    let format = Format::Registered { kind, registry: None };
    registered_schema(kind, topic, &output(topic, format, fields).columns)
}

fn id() -> Field {
    Field::new("id", DataType::Int64, false)
}

#[tokio::test]
async fn a_schema_has_one_id_however_often_it_is_registered_and_is_found_by_it() {
    let Some(config) = real() else { return };
    let (registry, topic) = (Registry::new(&config).unwrap(), topic());
    for kind in [SchemaKind::Avro, SchemaKind::JsonSchema] {
        let (subject, schema) = (value_subject(&format!("{topic}-{kind:?}")), schema(kind, &topic, &[id()]));
        let first = registry.register(&subject, &schema).await.unwrap();
        assert_eq!(registry.register(&subject, &schema).await, Ok(first));
        assert_eq!(registry.schema(first).await.unwrap().as_deref(), Some(&schema));
        assert_eq!(registry.latest(&subject).await, Ok(Some(schema)));
    }
}

#[tokio::test]
async fn what_the_registry_does_not_know_is_no_error() {
    let Some(config) = real() else { return };
    let registry = Registry::new(&config).unwrap();
    assert_eq!(registry.schema(2_000_000_000).await, Ok(None));
    assert_eq!(registry.latest("nobody-value").await, Ok(None));
}

#[tokio::test]
async fn a_change_that_breaks_readers_is_refused_and_one_that_does_not_is_taken() {
    let Some(config) = real() else { return };
    let registry = Registry::new(&config).unwrap();
    let registries = Registries::new(Some(config));
    for kind in [SchemaKind::Avro, SchemaKind::JsonSchema] {
        let (topic, format) = (topic(), Format::Registered { kind, registry: None });
        let subject = value_subject(&topic);
        registry.register(&subject, &schema(kind, &topic, &[id()])).await.unwrap();

        let broken = [Field::new("id", DataType::Text, false), Field::new("new", DataType::Text, false)];
        let refused = registry.register(&subject, &schema(kind, &topic, &broken)).await;
        let Err(SchemasError::Refused { .. }) = refused else {
            panic!("the registry takes every schema, so this test shows nothing: {refused:?}");
        };
        let problems = registries.check_writable(&output(&topic, format.clone(), &broken)).await.unwrap_err();
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert!(problem.message.starts_with(&format!("the schema of `{subject}` cannot become")), "{problem:?}");
        if kind == SchemaKind::Avro {
            assert!(problem.message.contains("id"), "the field is named: {problem:?}");
        }

        let wider = [id(), Field::new("new", DataType::Text, true)];
        assert_eq!(registries.check_writable(&output(&topic, format.clone(), &wider)).await, Ok(()));
        registry.register(&subject, &schema(kind, &topic, &wider)).await.unwrap();
        let earlier = registries.check_writable(&output(&topic, format, &[id()])).await;
        assert_eq!(earlier, Ok(()), "what is registered may be written, whatever came after it");
    }
}

#[tokio::test]
async fn a_check_registers_nothing() {
    let Some(config) = real() else { return };
    let (registry, topic) = (Registry::new(&config).unwrap(), topic());
    Registries::new(Some(config)).check_writable(&output(&topic, AVRO, &[id()])).await.unwrap();
    assert_eq!(registry.latest(&value_subject(&topic)).await, Ok(None));
}

#[tokio::test]
async fn columns_that_the_latest_schema_does_not_give_are_named() {
    let Some(config) = real() else { return };
    let (registry, topic) = (Registry::new(&config).unwrap(), topic());
    let registries = Registries::new(Some(config));
    let wanted = columns(&[id(), Field::new("name", DataType::Text, false)]);
    assert_eq!(registries.check_readable(&topic, &AVRO, &wanted).await, Ok(()), "nobody wrote the topic yet");
    registry.register(&value_subject(&topic), &schema(SchemaKind::Avro, &topic, &[id()])).await.unwrap();
    assert_eq!(registries.check_readable(&topic, &AVRO, &columns(&[id()])).await, Ok(()));
    let problems = registries.check_readable(&topic, &AVRO, &wanted).await.unwrap_err();
    assert_eq!(problems.iter().map(|problem| problem.column).collect::<Vec<_>>(), [Some(1)]);
    assert!(problems[0].message.contains("there is no field `name`"), "{problems:?}");
}

#[tokio::test]
async fn a_registry_that_cannot_be_reached_may_be_there_later() {
    let registry = Registry::new(&config("http://127.0.0.1:1".to_owned())).unwrap();
    let error = registry.schema(1).await.unwrap_err();
    assert!(matches!(error, SchemasError::Unavailable { .. }), "{error}");
    assert!(error.to_string().starts_with("the schema registry at http://127.0.0.1:1 cannot be reached"), "{error}");
}

#[tokio::test]
async fn a_url_with_another_path_is_no_registry() {
    let Some(config) = real() else { return };
    let registry = Registry::new(&RegistryConfig { url: format!("{}/nowhere", config.url), ..config }).unwrap();
    let error = registry.schema(1).await.unwrap_err();
    assert!(matches!(error, SchemasError::Refused { .. }), "{error}");
}

/// Answers each request with the next of some answers, and gives the heads of the requests.
async fn answering(answers: &[&'static str]) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = answers.to_vec();
    let served = tokio::spawn(async move {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            heads.push(String::from_utf8_lossy(&head[..length]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    });
    (url, served)
}

const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const BROKEN: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const LONG: &str = "HTTP/1.1 200 OK\r\ncontent-length: 17\r\nconnection: close\r\n\r\n{\"schema\":\"long\"}";

/// The registries of a host's configuration file.
fn configured(registry: &str) -> Registries {
    let environment: HashMap<&str, &str> = HashMap::from([("PASSWORD", "s3cret")]);
    let variable = |name: &str| environment.get(name).map(|value| (*value).to_owned());
    let text = format!("registry: {registry}");
    let config = HostConfig::parse("host.yaml", &text, &variable, "data".as_ref()).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"), "a password is shown");
    Registries::new(config.registry)
}

#[tokio::test]
async fn credentials_are_sent_to_the_hosts_registry_and_to_no_other() {
    let (url, served) = answering(&[UNAUTHORIZED, LONG, LONG]).await;
    let host = configured(&format!("{{ url: '{url}/', username: me, password: '${{PASSWORD}}' }}"));
    let error = host.open(None).unwrap().schema(1).await.unwrap_err();
    assert!(error.to_string().contains("check `username` and `password`"), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
    host.open(Some(&url)).unwrap().schema(1).await.unwrap();
    let elsewhere = configured("{ url: 'http://127.0.0.1:1', token: '${PASSWORD}' }");
    elsewhere.open(Some(&url)).unwrap().schema(1).await.unwrap();
    let heads = served.await.unwrap();
    let basic = "authorization: Basic bWU6czNjcmV0";
    let sends = |head: &String| head.contains(basic);
    assert_eq!(heads.iter().map(sends).collect::<Vec<_>>(), [true, true, false], "{heads:#?}");
    assert!(!heads[2].contains("authorization"), "{}", heads[2]);
}

#[tokio::test]
async fn a_call_is_tried_again_and_a_schema_is_fetched_once() {
    let (url, served) = answering(&[BROKEN, LONG]).await;
    let registry = Registry::new(&config(url)).unwrap();
    let (first, second) = tokio::join!(registry.schema(1), registry.schema(1));
    assert_eq!(first.unwrap(), second.unwrap());
    registry.schema(1).await.unwrap();
    assert_eq!(served.await.unwrap().len(), 2);
}

#[tokio::test]
async fn without_a_registry_the_configuration_is_named() {
    let output = output("clicks", AVRO, &[id()]);
    let problems = Registries::default().check_writable(&output).await.unwrap_err();
    assert!(problems[0].message.contains("`registry: { url: … }` in the host's configuration"), "{problems:?}");
}
