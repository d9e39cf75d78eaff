//! What every [`Store`](azenha_engine::store::Store) promises.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray};
use azenha_engine::store::{StoreError, StoreLaneId, StoreRows};
use azenha_model::plan::WriteMode;
use azenha_model::{DataType, Field};
use futures::future::join_all;

use crate::store_helpers::*;
pub use crate::store_refusals::*;
pub use crate::store_values::*;

/// Both are there after the commit.
pub async fn rows_and_position_are_committed_together(fixture: &dyn StoreFixture) {
    let output = simple("together");
    let mut owner = prepared(fixture.store(), &output).await;
    assert_eq!(owner.position(), None);
    owner.commit(&[puts(0, &[(1, "a"), (2, "b")])], 2).await.unwrap();
    assert_eq!(owner.position(), Some(2));
    owner.commit(&[puts(2, &[(2, "B"), (3, "c")]), puts(4, &[(4, "d")])], 10).await.unwrap();
    assert_eq!(owner.position(), Some(10));
    assert_eq!(found(fixture, "together").await, ["1=a", "2=B", "3=c", "4=d"]);
}

/// A new owner starts where the last commit ended, each lane for itself.
pub async fn a_lane_resumes_from_its_own_position(fixture: &dyn StoreFixture) {
    let output = simple("resumed");
    fixture.store().prepare(&output).await.unwrap();
    for partition in [0, 1] {
        let mut owner = fixture.store().open(&output, &lane(&output, partition, 0)).await.unwrap();
        assert_eq!(owner.position(), None);
        let next = 10 + u64::from(partition);
        owner.commit(&[puts(next - 1, &[(i64::from(partition), "x")])], next).await.unwrap();
    }
    for partition in [0, 1] {
        let owner = fixture.store().open(&output, &lane(&output, partition, 0)).await.unwrap();
        assert_eq!(owner.position(), Some(10 + u64::from(partition)));
    }
}

/// A lane whose input gives no rows still moves on.
pub async fn a_commit_may_hold_only_a_position(fixture: &dyn StoreFixture) {
    let output = simple("position_only");
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[], 5).await.unwrap();
    owner.commit(&[puts(5, &[])], 5).await.unwrap();
    let owner = fixture.store().open(&output, &lane(&output, 0, 0)).await.unwrap();
    assert_eq!(owner.position(), Some(5));
    assert!(found(fixture, "position_only").await.is_empty());
}

/// A replay that begins too early is an error, not a second effect.
pub async fn rows_below_the_position_are_not_written_again(fixture: &dyn StoreFixture) {
    let output = output("replayed", &fields(), &[], WriteMode::Append);
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[puts(0, &[(1, "a"), (2, "b")])], 2).await.unwrap();
    for (rows, next) in [(puts(1, &[(2, "b"), (3, "c")]), 3), (puts(0, &[(1, "a")]), 1)] {
        assert!(owner.commit(&[rows], next).await.is_err());
    }
    assert_eq!(found(fixture, "replayed").await, ["1=a", "2=b"]);
    let mut owner = fixture.store().open(&output, &lane(&output, 0, 0)).await.unwrap();
    assert_eq!(owner.position(), Some(2));
    owner.commit(&[puts(2, &[(3, "c")])], 3).await.unwrap();
    assert_eq!(found(fixture, "replayed").await, ["1=a", "2=b", "3=c"]);
}

/// Taking a lane ends the earlier owner's right to write.
pub async fn an_older_owner_is_fenced(fixture: &dyn StoreFixture) {
    let output = simple("fenced");
    let mut first = prepared(fixture.store(), &output).await;
    first.commit(&[puts(0, &[(1, "first")])], 1).await.unwrap();
    let mut second = fixture.store().open(&output, &lane(&output, 0, 0)).await.unwrap();
    for _ in 0..2 {
        let error = first.commit(&[puts(1, &[(1, "stale")])], 2).await.unwrap_err();
        assert!(matches!(error, StoreError::Fenced { partition: 0, .. }), "{error}");
    }
    second.commit(&[puts(1, &[(2, "second")])], 2).await.unwrap();
    assert_eq!(found(fixture, "fenced").await, ["1=first", "2=second"]);
}

