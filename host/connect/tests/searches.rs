//! Searches for words, asked of every store that has them: SQLite always, the others where there is a server.

#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "tests fail by panicking, and share fixtures")]

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use azenha_conformance::store_helpers::{batch, lane, output};
use azenha_connect::open_store;
use azenha_connect::query::{Answers, QueryError, Question, open_answers};
use azenha_engine::store::{Store, StoreLane, StoreRows};
use azenha_model::plan::{Language, StoreOutput, Target, WriteMode};
use azenha_model::query::{Ask, Condition, IfAbsent, OrderBy, Parameter, Path, Query, RowLimit, Search, Test, Value};
use azenha_model::{DataType, Field};
use mysql_fixture::MySql;
use sqlx::{Connection, MySqlConnection};
use tempfile::TempDir;

mod mysql_fixture;
mod sql_fixture;

/// Texts, in the order of their ids; times come in pairs.
const TEXTS: [&str; 6] = [
    "Não recebi o produto, quero REEMBOLSO",
    "o reembolso chegou; obrigada",
    "troca do produto",
    "reclamacao sobre a garantia do produto",
    "garantia-estendida: ok",
    "nada com isso a dizer",
];
const START: i64 = 1_769_860_800_000_000;

/// A store whose index `events` has the texts.
struct Scene {
    answers: Arc<dyn Answers>,
    index: String,
    lane: Box<dyn StoreLane>,
    /// Accents make no difference.
    folds: bool,
    refresh: Option<String>,
    _directory: Option<TempDir>,
}

fn columns() -> Vec<Field> {
    let types = [
        ("id", DataType::Int64),
        ("customer", DataType::Text),
        ("at", DataType::Timestamp),
        ("words", DataType::Text),
        ("flag", DataType::Boolean),
        ("day", DataType::Date),
        ("price", DataType::Decimal { scale: 2 }),
        ("missing", DataType::Text),
    ];
    types.map(|(name, data_type)| Field::new(name, data_type, name != "id")).to_vec()
}

/// The texts from consecutive offsets, with the ids that they have by their position.
fn rows(texts: &[(i64, &str)], first: u64) -> StoreRows {
    let ids = texts.iter().map(|(id, _)| *id);
    let customers = texts.iter().map(|(id, _)| if id % 2 == 0 { "ana" } else { "O'Neil" });
    let times = TimestampMicrosecondArray::from_iter_values(ids.clone().map(|id| START + id / 2 * 1_000_000));
    let prices = Decimal128Array::from_iter_values(ids.clone().map(|id| 1250 + i128::from(id)));
    let columns_of: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.clone())),
        Arc::new(StringArray::from_iter_values(customers)),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(StringArray::from_iter_values(texts.iter().map(|(_, text)| *text))),
        Arc::new(BooleanArray::from_iter(ids.clone().map(|id| Some(id > 2)))),
        Arc::new(Date32Array::from_iter_values(ids.map(|id| 20_484 + id as i32))),
        Arc::new(prices.with_precision_and_scale(38, 2).unwrap()),
        Arc::new(StringArray::new_null(texts.len())),
    ];
    batch(&columns(), columns_of, first)
}

impl Scene {
    async fn new(store: Arc<dyn Store>, answers: Arc<dyn Answers>, index: &str, target: Target) -> Self {
        let output = StoreOutput { target, ..output(index, &columns(), &[0], WriteMode::Upsert) };
        for _ in 0..2 {
            store.prepare(&output).await.unwrap();
        }
        let mut lane = store.open(&output, &lane(&output, 0, 0)).await.unwrap();
        let texts: Vec<(i64, &str)> = (0..).zip(TEXTS).collect();
        lane.commit(&[rows(&texts, 0)], 6).await.unwrap();
        Self { answers, index: index.to_owned(), lane, folds: true, refresh: None, _directory: None }
    }

    /// A search engine shows what it took a moment later.
    async fn refresh(&mut self) {
        if let Some(url) = &self.refresh {
            reqwest::Client::new().post(format!("{url}/{}/_refresh", self.index)).send().await.unwrap();
        }
    }

