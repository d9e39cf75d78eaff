//! Connections to a store that are cut, at the worst moments too. Each check gets a fixture and its store once more,
//! behind a proxy.

use azenha_engine::store::{Store, StoreError};
use azenha_model::plan::{StoreOutput, WriteMode};

use crate::proxy::{Cut, Proxy};
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

/// Before each of the requests that a commit consists of, the later ones of statements that are prepared by then.
pub async fn a_commit_that_is_cut_anywhere_is_done_or_not(
    fixture: &dyn StoreFixture,
    proxy: &Proxy,
    store: &dyn Store,
) {
    let output = appending("cut");
    let mut owner = prepared(store, &output).await;
    let (mut next, mut request) = (0, 0);
    loop {
        request += 1;
        let rows: Vec<(i64, &str)> = (next..next + 7).map(|offset| (offset as i64, "x")).collect();
        proxy.cut_at_request(request);
        let ended = owner.commit(&[puts(next, &rows)], next + 7).await;
        if ended.is_ok() {
            next += 7;
            break;
        }
        assert!(is_unavailable(ended));
        owner = store.open(&output, &lane(&output, 0, 0)).await.unwrap();
        assert_eq!(owner.position().unwrap_or(0), next, "cut before request {request}");
        owner.commit(&[puts(next, &rows)], next + 7).await.unwrap();
        next += 7;
    }
    assert!(request > 3, "{request}");
    proxy.cut_at_request(0);
    let wanted: Vec<String> = (0..next).map(|offset| format!("{offset}=x")).collect();
    assert_eq!(found(fixture, "cut").await, wanted);
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