/// The expected offset guards beside the epoch.
pub async fn a_position_that_somebody_moved_fences(fixture: &dyn StoreFixture) {
    let output = simple("moved");
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    fixture.move_lanes("topic-of-moved", 7).await;
    let error = owner.commit(&[puts(1, &[(2, "b")])], 2).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    assert_eq!(found(fixture, "moved").await, ["1=a"]);
}

/// A deliberate re-run reads from its start and writes over the old rows; the old generation is fenced.
pub async fn a_new_generation_starts_over_the_old_rows(fixture: &dyn StoreFixture) {
    let output = simple("generations");
    let mut old = prepared(fixture.store(), &output).await;
    old.commit(&[puts(0, &[(1, "old"), (2, "old")])], 2).await.unwrap();
    let mut new = fixture.store().open(&output, &lane(&output, 0, 1)).await.unwrap();
    assert_eq!(new.position(), None);
    new.commit(&[puts(0, &[(1, "new")])], 1).await.unwrap();
    assert!(matches!(old.commit(&[], 3).await, Err(StoreError::Fenced { .. })));
    assert!(matches!(fixture.store().open(&output, &lane(&output, 0, 0)).await, Err(StoreError::Fenced { .. })));
    assert_eq!(fixture.store().open(&output, &lane(&output, 0, 1)).await.unwrap().position(), Some(1));
    assert_eq!(found(fixture, "generations").await, ["1=new", "2=old"]);
}

/// A paused lane is sent elsewhere: its next generation begins there, and whoever wrote before is fenced.
pub async fn a_position_that_is_set_is_where_the_next_generation_begins(fixture: &dyn StoreFixture) {
    let output = output("sent_back", &fields(), &[], WriteMode::Append);
    let mut old = prepared(fixture.store(), &output).await;
    let store = fixture.store();
    assert_eq!(store.position(&lane(&output, 1, 0)).await.unwrap(), None);
    old.commit(&[puts(0, &[(1, "a"), (2, "b"), (3, "c")])], 3).await.unwrap();
    assert_eq!(store.position(&lane(&output, 0, 0)).await.unwrap(), Some(3));
    for position in [2, 1] {
        store.set_position(&lane(&output, 0, 1), position).await.unwrap();
        assert_eq!(store.position(&lane(&output, 0, 0)).await.unwrap(), Some(position));
    }
    store.set_position(&lane(&output, 1, 1), 7).await.unwrap();
    assert!(matches!(old.commit(&[], 4).await, Err(StoreError::Fenced { .. })));
    assert!(matches!(store.set_position(&lane(&output, 0, 0), 0).await, Err(StoreError::Fenced { .. })));
    let mut new = store.open(&output, &lane(&output, 0, 1)).await.unwrap();
    assert_eq!(new.position(), Some(1));
    new.commit(&[puts(1, &[(2, "b"), (3, "c")])], 3).await.unwrap();
    assert_eq!(found(fixture, "sent_back").await, ["1=a", "2=b", "2=b", "3=c", "3=c"]);
    assert_eq!(store.open(&output, &lane(&output, 1, 1)).await.unwrap().position(), Some(7));
}

/// Offsets of a topic that was made anew mean something else: its lane is refused, and the old one's owner goes on.
pub async fn another_topic_of_the_same_name_is_refused(fixture: &dyn StoreFixture) {
    let output = simple("anew");
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[puts(0, &[(1, "old")])], 7).await.unwrap();
    let anew = |generation| StoreLaneId { topic_id: "second".to_owned(), ..lane(&output, 0, generation) };
    let Err(StoreError::Definition(said)) = fixture.store().open(&output, &anew(0)).await.map(drop) else {
        panic!("the lane of another topic was taken");
    };
    assert!(said.contains("offset 7") && said.contains("topic-of-anew"), "{said}");
    owner.commit(&[puts(7, &[(2, "old")])], 8).await.unwrap();
    assert_eq!(fixture.store().open(&output, &anew(1)).await.unwrap().position(), None, "a new generation starts over");
    assert_eq!(found(fixture, "anew").await, ["1=old", "2=old"]);
}

