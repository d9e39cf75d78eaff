//! Bulk requests that are done in part, or not at all: what is sent again, whose fault it is, and what is said of it.

use std::time::{Duration, Instant};

use azenha_conformance::store_helpers::*;
use azenha_engine::store::StoreError;

use crate::stub::{Reply, Stub, done, failed};

const BUSY: &str = "es_rejected_execution_exception";

#[tokio::test]
async fn only_what_the_engine_had_no_time_for_is_sent_again() {
    let mut turn = 0;
    let (stub, mut lane) = Stub::lane(move |ids| {
        turn += 1;
        Reply::items(ids, |id| if id == "2" && turn < 3 { failed(429, BUSY, "queue is full") } else { done() })
    })
    .await;
    lane.commit(&[puts(0, &[(1, "a"), (2, "b"), (3, "c")])], 3).await.unwrap();
    assert_eq!(stub.asked(), [vec!["1", "2", "3"], vec!["2"], vec!["2"]]);
    assert_eq!(lane.position(), Some(3));
}

#[tokio::test]
async fn an_engine_that_wants_to_be_left_alone_is_left_alone_so_long() {
    let mut turn = 0;
    let (stub, mut lane) = Stub::lane(move |ids| {
        turn += 1;
        if turn == 1 {
            Reply { retry_after: Some(2), ..Reply::error(429, BUSY) }
        } else {
            Reply::items(ids, |_| done())
        }
    })
    .await;
    let began = Instant::now();
    lane.commit(&[puts(0, &[(1, "a"), (2, "b")])], 2).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(stub.asked(), [["1", "2"], ["1", "2"]]);
}

#[tokio::test]
async fn rows_are_refused_alone_while_others_are_sent_again() {
    let mut turn = 0;
    let (stub, mut lane) = Stub::lane(move |ids| {
        turn += 1;
        Reply::items(ids, |id| match id {
            "2" => failed(400, "document_parsing_exception", "failed to parse field [name] of type [long]: 'secret'"),
            "3" if turn == 1 => failed(429, BUSY, ""),
            _ => done(),
        })
    })
    .await;
    let refused = refused(lane.commit(&[puts(0, &[(1, "a"), (2, "b"), (3, "c")])], 3).await);
    assert_eq!(places(&refused), [(0, 1)]);
    assert_eq!(refused[0].reason, "field `name` cannot hold the value (document_parsing_exception)");
    assert_eq!(stub.asked(), [vec!["1", "2", "3"], vec!["3"]]);
}

#[tokio::test]
async fn an_index_that_cannot_be_written_is_for_a_person_and_no_rows_fault() {
    for (status, kind) in
        [(400, "index_closed_exception"), (400, "validation_exception"), (403, "cluster_block_exception")]
    {
        let (_stub, mut lane) = Stub::lane(move |ids| Reply::items(ids, |_| failed(status, kind, "this is why"))).await;
        let error = lane.commit(&[puts(0, &[(1, "a"), (2, "b")])], 2).await.unwrap_err();
        assert!(matches!(error, StoreError::Definition(_)), "{error:?}");
        assert!(error.to_string().contains(kind) && error.to_string().contains("this is why"), "{error}");
    }
}

#[tokio::test]
async fn requests_become_smaller_until_they_are_taken() {
    let takes_two = |ids: &[String]| if ids.len() > 2 { Reply::error(413, "") } else { Reply::items(ids, |_| done()) };
    let (stub, mut lane) = Stub::lane(takes_two).await;
    let rows: Vec<(i64, &str)> = (1..=8).map(|id| (id, "same")).collect();
    lane.commit(&[puts(0, &rows)], 8).await.unwrap();
    assert_eq!(stub.asked().iter().map(Vec::len).collect::<Vec<_>>(), [8, 4, 2, 2, 2, 2]);
}

#[tokio::test]
async fn a_document_that_is_too_large_by_itself_is_refused_alone() {
    let not_two = |ids: &[String]| {
        if ids.iter().any(|id| id == "2") { Reply::error(413, "") } else { Reply::items(ids, |_| done()) }
    };
    let (_stub, mut lane) = Stub::lane(not_two).await;
    let refused = refused(lane.commit(&[puts(0, &[(1, "a"), (2, "b"), (3, "c")])], 3).await);
    assert_eq!(places(&refused), [(0, 1)]);
    assert!(refused[0].reason.contains("larger than what the search engine takes"), "{refused:?}");
}
