//! Rows that a store refuses, and what becomes of the others.

use std::sync::Arc;

use arrow_array::{Int64Array, TimestampMicrosecondArray};
use azenha_model::plan::WriteMode;
use azenha_model::{DataType, Field};

use crate::store_helpers::*;

/// Timestamps that no database function reads are the row's fault, not the store's.
pub async fn dates_beyond_the_calendar_are_refused_alone(fixture: &dyn StoreFixture) {
    let fields = [Field::new("id", DataType::Int64, false), Field::new("at", DataType::Timestamp, true)];
    let at = TimestampMicrosecondArray::from(vec![0, i64::MIN, 1, i64::MAX]).with_timezone("UTC");
    let rows = batch(&fields, vec![Arc::new(Int64Array::from(vec![1, 2, 3, 4])), Arc::new(at)], 0);
    let output = output("calendar", &fields, &[0], WriteMode::Upsert);
    let mut owner = prepared(fixture.store(), &output).await;
    let refused = refused(owner.commit(&[rows], 4).await);
    assert_eq!(places(&refused), [(0, 1), (0, 3)]);
    assert!(refused[0].reason.contains("column `at`") && refused[0].reason.contains("years 1 to 9999"), "{refused:?}");
}

/// The guilty rows are told by batch and row, and without them the commit can be done.
pub async fn poison_rows_are_refused_alone_and_nothing_else_is_written(fixture: &dyn StoreFixture) {
    let output = simple("poison");
    fixture.make("poison", Rule::NoPoison).await;
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[puts(0, &[(500, "before")])], 1).await.unwrap();
    let healthy: Vec<(i64, &str)> = (0..300).map(|id| (id, "healthy")).collect();
    let mut sick = healthy.clone();
    (sick[7].1, sick[299].1) = ("poison", "poison");
    let rows = [puts(1, &[(1000, "first"), (1001, "poison")]), puts(3, &sick)];
    for _ in 0..2 {
        let refused = refused(owner.commit(&rows, 400).await);
        assert_eq!(places(&refused), [(0, 1), (1, 7), (1, 299)]);
        let names_rule = |reason: &str| reason.contains("check") || reason.contains("validator");
        assert!(refused.iter().all(|row| names_rule(&row.reason.to_lowercase())), "{}", refused[0].reason);
        assert_eq!(owner.position(), Some(1));
        assert_eq!(found(fixture, "poison").await, ["500=before"]);
    }
    owner.commit(&[puts(1, &[(1000, "first")]), puts(3, &healthy)], 400).await.unwrap();
    assert_eq!(found(fixture, "poison").await.len(), 302);
    assert_eq!(owner.position(), Some(400));
}

/// Whatever the size of a commit.
pub async fn one_poison_row_of_twenty_thousand_is_found(fixture: &dyn StoreFixture) {
    fixture.make("needle", Rule::NoPoison).await;
    let mut owner = prepared(fixture.store(), &simple("needle")).await;
    let mut rows: Vec<(i64, &str)> = (0..20_000).map(|id| (id, "healthy")).collect();
    rows[13_579].1 = "poison";
    assert_eq!(places(&refused(owner.commit(&[puts(0, &rows)], 20_000).await)), [(0, 13_579)]);
}

/// As an upserting one does.
pub async fn an_appending_sink_refuses_poison_rows_alone(fixture: &dyn StoreFixture) {
    fixture.make("poisoned", Rule::NoPoison).await;
    let output = output("poisoned", &fields(), &[], WriteMode::Append);
    let mut owner = prepared(fixture.store(), &output).await;
    let rows = [puts(0, &[(1, "a"), (2, "poison"), (3, "b")]), puts(3, &[(4, "poison")]), puts(4, &[(5, "c")])];
    assert_eq!(places(&refused(owner.commit(&rows, 5).await)), [(0, 1), (1, 0)]);
    assert!(found(fixture, "poisoned").await.is_empty());
    owner.commit(&[puts(0, &[(1, "a"), (3, "b")]), puts(4, &[(5, "c")])], 5).await.unwrap();
    assert_eq!(found(fixture, "poisoned").await, ["1=a", "3=b", "5=c"]);
}

/// From a row that is deleted in the same commit, and from one that changes in it.
pub async fn a_row_may_take_what_was_unique_to_another(fixture: &dyn StoreFixture) {
    fixture.make("handed", Rule::UniqueNames).await;
    let mut owner = prepared(fixture.store(), &simple("handed")).await;
    owner.commit(&[puts(0, &[(5, "five"), (6, "six")])], 2).await.unwrap();
    owner.commit(&[changes(2, &[(5, None), (1, Some("five"))])], 4).await.unwrap();
    owner.commit(&[changes(4, &[(6, Some("new")), (2, Some("six"))])], 6).await.unwrap();
    assert_eq!(found(fixture, "handed").await, ["1=five", "2=six", "6=new"]);
}

/// But not the values, which may be personal.
pub async fn a_refusal_names_the_constraint(fixture: &dyn StoreFixture) {
    fixture.make("taken", Rule::UniqueNames).await;
    let output = simple("taken");
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[puts(0, &[(1, "personal")])], 1).await.unwrap();
    let refused = refused(owner.commit(&[puts(1, &[(2, "b"), (3, "personal")])], 3).await);
    assert_eq!(places(&refused), [(0, 1)]);
    let reason = &refused[0].reason;
    assert!(reason.to_lowercase().contains("unique") && reason.contains("name"), "{reason}");
    assert!(!reason.contains("personal"), "{reason}");
}