    fn query(&self, conditions: &[(usize, Test)]) -> Query {
        let parameter = |name: &str, data_type| Parameter {
            name: name.to_owned(),
            data_type,
            if_absent: IfAbsent::Null,
            least: None,
            most: None,
            max_length: 100,
        };
        let condition = |(parameter, test): &(usize, Test)| Condition { parameter: *parameter, test: test.clone() };
        let conditions = conditions.iter().map(condition).collect();
        Query {
            name: format!("events of {}", self.index),
            path: Path::parse("/events").unwrap(),
            connection: "engine".to_owned(),
            parameters: vec![
                parameter("text", DataType::Text),
                parameter("time", DataType::Timestamp),
                parameter("number", DataType::Int64),
                parameter("flag", DataType::Boolean),
                parameter("day", DataType::Date),
            ],
            ask: Ask::Search(Search { index: self.index.clone(), conditions }),
            columns: columns(),
            order: vec![OrderBy { column: 2, descending: true }, OrderBy { column: 0, descending: false }],
            limit: RowLimit { default: 50, most: 500 },
            time_limit: Duration::from_secs(10),
            freshness: None,
        }
    }

    async fn ids(&self, query: &Query, arguments: [Value; 5]) -> Vec<i64> {
        let question = Question { arguments: &arguments, after: None, rows: 100 };
        let answer = self.answers.answer(query, question).await.unwrap_or_else(|error| panic!("{error}"));
        let mut ids: Vec<i64> = answer.rows.iter().map(id).collect();
        ids.sort_unstable();
        ids
    }

    async fn with_words(&self, text: &str) -> Vec<i64> {
        let query = self.query(&[(0, Test::Words(vec!["words".to_owned()]))]);
        self.ids(&query, [Value::Text(text.to_owned()), Value::Null, Value::Null, Value::Null, Value::Null]).await
    }
}

fn id(row: &Vec<Value>) -> i64 {
    let Value::Int64(id) = row[0] else { panic!("{row:?}") };
    id
}

fn index(language: Option<Language>) -> Target {
    Target::Index { search: vec!["words".to_owned()], language, each: None }
}

async fn sqlite() -> Option<Scene> {
    let directory = TempDir::new().unwrap();
    let url = format!("sqlite://{}", directory.path().join("warehouse.db").display());
    let (store, answers) = (open_store("engine", &url).unwrap(), open_answers("engine", &url).unwrap());
    let scene = Scene::new(store, answers, "events", index(None)).await;
    Some(Scene { _directory: Some(directory), ..scene })
}

async fn mariadb() -> Option<Scene> {
    Some(mariadb_scene(&mysql_fixture::database().await?).await)
}

async fn mariadb_scene(fixture: &MySql) -> Scene {
    let target = Target::Table { fulltext: vec!["words".to_owned()] };
    let answers = open_answers("engine", &fixture.url).unwrap();
    Scene::new(Arc::clone(&fixture.store), answers, "events", target).await
}

async fn engine(variable: &str, target: Target, by_hand: Option<serde_json::Value>) -> Option<Scene> {
    let Ok(url) = std::env::var(variable) else {
        println!("skipped: {variable} names no server to test with");
        return None;
    };
    let name = format!("test-searches-{}", std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos());
    let (store, answers) = (open_store("engine", &url).unwrap(), open_answers("engine", &url).unwrap());
    let folds = by_hand.is_none();
    if let Some(mappings) = by_hand {
        let body = serde_json::json!({ "mappings": mappings });
        let made = reqwest::Client::new().put(format!("{url}/{name}")).json(&body).send().await.unwrap();
        assert!(made.status().is_success(), "{}", made.text().await.unwrap());
    }
    let mut scene = Scene { refresh: Some(url), folds, ..Scene::new(store, answers, &name, target).await };
    scene.refresh().await;
    Some(scene)
}

async fn opensearch() -> Option<Scene> {
    engine("AZENHA_TEST_OPENSEARCH", index(None), None).await
}

/// Its index is made by hand, because the server of the tests lacks the analyzers that fold accents.
async fn elasticsearch() -> Option<Scene> {
    let mappings = serde_json::json!({ "properties": { "words": { "type": "text" } } });
    engine("AZENHA_TEST_ELASTICSEARCH", index(None), Some(mappings)).await
}

