//! The tables of a store: made, or checked and completed.

use azenha_engine::store::StoreError;
use azenha_model::plan::{StoreOutput, WriteMode};
use azenha_model::{DataType, Field};
use futures::future::join_all;

use crate::store_helpers::*;

/// Preparing may be repeated; a table may have more columns, in another order.
pub async fn a_table_that_exists_and_fits_is_used(fixture: &dyn TableFixture) {
    fixture.run("CREATE TABLE fits (remark TEXT, name TEXT, id BIGINT NOT NULL, CHECK (id < 1000))").await;
    fixture.run("CREATE UNIQUE INDEX fits_key ON fits (id)").await;
    let output = simple("fits");
    fixture.store().prepare(&output).await.unwrap();
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[puts(0, &[(1, "a"), (2, "b")])], 2).await.unwrap();
    owner.commit(&[changes(2, &[(1, None), (2, Some("c"))])], 4).await.unwrap();
    assert_eq!(found(fixture, "fits").await, ["2=c"]);
}

async fn definition_error(fixture: &dyn TableFixture, table: &str) -> String {
    refused_definition(fixture, &simple(table)).await
}

async fn refused_definition(fixture: &dyn TableFixture, output: &StoreOutput) -> String {
    match fixture.store().prepare(output).await {
        Err(StoreError::Definition(message)) => message,
        other => panic!("no error of definition: {other:?}"),
    }
}

/// Rows that were there have no value in it.
pub async fn a_missing_column_is_added(fixture: &dyn TableFixture) {
    fixture.run("CREATE TABLE lacks (id BIGINT NOT NULL PRIMARY KEY)").await;
    fixture.run("INSERT INTO lacks VALUES (1)").await;
    let output = simple("lacks");
    join_all((0..3).map(|_| fixture.store().prepare(&output))).await.into_iter().collect::<Result<(), _>>().unwrap();
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[puts(0, &[(2, "b")])], 1).await.unwrap();
    assert_eq!(found(fixture, "lacks").await, ["1=null", "2=b"]);
}

/// With the statement that adds it; nothing else is added either.
pub async fn a_missing_column_that_is_never_null_is_named(fixture: &dyn TableFixture) {
    fixture.run("CREATE TABLE strict (id BIGINT NOT NULL PRIMARY KEY)").await;
    let fields = [fields()[0].clone(), fields()[1].clone(), Field::new("must", DataType::Int64, false)];
    let message = refused_definition(fixture, &output("strict", &fields, &[0], WriteMode::Upsert)).await;
    assert!(message.contains("table `strict` has no column `must`"), "{message}");
    assert!(message.replace('`', "\"").contains("\"must\" ") && message.contains("NOT NULL DEFAULT"), "{message}");
    fixture.run("ALTER TABLE strict ADD COLUMN name TEXT").await;
}

/// With what was found, what is wanted, and the way there.
pub async fn a_wrong_type_is_named(fixture: &dyn TableFixture) {
    fixture.run("CREATE TABLE mistyped (id BIGINT NOT NULL PRIMARY KEY, name DATE)").await;
    let message = definition_error(fixture, "mistyped").await.to_lowercase();
    assert!(message.contains("column `name` of table `mistyped` is declared `date`"), "{message}");
    assert!(message.contains("needs `text") || message.contains("needs `longtext"), "{message}");
    assert!(message.contains("alter table") || message.contains("create table"), "{message}");
}

/// An upsert needs a unique key; a unique index over more or fewer columns is none.
pub async fn a_key_that_is_not_unique_is_named(fixture: &dyn TableFixture) {
    fixture.run("CREATE TABLE twice (id BIGINT NOT NULL, name VARCHAR(100), UNIQUE (id, name))").await;
    let message = definition_error(fixture, "twice").await.replace('`', "\"");
    assert!(message.contains("key (\"id\") is not unique"), "{message}");
    assert!(message.contains("CREATE UNIQUE INDEX \"twice_key\" ON \"twice\" (\"id\")"), "{message}");
}

/// Every insert would fail.
pub async fn a_column_that_nobody_fills_is_named(fixture: &dyn TableFixture) {
    fixture.run("CREATE TABLE unfilled (id BIGINT NOT NULL PRIMARY KEY, name TEXT, must TEXT NOT NULL)").await;
    let message = definition_error(fixture, "unfilled").await;
    assert!(message.contains("column `must` of table `unfilled`"), "{message}");
}