/// Partitions of a topic share a table, and several hosts may make it.
pub async fn lanes_write_to_one_table_at_once(fixture: &dyn StoreFixture) {
    const COMMITS: u64 = 10;
    let output = &simple("shared");
    let lanes = (0..4).map(async |partition: u32| {
        // A database may refuse for a moment what somebody else is doing: whoever prepares tries again.
        while let Err(error) = fixture.store().prepare(output).await {
            assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        }
        let mut owner = fixture.store().open(output, &lane(output, partition, 0)).await.unwrap();
        for offset in 0..COMMITS {
            let id = (u64::from(partition) * COMMITS + offset) as i64;
            owner.commit(&[puts(offset, &[(id, "x")])], offset + 1).await.unwrap();
        }
    });
    join_all(lanes).await;
    assert_eq!(found(fixture, "shared").await.len() as u64, 4 * COMMITS);
}

/// A delete names its row by the key; one of a row that is not there does nothing.
pub async fn deleted_rows_are_gone(fixture: &dyn StoreFixture) {
    let output = simple("deleted");
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[puts(0, &[(1, "a"), (2, "b"), (3, "c")])], 3).await.unwrap();
    owner.commit(&[changes(3, &[(2, None), (4, Some("d")), (9, None)])], 6).await.unwrap();
    assert_eq!(found(fixture, "deleted").await, ["1=a", "3=c", "4=d"]);
}

/// Within one commit, over its batches, whatever was done before.
pub async fn of_rows_with_one_key_the_last_counts(fixture: &dyn StoreFixture) {
    let output = simple("last");
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[puts(0, &[(1, "old"), (4, "old")])], 2).await.unwrap();
    let first = changes(2, &[(1, Some("a")), (2, Some("b")), (1, None), (3, None), (2, Some("c"))]);
    let second = changes(7, &[(3, Some("d")), (2, None), (4, Some("e")), (2, Some("f"))]);
    owner.commit(&[first, second], 11).await.unwrap();
    assert_eq!(found(fixture, "last").await, ["2=f", "3=d", "4=e"]);
}

/// All columns of a key count, for upserts and for deletes.
pub async fn a_key_may_have_several_columns(fixture: &dyn StoreFixture) {
    let fields = [
        Field::new("campaign", DataType::Text, false),
        Field::new("start_time", DataType::Timestamp, false),
        Field::new("clicks", DataType::Int64, true),
    ];
    let output = output("composite", &fields, &[0, 1], WriteMode::Upsert);
    let rows = |first, campaigns: Vec<&str>, starts: Vec<i64>, clicks: Vec<Option<i64>>| {
        let starts = TimestampMicrosecondArray::from(starts).with_timezone("UTC");
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(campaigns)), Arc::new(starts), Arc::new(Int64Array::from(clicks))];
        batch(&fields, columns, first)
    };
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[rows(0, vec!["a", "a", "b"], vec![0, 1000, 0], vec![Some(1), Some(2), Some(3)])], 3).await.unwrap();
    let deletes = Some(BooleanArray::from(vec![false, true]));
    let second = StoreRows { deletes, ..rows(3, vec!["a", "a"], vec![0, 1000], vec![Some(7), None]) };
    owner.commit(&[second], 5).await.unwrap();
    let clicks: Vec<_> = fixture.rows("composite", &fields).await.into_iter().map(|row| row[2].clone()).collect();
    assert_eq!(clicks, [Some("7".to_owned()), Some("3".to_owned())]);
}

