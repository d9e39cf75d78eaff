//! Connections to a store that are cut, at the worst moments too. Each check gets a fixture and its store once more,
//! behind a proxy.

use azenha_engine::store::{Store, StoreError, StoreLane};
use azenha_model::Offset;
use azenha_model::plan::{StoreOutput, WriteMode};

use crate::proxy::{Cut, Lost, Proxy};
use crate::store_helpers::*;

fn is_unavailable(ended: Result<(), StoreError>) -> bool {
    matches!(ended, Err(StoreError::Unavailable { .. }))
}

fn appending(table: &str) -> StoreOutput {
    output(table, &fields(), &[], WriteMode::Append)
}

/// Both times the client learns nothing, and the stored position tells which it was.
pub async fn a_commit_whose_answer_is_lost_is_settled_by_the_position(
    fixture: &dyn StoreFixture,
    proxy: &Proxy,
    store: &dyn Store,
) {
    for (cut, table) in [(Cut::BeforeCommit, "not_done"), (Cut::AfterCommit, "done")] {
        let output = appending(table);
        let mut owner = prepared(store, &output).await;
        owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
        proxy.cut_next_commit(cut);
        assert!(is_unavailable(owner.commit(&[puts(1, &[(2, "b"), (3, "c")])], 3).await));
        assert_eq!(proxy.cuts_left(), 0);
        assert!(is_unavailable(owner.commit(&[puts(1, &[(2, "b"), (3, "c")])], 3).await), "it must be opened again");
        let mut owner = store.open(&output, &lane(&output, 0, 0)).await.unwrap();
        if cut == Cut::BeforeCommit {
            assert_eq!(owner.position(), Some(1));
            owner.commit(&[puts(1, &[(2, "b"), (3, "c")])], 3).await.unwrap();
        }
        assert_eq!(owner.position(), Some(3));
        assert_eq!(found(fixture, table).await, ["1=a", "2=b", "3=c"]);
    }
}

/// Of a sink that appends: rows that were written twice would show. Whatever a commit said when its connection was cut,
/// the stored position tells whether it happened.
pub async fn a_cut_at_any_moment_is_settled_by_the_position(
    fixture: &dyn StoreFixture,
    proxy: &Proxy,
    store: &dyn Store,
) {
    let output = appending("cuts");
    fixture.store().prepare(&output).await.unwrap();
    let mut next = 0;
    for lost in [Lost::Request, Lost::Answer] {
        for pieces in 0.. {
            let mut owner = opened(store, &output, next).await;
            proxy.cut_after(pieces, lost);
            let said = owner.commit(&[puts(next, &[(next as i64, "x"), (next as i64, "y")])], next + 2).await;
            let has_cut = proxy.has_cut();
            // Which waits for what the server is still doing.
            let stored = fixture.store().open(&output, &lane(&output, 0, 0)).await.unwrap().position();
            let is_done = stored == Some(next + 2);
            assert!(is_done || stored.unwrap_or(0) == next, "{stored:?} behind {next}");
            match said {
                Ok(()) => assert!(is_done, "{lost:?} {pieces}"),
                Err(error) => assert!(matches!(error, StoreError::Unavailable { .. }), "{lost:?} {pieces}: {error}"),
            }
            next += if is_done { 2 } else { 0 };
            let seen = found(fixture, "cuts").await.len() as u64;
            let may_be_ahead = !fixture.keeps().whole_commits && !is_done;
            assert!(seen == next || may_be_ahead && seen == next + 2, "{lost:?} {pieces}: {seen} rows");
            if !has_cut {
                break;
            }
        }
    }
    assert!(next > 0);
    let mut owner = opened(store, &output, next).await;
    let last = [puts(next, &[(next as i64, "x"), (next as i64, "y")])];
    owner.commit(&last, next + 2).await.unwrap();
    assert_eq!(found(fixture, "cuts").await.len() as u64, next + 2, "each row once");
}

async fn opened(store: &dyn Store, output: &StoreOutput, next: Offset) -> Box<dyn StoreLane> {
    let owner = store.open(output, &lane(output, 0, 0)).await.unwrap();
    assert_eq!(owner.position().unwrap_or(0), next);
    owner
}

/// Whoever cut it.
pub async fn a_lost_connection_is_unavailable_until_the_lane_is_opened_again(
    fixture: &dyn StoreFixture,
    proxy: &Proxy,
    store: &dyn Store,
) {
    let output = simple("lost");
    let mut owner = prepared(store, &output).await;
    for offset in 0..3 {
        owner.commit(&[puts(offset, &[(offset as i64, "x")])], offset + 1).await.unwrap();
        proxy.cut_all();
        let more = [puts(offset + 1, &[(9, "lost")])];
        for _ in 0..2 {
            assert!(is_unavailable(owner.commit(&more, offset + 2).await));
        }
        owner = store.open(&output, &lane(&output, 0, 0)).await.unwrap();
        assert_eq!(owner.position(), Some(offset + 1));
    }
    assert_eq!(found(fixture, "lost").await, ["0=x", "1=x", "2=x"]);
}
