//! Queries, asked of every SQL database: SQLite always, the others where there is a server.

#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "tests fail by panicking, and share fixtures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use azenha_connect::open_store;
use azenha_connect::query::{Answers, QueryError, Question, open_answers};
use azenha_engine::store::{Store, StoreError, StoreLaneId};
use azenha_model::query::{Ask, IfAbsent, OrderBy, Parameter, Path, Piece, Query, RowLimit, Sql, Value};
use azenha_model::{DataType, Field};
use futures::future::join_all;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

mod mysql_fixture;
mod postgres_fixture;
mod sql_fixture;

/// A row of each kind of value; ids and times are filled in. Times come in pairs.
const ROWS: u32 = 10;

/// A database with a table `events`.
struct Scene {
    answers: Arc<dyn Answers>,
    store: Arc<dyn Store>,
    /// A statement that takes long.
    slow: &'static str,
    /// Statements that would write, if they could.
    writes: &'static [&'static str],
    _directory: Option<TempDir>,
}

impl Scene {
    fn lane() -> StoreLaneId {
        StoreLaneId {
            pipeline: "shop".to_owned(),
            sink: "events".to_owned(),
            topic: "events".to_owned(),
            topic_id: "0".to_owned(),
            partition: 0,
            generation: 0,
        }
    }
}