async fn rows_have_all_words_whatever_their_case(scene: Scene) {
    for (text, expected) in [
        ("garantia", vec![3, 4]),
        ("GARANTIA produto", vec![3]),
        ("produto, garantia!", vec![3]),
        ("reembolso", vec![0, 1]),
        ("estendida", vec![4]),
        ("o reembolso", vec![0, 1]),
        ("com dizer", vec![5]),
        ("garant", vec![]),
        ("produto inexistente", vec![]),
    ] {
        assert_eq!(scene.with_words(text).await, expected, "{text}");
    }
}

async fn accents_make_no_difference(scene: Scene) {
    if scene.folds {
        for (text, expected) in [("nao", vec![0]), ("não", vec![0]), ("reclamação", vec![3])] {
            assert_eq!(scene.with_words(text).await, expected, "{text}");
        }
    }
}

/// Whatever stands between them, and however short they are. Where the index was made by hand, its analyzer decides.
async fn words_are_letters_and_digits_in_a_row(mut scene: Scene) {
    if !scene.folds {
        return;
    }
    let texts =
        ["Não gostei do produto.Quero a troca", "copo d'água, na TV: 1,5 l", "um copo de agua da\u{a0}loja:azul"];
    let long = "k".repeat(100);
    let texts = texts.into_iter().chain(["sala de 20 m²", "agora só isso", &long]);
    let texts: Vec<(i64, &str)> = (10..).zip(texts).collect();
    scene.lane.commit(&[rows(&texts, 6)], 12).await.unwrap();
    scene.refresh().await;
    for (text, expected) in [
        ("quero", vec![0, 10]),
        ("produto", vec![0, 2, 3, 10]),
        ("produto.quero", vec![0, 10]),
        ("agua", vec![11, 12]),
        ("d'agua", vec![11]),
        ("loja", vec![12]),
        ("azul da loja", vec![12]),
        ("tv", vec![11]),
        ("copo tv", vec![11]),
        ("copo TV,5", vec![11]),
        ("copo de", vec![12]),
        ("a", vec![3, 5, 10]),
        ("o", vec![0, 1]),
        ("x", vec![]),
        ("copo x", vec![]),
        ("m", vec![]),
        ("m²", vec![13]),
        ("so\u{301}", vec![14]),
        (&long, vec![15]),
        ("%", vec![]),
    ] {
        assert_eq!(scene.with_words(text).await, expected, "{text}");
    }
}

async fn what_looks_like_an_operator_is_none(scene: Scene) {
    for (text, expected) in [
        ("garantia*", vec![3, 4]),
        ("-garantia", vec![3, 4]),
        ("+garantia +produto", vec![3]),
        ("\"garantia produto\"", vec![3]),
        ("(garantia", vec![3, 4]),
        ("words:garantia", vec![]),
        ("garantia OR reembolso", vec![]),
        ("NEAR(garantia produto)", vec![]),
        ("') OR 1=1 --", vec![]),
        ("{\"match_all\":{}}", vec![]),
        ("", vec![]),
        (" +-*\"() ", vec![]),
    ] {
        assert_eq!(scene.with_words(text).await, expected, "{text}");
    }
}

async fn conditions_hold_together_and_an_absent_one_asks_for_nothing(scene: Scene) {
    let column = str::to_owned;
    let query = scene.query(&[
        (0, Test::Equal(column("customer"))),
        (1, Test::From(column("at"))),
        (2, Test::Before(column("id"))),
        (3, Test::Equal(column("flag"))),
        (4, Test::Equal(column("day"))),
    ]);
    let text = |text: &str| Value::Text(text.to_owned());
    let none = || Value::Null;
    let second = Value::Timestamp(START + 1_000_000);
    for (arguments, expected) in [
        ([none(), none(), none(), none(), none()], vec![0, 1, 2, 3, 4, 5]),
        ([text("O'Neil"), none(), none(), none(), none()], vec![1, 3, 5]),
        ([text("o'neil"), none(), none(), none(), none()], vec![]),
        ([none(), second.clone(), none(), none(), none()], vec![2, 3, 4, 5]),
        ([text("ana"), second, Value::Int64(4), none(), none()], vec![2]),
        ([none(), none(), none(), Value::Boolean(true), none()], vec![3, 4, 5]),
        ([none(), none(), none(), none(), Value::Date(20_488)], vec![4]),
        ([text("' OR ''='"), none(), none(), none(), none()], vec![]),
    ] {
        assert_eq!(scene.ids(&query, arguments.clone()).await, expected, "{arguments:?}");
    }
}

