//! What every [`Log`] promises to the members of groups and their readers.

use std::time::Duration;

use azenha_engine::log::{Change, Commit, LaneId, Log, LogError, ReadLimit};
use futures::future::join;

use crate::log_helpers::*;

/// The only member of a group reads every partition, with the position and the right to commit of each.
pub async fn the_only_member_has_every_partition(log: &dyn Log) {
    topic(log, "member", 3).await;
    let member = log.join("member.task", "member").await.unwrap();
    assert_eq!(assigned(member.as_ref()).await, [0, 1, 2]);
    let mut owner = member.take(1).await.unwrap();
    assert_eq!(owner.position(), None);
    owner.commit(commit(7, to("member", 2, values(&["out"])))).await.unwrap();
    let id = |partition| LaneId { group: "member.task".to_owned(), input: "member".to_owned(), partition };
    assert_eq!(log.position(&id(1)).await.unwrap(), Some(7));
    assert_eq!(log.position(&id(0)).await.unwrap(), None);
    assert_eq!(texts(&read_all(log, "member", 2).await), ["out"]);
    drop((owner, member));
    let again = log.join("member.task", "member").await.unwrap();
    assert_eq!(assigned(again.as_ref()).await, [0, 1, 2]);
    assert_eq!(again.take(1).await.unwrap().position(), Some(7));
}

/// Whoever starts a lane again ends the right of the lane before.
pub async fn a_partition_that_is_taken_again_is_fenced(log: &dyn Log) {
    topic(log, "again", 1).await;
    let member = log.join("again.task", "again").await.unwrap();
    assigned(member.as_ref()).await;
    let mut first = member.take(0).await.unwrap();
    first.commit(commit(1, to("again", 0, values(&["first"])))).await.unwrap();
    let mut second = member.take(0).await.unwrap();
    assert_eq!(second.position(), Some(1));
    let error = first.commit(commit(2, to("again", 0, values(&["stale"])))).await.unwrap_err();
    assert!(matches!(error, LogError::Fenced(_)), "{error}");
    second.commit(commit(3, to("again", 0, values(&["second"])))).await.unwrap();
    assert_eq!(texts(&read_all(log, "again", 0).await), ["first", "second"]);
}

/// What a second member is given, the first can no longer commit for.
pub async fn a_partition_has_one_owner_at_a_time(log: &dyn Log) {
    topic(log, "shared", 2).await;
    let first = log.join("shared.task", "shared").await.unwrap();
    let mut before = Vec::new();
    for partition in assigned(first.as_ref()).await {
        let mut owner = first.take(partition).await.unwrap();
        owner.commit(commit(1, to("shared", partition, values(&["before"])))).await.unwrap();
        before.push(owner);
    }
    let second = log.join("shared.task", "shared").await.unwrap();
    let answer = async {
        loop {
            if let Change::Revoked(partitions) = first.changed().await.unwrap() {
                first.release(&partitions).await;
            }
        }
    };
    let moved = tokio::select! {
        () = answer => unreachable!("the first member answers as long as it is asked"),
        moved = assigned(second.as_ref()) => moved,
    };
    for partition in moved {
        let mut owner = second.take(partition).await.unwrap();
        assert_eq!(owner.position(), Some(1));
        let stale = commit(2, to("shared", partition, values(&["stale"])));
        let error = before[partition as usize].commit(stale).await.unwrap_err();
        assert!(matches!(error, LogError::Fenced(_)), "{error}");
        owner.commit(commit(3, to("shared", partition, values(&["after"])))).await.unwrap();
        assert_eq!(texts(&read_all(log, "shared", partition).await), ["before", "after"]);
    }
}

/// Groups know nothing of each other.
pub async fn groups_do_not_disturb_each_other(log: &dyn Log) {
    topic(log, "groups", 2).await;
    let one = log.join("groups.one", "groups").await.unwrap();
    let other = log.join("groups.other", "groups").await.unwrap();
    assert_eq!(assigned(one.as_ref()).await, [0, 1]);
    assert_eq!(assigned(other.as_ref()).await, [0, 1]);
    for (member, position) in [(&one, 4), (&other, 5)] {
        let mut owner = member.take(0).await.unwrap();
        owner.commit(Commit { position, appends: Vec::new() }).await.unwrap();
    }
    let id = |group: &str| LaneId { group: group.to_owned(), input: "groups".to_owned(), partition: 0 };
    assert_eq!(log.position(&id("groups.one")).await.unwrap(), Some(4));
    assert_eq!(log.position(&id("groups.other")).await.unwrap(), Some(5));
}