/// A set: a row that is there stays.
pub async fn a_table_may_have_only_keys(fixture: &dyn StoreFixture) {
    let output = output("keys_only", &fields()[..1], &[0], WriteMode::Upsert);
    let rows = |first, ids: Vec<i64>| batch(&fields()[..1], vec![Arc::new(Int64Array::from(ids)) as ArrayRef], first);
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[rows(0, vec![1, 2])], 2).await.unwrap();
    owner.commit(&[rows(2, vec![2, 3])], 4).await.unwrap();
    assert_eq!(fixture.rows("keys_only", &fields()[..1]).await.len(), 3);
}

/// A null is written, also over a value.
pub async fn nulls_replace_values(fixture: &dyn StoreFixture) {
    let output = simple("nulls");
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[puts(0, &[(1, "a"), (2, "")])], 2).await.unwrap();
    let null = StoreRows { deletes: None, ..changes(2, &[(1, None)]) };
    owner.commit(&[null], 3).await.unwrap();
    assert_eq!(found(fixture, "nulls").await, ["1=null", "2="]);
}

/// A lane that is sent back writes the same rows again, and the table is the same afterwards.
pub async fn any_suffix_may_be_replayed(fixture: &dyn StoreFixture) {
    const CHANGES: [(i64, Option<&str>); 8] = [
        (1, Some("a")),
        (2, Some("b")),
        (1, None),
        (3, Some("c")),
        (2, Some("B")),
        (3, None),
        (1, Some("A")),
        (4, None),
    ];
    let output = simple("suffixes");
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[changes(0, &CHANGES)], 8).await.unwrap();
    for from in 0..=CHANGES.len() {
        let lane = lane(&output, 0, 1 + from as u32);
        fixture.store().set_position(&lane, from as u64).await.unwrap();
        let mut owner = fixture.store().open(&output, &lane).await.unwrap();
        for (index, change) in CHANGES.iter().enumerate().skip(from) {
            owner.commit(&[changes(index as u64, &[*change])], index as u64 + 1).await.unwrap();
        }
        assert_eq!(found(fixture, "suffixes").await, ["1=A", "2=B"], "from {from}");
    }
}

/// Equal rows are two rows, and deletes are refused.
pub async fn an_appending_sink_adds_every_row(fixture: &dyn StoreFixture) {
    let output = output("appended", &fields(), &[], WriteMode::Append);
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[puts(0, &[(1, "a"), (1, "a")]), puts(2, &[(1, "a")])], 3).await.unwrap();
    assert_eq!(found(fixture, "appended").await, ["1=a", "1=a", "1=a"]);
    let refused = refused(owner.commit(&[changes(3, &[(2, Some("b")), (1, None)])], 5).await);
    assert_eq!(places(&refused), [(0, 1)]);
    assert_eq!(found(fixture, "appended").await.len(), 3);
}

/// More rows than fit one statement of any database.
pub async fn many_rows_are_written_in_one_commit(fixture: &dyn StoreFixture) {
    let output = simple("many");
    let mut owner = prepared(fixture.store(), &output).await;
    let rows: Vec<(i64, &str)> = (0..20_011).map(|id| (id, "x")).collect();
    owner.commit(&[puts(0, &rows)], 20_011).await.unwrap();
    let deletes: Vec<(i64, Option<&str>)> = (0..20_000).map(|id| (id, None)).collect();
    owner.commit(&[changes(20_011, &deletes)], 50_000).await.unwrap();
    assert_eq!(found(fixture, "many").await.len(), 11);
}

/// Lanes live on threads with runtimes of their own, which need neither timers nor I/O.
pub async fn a_store_can_be_used_from_another_runtime(fixture: &dyn StoreFixture) {
    let output = simple("elsewhere");
    fixture.store().prepare(&output).await.unwrap();
    let use_it = async {
        let mut owner = fixture.store().open(&output, &lane(&output, 0, 0)).await.unwrap();
        owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    };
    // Blocks this thread, not the runtime that does the store's I/O.
    std::thread::scope(|scope| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        scope.spawn(move || runtime.block_on(use_it)).join().unwrap();
    });
    assert_eq!(found(fixture, "elsewhere").await, ["1=a"]);
}