async fn one_of_several_named_values_is_enough(scene: Scene) {
    let query = scene.query(&[(0, Test::Any(vec!["customer".to_owned(), "missing".to_owned()]))]);
    for (text, expected) in [
        ("customer:ana", vec![0, 2, 4]),
        ("missing:x,customer:O'Neil", vec![1, 3, 5]),
        ("customer:O'Neil, customer:ana", vec![0, 1, 2, 3, 4, 5]),
        ("missing:x", vec![]),
        ("customer:' OR ''='", vec![]),
    ] {
        let arguments = [Value::Text(text.to_owned()), Value::Null, Value::Null, Value::Null, Value::Null];
        assert_eq!(scene.ids(&query, arguments).await, expected, "{text}");
    }
}

async fn every_type_comes_back_as_what_it_is(scene: Scene) {
    let query = scene.query(&[(2, Test::Equal("id".to_owned()))]);
    let arguments = [Value::Null, Value::Null, Value::Int64(3), Value::Null, Value::Null];
    let question = Question { arguments: &arguments, after: None, rows: 100 };
    let answer = scene.answers.answer(&query, question).await.unwrap();
    let expected = [
        Value::Int64(3),
        Value::Text("O'Neil".to_owned()),
        Value::Timestamp(START + 1_000_000),
        Value::Text(TEXTS[3].to_owned()),
        Value::Boolean(true),
        Value::Date(20_487),
        Value::Decimal("12.53".to_owned()),
        Value::Null,
    ];
    assert_eq!(answer.rows, [expected]);
}

async fn pages_give_every_row_once_whatever_their_size(scene: Scene) {
    let query = scene.query(&[]);
    for size in [1, 2, 5, 6, 7] {
        let (mut found, mut after): (Vec<i64>, Option<Vec<Value>>) = (Vec::new(), None);
        loop {
            let arguments = [const { Value::Null }; 5];
            let question = Question { arguments: &arguments, after: after.as_deref(), rows: size };
            let answer = scene.answers.answer(&query, question).await.unwrap();
            found.extend(answer.rows.iter().map(id));
            after = answer.rows.last().map(|row| vec![row[2].clone(), row[0].clone()]);
            if !answer.more {
                break;
            }
        }
        assert_eq!(found, [4, 5, 2, 3, 0, 1], "pages of {size}");
    }
}

async fn words_follow_changes_and_deletes(mut scene: Scene) {
    let deletes = Some(BooleanArray::from(vec![false, true, false]));
    let changed = rows(&[(3, "outra coisa"), (4, ""), (7, "garantia nova")], 6);
    scene.lane.commit(&[StoreRows { deletes, ..changed }], 9).await.unwrap();
    scene.refresh().await;
    assert_eq!(scene.with_words("garantia").await, [7]);
    assert_eq!(scene.with_words("outra").await, [3]);
    assert_eq!(scene.with_words("estendida").await, [] as [i64; 0]);
}

async fn an_index_or_a_field_that_is_not_there_is_named(scene: Scene) {
    let arguments = [const { Value::Null }; 5];
    let question = Question { arguments: &arguments, after: None, rows: 1 };
    let missing = Scene { index: "nowhere".to_owned(), ..scene };
    let error = missing.answers.answer(&missing.query(&[]), question).await.unwrap_err();
    assert!(matches!(error, QueryError::Definition { .. }) && error.to_string().contains("nowhere"), "{error}");
}

async fn words_of_a_column_without_an_index_are_for_a_person(scene: Scene) {
    let query = scene.query(&[(0, Test::Words(vec!["customer".to_owned()]))]);
    let arguments = [Value::Text("ana".to_owned()), Value::Null, Value::Null, Value::Null, Value::Null];
    let question = Question { arguments: &arguments, after: None, rows: 1 };
    let error = scene.answers.answer(&query, question).await.unwrap_err();
    assert!(matches!(error, QueryError::Definition { .. }), "{error:?}");
}