/// A reader gives everything from an offset on, once and in order, and ends up at the end.
pub async fn a_reader_reads_on_to_the_end(log: &dyn Log) {
    topic(log, "on", 2).await;
    let numbers: Vec<String> = (0..3000).map(|number| number.to_string()).collect();
    for some in numbers.chunks(100) {
        log.append(vec![to("on", 1, values(some)), to("on", 0, values(&["other"]))]).await.unwrap();
    }
    let member = log.join("on.task", "on").await.unwrap();
    assigned(member.as_ref()).await;
    let whole = read_all(log, "on", 1).await;
    let end = log.bounds("on", 1).await.unwrap().end;
    for from in [0, 1234] {
        let mut reader = member.reader(1, whole[from].offset).await.unwrap();
        let (mut read, mut next) = (Vec::new(), 0);
        while next < end {
            let limit = ReadLimit { records: 700, bytes: usize::MAX, wait: Duration::from_secs(10) };
            let fetched = reader.read(limit).await.unwrap();
            next = fetched.next;
            read.extend(fetched.offsets);
        }
        let wanted: Vec<u64> = whole[from..].iter().map(|record| record.offset).collect();
        assert_eq!(read, wanted);
        log.append(vec![to("on", 0, values(&["elsewhere"]))]).await.unwrap();
        let none = reader.read(ReadLimit { wait: Duration::from_millis(50), ..ALL }).await.unwrap();
        assert!(none.offsets.is_empty(), "nothing is read twice");
    }
}

/// A reader at the end is woken by a commit.
pub async fn a_reader_waits_for_a_commit(log: &dyn Log) {
    topic(log, "woken", 1).await;
    let member = log.join("woken.task", "woken").await.unwrap();
    assigned(member.as_ref()).await;
    let mut reader = member.reader(0, 0).await.unwrap();
    let read = async {
        loop {
            let limit = ReadLimit { wait: Duration::from_secs(600), ..ALL };
            let fetched = reader.read(limit).await.unwrap();
            if !fetched.offsets.is_empty() {
                return fetched.records.values.value(0).to_vec();
            }
        }
    };
    let (read, appended) = join(read, log.append(vec![to("woken", 0, values(&["here"]))])).await;
    appended.unwrap();
    assert_eq!(read, b"here");
}

/// A reader that is asked for what is not there says so.
pub async fn a_reader_outside_of_its_partition_is_out_of_range(log: &dyn Log) {
    topic(log, "beyond", 1).await;
    log.append(vec![to("beyond", 0, values(&["a", "b"]))]).await.unwrap();
    let member = log.join("beyond.task", "beyond").await.unwrap();
    assigned(member.as_ref()).await;
    let end = log.bounds("beyond", 0).await.unwrap().end;
    let read = async {
        let mut reader = member.reader(0, end + 5).await?;
        reader.read(ReadLimit { wait: Duration::from_secs(10), ..ALL }).await
    };
    let error = read.await.unwrap_err();
    assert!(matches!(error, LogError::OutOfRange { offset, .. } if offset == end + 5), "{error}");
}

/// A position that was set is where the next owner begins; one that is in use is not moved under its reader.
pub async fn a_position_can_be_set_while_nobody_reads(log: &dyn Log) {
    topic(log, "set", 1).await;
    let id = LaneId { group: "set.task".to_owned(), input: "set".to_owned(), partition: 0 };
    log.set_position(&id, 5).await.unwrap();
    assert_eq!(log.position(&id).await.unwrap(), Some(5));
    let member = log.join("set.task", "set").await.unwrap();
    assigned(member.as_ref()).await;
    assert_eq!(member.take(0).await.unwrap().position(), Some(5));
}

/// What was committed before is below the settled end.
pub async fn the_settled_end_is_behind_every_commit(log: &dyn Log) {
    topic(log, "settled", 1).await;
    assert_eq!(log.settled_end("settled", 0).await.unwrap(), 0);
    let mut owner = log.take_lane(&lane("settled")).await.unwrap();
    for position in 1..=3 {
        owner.commit(commit(position, to("settled", 0, values(&["state"])))).await.unwrap();
        let end = log.settled_end("settled", 0).await.unwrap();
        assert_eq!(read_all(log, "settled", 0).await.len() as u64, position);
        assert!(end >= log.bounds("settled", 0).await.unwrap().end);
    }
}