async fn fill<C: Connection>(connection: &mut C, types: &str)
where
    for<'c> &'c mut C: sqlx::Executor<'c, Database = C::Database>,
{
    let mut sql = format!("CREATE TABLE events ({types});");
    for id in 0..ROWS {
        let moment = format!("2026-01-31 12:00:{:02}", id / 2);
        let name = if id == 0 { "O''Neil; -- \"x\"" } else { "ação" };
        sql += &format!(
            "INSERT INTO events VALUES ({id}, '{moment}', '{name}', 12.50, 0.5, 1=1, '2026-01-31', '23:59:59', NULL, '{{\"a\":1.10}}');"
        );
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

async fn sqlite() -> Option<Scene> {
    let directory = TempDir::new().unwrap();
    let url = format!("sqlite://{}", directory.path().join("warehouse.db").display());
    let mut connection = SqliteConnection::connect(&format!("{url}?mode=rwc")).await.unwrap();
    let types =
        "id BIGINT, moment TIMESTAMP, name TEXT, price DECIMAL_TEXT(38, 2), ratio DOUBLE, flag BOOLEAN, day DATE,
        clock TIME, missing TEXT, document JSON_TEXT";
    fill(&mut connection, types).await;
    sqlx::raw_sql("UPDATE events SET price = '12.50'").execute(&mut connection).await.unwrap();
    Some(Scene {
        answers: open_answers("warehouse", &url).unwrap(),
        store: open_store("warehouse", &url).unwrap(),
        slow: "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT MAX(x) AS id FROM n",
        writes: &["SELECT id FROM events) AS q; DELETE FROM events; --"],
        _directory: Some(directory),
    })
}

async fn postgres() -> Option<Scene> {
    let fixture = postgres_fixture::database().await?;
    let types = "id bigint, moment timestamptz, name text, price numeric(38, 2), ratio double precision, flag boolean,
        day date, clock time, missing text, document jsonb";
    let mut connection = fixture.connect().await;
    sqlx::raw_sql("SET TIME ZONE 'UTC'").execute(&mut connection).await.unwrap();
    fill(&mut connection, types).await;
    sqlx::raw_sql("CREATE SEQUENCE numbers").execute(&mut connection).await.unwrap();
    Some(Scene {
        answers: open_answers("warehouse", &fixture.url).unwrap(),
        store: Arc::clone(&fixture.store),
        slow: "SELECT 1 AS id FROM pg_sleep(20)",
        writes: &[
            "WITH gone AS (DELETE FROM events RETURNING id) SELECT id FROM gone",
            "SELECT nextval('numbers') AS id",
            "SELECT id FROM events FOR UPDATE",
        ],
        _directory: None,
    })
}

async fn mariadb() -> Option<Scene> {
    let fixture = mysql_fixture::database().await?;
    let types = "id BIGINT, moment DATETIME(6), name LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
        price DECIMAL(38, 2), ratio DOUBLE, flag TINYINT(1), day DATE, clock TIME(6), missing LONGTEXT, document JSON";
    let mut connection = fixture.connect().await;
    sqlx::raw_sql("SET time_zone = '+00:00'").execute(&mut connection).await.unwrap();
    fill(&mut connection, types).await;
    Some(Scene {
        answers: open_answers("warehouse", &fixture.url).unwrap(),
        store: Arc::clone(&fixture.store),
        slow: "SELECT SLEEP(20) AS id",
        writes: &["SELECT id FROM events) AS q; DELETE FROM events; --"],
        _directory: None,
    })
}

/// A query of these columns, whose parameters are all texts that a request has to give.
fn query(sql: &str, columns: &[(&str, DataType)], parameters: &[(&str, DataType)]) -> Query {
    let names: Vec<&str> = parameters.iter().map(|(name, _)| *name).collect();
    let parameter = |(name, data_type): &(&str, DataType)| Parameter {
        name: (*name).to_owned(),
        data_type: *data_type,
        if_absent: IfAbsent::Required,
        least: None,
        most: None,
        max_length: 100,
    };
    Query {
        name: "events".to_owned(),
        path: Path::parse("/events").unwrap(),
        connection: "warehouse".to_owned(),
        parameters: parameters.iter().map(parameter).collect(),
        // What the check of a file would refuse is asked, too: the database alone must keep it from writing.
        ask: Ask::Sql(Sql::parse(sql, &names).unwrap_or_else(|_| Sql(vec![Piece::Text(sql.to_owned())]))),
        columns: columns.iter().map(|(name, data_type)| Field::new(*name, *data_type, true)).collect(),
        order: Vec::new(),
        limit: RowLimit { default: 50, most: 500 },
        time_limit: Duration::from_secs(10),
        freshness: None,
    }
}

async fn ask(scene: &Scene, query: &Query, arguments: &[Value]) -> Result<Vec<Vec<Value>>, QueryError> {
    let question = Question { arguments, after: None, rows: 100 };
    scene.answers.answer(query, question).await.map(|answer| answer.rows)
}

async fn count(scene: &Scene) -> Vec<Vec<Value>> {
    let count = query("SELECT COUNT(*) AS n FROM events", &[("n", DataType::Int64)], &[]);
    ask(scene, &count, &[]).await.unwrap()
}

const ID: (&str, DataType) = ("id", DataType::Int64);

async fn every_type_comes_back_as_what_it_is(scene: Scene) {
    let columns = [
        ID,
        ("moment", DataType::Timestamp),
        ("name", DataType::Text),
        ("price", DataType::Decimal { scale: 2 }),
        ("ratio", DataType::Float64),
        ("flag", DataType::Boolean),
        ("day", DataType::Date),
        ("clock", DataType::Time),
        ("missing", DataType::Text),
        ("document", DataType::Json),
    ];
    let rows = ask(&scene, &query("SELECT * FROM events WHERE id = 0", &columns, &[]), &[]).await.unwrap();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    let document = match &row[9] {
        Value::Json(text) => serde_json::from_str::<serde_json::Value>(text).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(document, serde_json::json!({ "a": 1.1 }));
    assert_eq!(
        row[..9],
        [
            Value::Int64(0),
            Value::Timestamp(1_769_860_800_000_000),
            Value::Text("O'Neil; -- \"x\"".to_owned()),
            Value::Decimal("12.50".to_owned()),
            Value::Float64(0.5),
            Value::Boolean(true),
            Value::Date(20_484),
            Value::Time(86_399_000_000),
            Value::Null,
        ]
    );
}

async fn arguments_are_values_and_never_text_of_the_statement(scene: Scene) {
    let by_name = query("SELECT id FROM events WHERE name = :name", &[ID], &[("name", DataType::Text)]);
    let ids = async |name: &str| ask(&scene, &by_name, &[Value::Text(name.to_owned())]).await.unwrap().len();
    assert_eq!(ids("O'Neil; -- \"x\"").await, 1);
    for attack in
        ["' OR '1'='1", "x'; DELETE FROM events; --", "\\' OR 1=1 -- ", "%", "ação' UNION SELECT 1 --", ":name"]
    {
        assert_eq!(ids(attack).await, 0, "{attack}");
    }
    assert_eq!(count(&scene).await, [[Value::Int64(i64::from(ROWS))]]);
}

async fn arguments_of_every_type_are_compared_as_what_they_are(scene: Scene) {
    let parameters = [
        ("moment", DataType::Timestamp),
        ("day", DataType::Date),
        ("ratio", DataType::Float64),
        ("flag", DataType::Boolean),
        ("name", DataType::Text),
    ];
    let sql = "SELECT id FROM events WHERE moment >= :moment AND day = :day AND ratio < :ratio AND flag = :flag
        AND (:name IS NULL OR name = :name)";
    let query = query(sql, &[ID], &parameters);
    let arguments = |name: Value| {
        let moment = Value::Timestamp(1_769_860_801_000_000);
        [moment, Value::Date(20_484), Value::Float64(0.75), Value::Boolean(true), name]
    };
    assert_eq!(ask(&scene, &query, &arguments(Value::Null)).await.unwrap().len(), 8);
    assert_eq!(ask(&scene, &query, &arguments(Value::Text("ação".to_owned()))).await.unwrap().len(), 8);
    assert_eq!(ask(&scene, &query, &arguments(Value::Text("acao".to_owned()))).await.unwrap().len(), 0);
}

async fn pages_give_every_row_once_whatever_their_size(scene: Scene) {
    let mut query = query("SELECT id, moment FROM events", &[ID, ("moment", DataType::Timestamp)], &[]);
    query.order = vec![OrderBy { column: 1, descending: true }, OrderBy { column: 0, descending: false }];
    let expected: Vec<i64> = (0..i64::from(ROWS) / 2).rev().flat_map(|pair| [2 * pair, 2 * pair + 1]).collect();
    for size in [1, 3, 10, 11] {
        let (mut found, mut after): (Vec<i64>, Option<Vec<Value>>) = (Vec::new(), None);
        loop {
            let question = Question { arguments: &[], after: after.as_deref(), rows: size };
            let answer = scene.answers.answer(&query, question).await.unwrap();
            assert!(answer.rows.len() <= size as usize);
            for row in &answer.rows {
                let Value::Int64(id) = row[0] else { panic!("{row:?}") };
                found.push(id);
                after = Some(vec![row[1].clone(), row[0].clone()]);
            }
            if !answer.more {
                break;
            }
        }
        assert_eq!(found, expected, "pages of {size}");
    }
}

async fn a_statement_that_writes_is_refused_and_writes_nothing(scene: Scene) {
    for sql in scene.writes {
        let refused = ask(&scene, &query(sql, &[ID], &[]), &[]).await;
        assert!(refused.is_err(), "{sql}: {refused:?}");
    }
    assert_eq!(count(&scene).await, [[Value::Int64(i64::from(ROWS))]]);
}

async fn a_statement_that_takes_too_long_is_ended_and_the_next_one_is_answered(scene: Scene) {
    let mut slow = query(scene.slow, &[ID], &[]);
    slow.time_limit = Duration::from_millis(300);
    let began = Instant::now();
    for _ in 0..6 {
        let ended = ask(&scene, &slow, &[]).await;
        // MariaDB ends `SLEEP` as if it had slept.
        assert!(matches!(ended, Err(QueryError::TooLong(_)) | Ok(_)), "{ended:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(18), "a statement sleeps for 20 s");
    assert_eq!(count(&scene).await, [[Value::Int64(i64::from(ROWS))]]);
}

async fn what_does_not_fit_the_database_says_so(scene: Scene) {
    let unknown = query("SELECT nonsense FROM events", &[("nonsense", DataType::Text)], &[]);
    let error = ask(&scene, &unknown, &[]).await.unwrap_err();
    assert!(matches!(&error, QueryError::Definition { .. }) && error.to_string().contains("nonsense"), "{error}");
}

async fn whoever_finds_no_connection_is_told_so_and_stores_have_their_own(scene: Scene) {
    let mut slow = query(scene.slow, &[ID], &[]);
    // Longer than anybody waits for a connection.
    slow.time_limit = Duration::from_secs(3);
    let asked = join_all((0..20).map(|_| ask(&scene, &slow, &[])));
    let lane = Scene::lane();
    let store = scene.store.position(&lane);
    let (answers, position) = tokio::join!(asked, store);
    // Nobody made the tables of positions here: that it says so is an answer, too.
    assert!(!matches!(position, Err(StoreError::Unavailable { .. })), "{position:?}");
    let busy = answers.iter().filter(|answer| matches!(answer, Err(QueryError::Busy(_)))).count();
    let late = answers.iter().filter(|answer| matches!(answer, Err(QueryError::TooLong(_)) | Ok(_))).count();
    assert!(busy > 0 && late > 0 && busy + late == answers.len(), "{answers:?}");
}

/// As long as the pool would wait for one that starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_not_called_busy() {
    for url in ["postgres://somebody:secret@127.0.0.1:1/shop", "mysql://somebody:secret@127.0.0.1:1/shop"] {
        let answers = open_answers("warehouse", url).unwrap();
        let query = query("SELECT 1 AS id", &[ID], &[]);
        let question = || Question { arguments: &[], after: None, rows: 1 };
        for ended in join_all((0..6).map(|_| answers.answer(&query, question()))).await {
            let error = ended.unwrap_err();
            assert!(matches!(error, QueryError::Unavailable { .. }), "{error:?}");
            let said = error.to_string();
            assert!(said.contains("`warehouse`") && said.contains("refused") && !said.contains("secret"), "{said}");
        }
    }
}

/// Each test, for each database.
macro_rules! of_every_database {
    ($($promise:ident),* $(,)?) => {
        of_every_database!(@ sqlite: $($promise),*);
        of_every_database!(@ postgres: $($promise),*);
        of_every_database!(@ mariadb: $($promise),*);
    };
    (@ $database:ident: $($promise:ident),*) => {
        mod $database {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                if let Some(scene) = super::$database().await {
                    super::$promise(scene).await;
                }
            })*
        }
    };
}

of_every_database!(
    every_type_comes_back_as_what_it_is,
    arguments_are_values_and_never_text_of_the_statement,
    arguments_of_every_type_are_compared_as_what_they_are,
    pages_give_every_row_once_whatever_their_size,
    a_statement_that_writes_is_refused_and_writes_nothing,
    a_statement_that_takes_too_long_is_ended_and_the_next_one_is_answered,
    what_does_not_fit_the_database_says_so,
    whoever_finds_no_connection_is_told_so_and_stores_have_their_own,
);