/// Each test, for each store.
macro_rules! of_every_store {
    ($($promise:ident),* $(,)?) => {
        of_every_store!(@ sqlite: $($promise),*);
        of_every_store!(@ mariadb: $($promise),*);
        of_every_store!(@ elasticsearch: $($promise),*);
        of_every_store!(@ opensearch: $($promise),*);
    };
    (@ $store:ident: $($promise:ident),*) => {
        mod $store {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                if let Some(scene) = super::$store().await {
                    super::$promise(scene).await;
                }
            })*
        }
    };
}

of_every_store!(
    rows_have_all_words_whatever_their_case,
    accents_make_no_difference,
    words_are_letters_and_digits_in_a_row,
    what_looks_like_an_operator_is_none,
    conditions_hold_together_and_an_absent_one_asks_for_nothing,
    one_of_several_named_values_is_enough,
    every_type_comes_back_as_what_it_is,
    pages_give_every_row_once_whatever_their_size,
    words_follow_changes_and_deletes,
    an_index_or_a_field_that_is_not_there_is_named,
    words_of_a_column_without_an_index_are_for_a_person,
);

/// As docs/search.md says that it is done after a crash, and as a new column does it. `com` is a stop word of the server's.
#[tokio::test]
async fn every_word_is_still_found_once_the_index_of_mariadb_was_made_anew() {
    let Some(fixture) = mysql_fixture::database().await else { return };
    let scene = mariadb_scene(&fixture).await;
    assert_eq!(scene.with_words("com").await, [5]);
    let mut connection = MySqlConnection::connect(&fixture.url).await.unwrap();
    let anew = "SET SESSION innodb_ft_enable_stopword = OFF; OPTIMIZE TABLE events";
    sqlx::raw_sql(anew).execute(&mut connection).await.unwrap();
    assert_eq!(scene.with_words("com").await, [5], "after OPTIMIZE TABLE");
    let wider: Vec<Field> = columns().into_iter().chain([Field::new("added", DataType::Text, true)]).collect();
    let target = Target::Table { fulltext: vec!["words".to_owned()] };
    let output = StoreOutput { target, ..output("events", &wider, &[0], WriteMode::Upsert) };
    fixture.store.prepare(&output).await.unwrap();
    assert_eq!(scene.with_words("com").await, [5], "after a new column");
}

/// It may have no number that `VACUUM` keeps.
#[tokio::test]
async fn a_sqlite_table_that_was_made_without_an_index_of_words_has_to_be_made_anew() {
    let directory = TempDir::new().unwrap();
    let url = format!("sqlite://{}", directory.path().join("warehouse.db").display());
    let store = open_store("engine", &url).unwrap();
    let plain = output("events", &columns(), &[0], WriteMode::Upsert);
    store.prepare(&plain).await.unwrap();
    let target = Target::Table { fulltext: vec!["words".to_owned()] };
    let error = store.prepare(&StoreOutput { target, ..plain }).await.unwrap_err().to_string();
    assert!(error.contains("`azenha_rowid`") && error.contains("CREATE TABLE"), "{error}");
}

/// With accents or without, on either side.
#[tokio::test]
async fn in_a_language_words_are_found_in_their_other_forms() {
    let scene = engine("AZENHA_TEST_OPENSEARCH", index(Some(Language::Portuguese)), None).await;
    let Some(mut scene) = scene else { return };
    let texts = ["duas reclamações", "a reclamação", "os pães espanhóis", "um pao espanhol", "caixas azuis"];
    let texts: Vec<(i64, &str)> = (10..).zip(texts).collect();
    scene.lane.commit(&[rows(&texts, 6)], 11).await.unwrap();
    scene.refresh().await;
    for (text, expected) in [
        ("produtos", vec![0, 2, 3]),
        ("trocas", vec![2]),
        ("reclamação", vec![3, 10, 11]),
        ("reclamações", vec![3, 10, 11]),
        ("RECLAMACOES", vec![3, 10, 11]),
        ("reclamacao", vec![3, 10, 11]),
        ("pão", vec![12, 13]),
        ("paes", vec![12, 13]),
        ("espanhois", vec![12, 13]),
        ("espanhol", vec![12, 13]),
        ("caixa", vec![14]),
        ("reclamante", vec![]),
    ] {
        assert_eq!(scene.with_words(text).await, expected, "{text}");
    }
}
