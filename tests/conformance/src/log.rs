//! What every [`Log`] promises.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use azenha_engine::log::{Commit, LaneId, Log, LogError, ReadLimit, read_whole};
use azenha_model::Records;
use futures::future::{join, join_all};

use crate::log_helpers::*;
pub use crate::log_members::*;

/// Offsets ascend, and records stand in the order in which they were appended.
pub async fn records_are_read_in_the_order_of_their_appends(log: &dyn Log) {
    topic(log, "order", 2).await;
    for first in (0..5000).step_by(500) {
        let numbers: Vec<String> = (first..first + 500).map(|number| number.to_string()).collect();
        log.append(vec![to("order", 1, values(&numbers))]).await.unwrap();
    }
    let read = read_all(log, "order", 1).await;
    assert!(read.is_sorted_by(|left, right| left.offset < right.offset), "offsets ascend");
    assert!(read.iter().all(|record| record.key.is_none()));
    let wanted: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
    assert_eq!(texts(&read), wanted);
    assert!(read_all(log, "order", 0).await.is_empty(), "the other partition is untouched");
}

/// One append may go to many places, several times to one of them.
pub async fn an_append_covers_several_topics_and_partitions(log: &dyn Log) {
    topic(log, "several-a", 2).await;
    topic(log, "several-b", 1).await;
    let appends = vec![
        to("several-a", 0, values(&["1"])),
        to("several-b", 0, values(&["2", "3"])),
        to("several-a", 1, values(&["4"])),
        to("several-a", 0, values(&["5"])),
        to("several-b", 0, values::<&str>(&[])),
    ];
    log.append(appends).await.unwrap();
    assert_eq!(texts(&read_all(log, "several-a", 0).await), ["1", "5"]);
    assert_eq!(texts(&read_all(log, "several-a", 1).await), ["4"]);
    assert_eq!(texts(&read_all(log, "several-b", 0).await), ["2", "3"]);
    log.append(Vec::new()).await.unwrap();
}

/// A tombstone is no empty value, and no key is no empty key.
pub async fn nulls_and_empty_keys_and_values_stay_apart(log: &dyn Log) {
    topic(log, "nulls", 1).await;
    let wanted: Vec<Pair<'_>> = vec![
        (None, None),
        (None, Some(b"")),
        (Some(b""), None),
        (Some(b""), Some(b"")),
        (Some(b"key"), None),
        (None, Some(b"value")),
    ];
    log.append(vec![to("nulls", 0, pairs(&wanted))]).await.unwrap();
    let read = read_all(log, "nulls", 0).await;
    let found: Vec<_> = read.iter().map(|record| (record.key.as_deref(), record.value.as_deref())).collect();
    assert_eq!(found, wanted);
}

/// Keys and values are bytes, not text.
pub async fn keys_and_values_may_be_any_bytes(log: &dyn Log) {
    topic(log, "binary", 1).await;
    let every: Vec<u8> = (0..=255).collect();
    let records = pairs(&[(Some(&every), Some(&every)), (Some(&[0]), Some(&[0, 0])), (Some(&[0xff]), Some(&[0xc3]))]);
    log.append(vec![to("binary", 0, records)]).await.unwrap();
    let read = read_all(log, "binary", 0).await;
    let found: Vec<_> = read.iter().map(|record| (record.key.as_deref(), record.value.as_deref())).collect();
    assert_eq!(
        found,
        [
            (Some(&every[..]), Some(&every[..])),
            (Some(&[0][..]), Some(&[0, 0][..])),
            (Some(&[0xff][..]), Some(&[0xc3][..]))
        ]
    );
}

/// Timestamps are handed in, and kept as they are. (Kafka keeps milliseconds, and has no zero.)
pub async fn timestamps_come_back_to_the_microsecond(log: &dyn Log) {
    topic(log, "timestamps", 1).await;
    let wanted = vec![TIMESTAMP, 1_000, TIMESTAMP - 1_000, TIMESTAMP + 86_400_000_000];
    let records = Records { timestamps: wanted.clone(), ..values(&["a", "b", "c", "d"]) };
    log.append(vec![to("timestamps", 0, records)]).await.unwrap();
    let found: Vec<i64> = read_all(log, "timestamps", 0).await.iter().map(|record| record.timestamp).collect();
    assert_eq!(found, wanted);
}

/// Big records pass, beside small ones.
pub async fn a_record_may_have_five_mebibytes(log: &dyn Log) {
    topic(log, "big", 1).await;
    // Not compressible: a linear congruential sequence.
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let big: Vec<u8> = std::iter::successors(Some(7), next).take(5 << 20).map(|state| (state >> 24) as u8).collect();
    let records = pairs(&[(None, Some(b"before")), (Some(&big[..100]), Some(&big)), (None, Some(b"after"))]);
    log.append(vec![to("big", 0, records)]).await.unwrap();
    let read = read_all(log, "big", 0).await;
    assert_eq!(read.len(), 3);
    assert!(read[1].value.as_deref() == Some(&big[..]), "the big value is as it was");
    assert_eq!(read[2].value.as_deref(), Some(&b"after"[..]));
}

/// Limits are hints, but pieces neither overlap nor leave anything out, wherever they begin.
pub async fn many_records_are_read_in_limited_pieces(log: &dyn Log) {
    topic(log, "pieces", 1).await;
    let numbers: Vec<String> = (0..12_345).map(|number| number.to_string()).collect();
    log.append(vec![to("pieces", 0, values(&numbers))]).await.unwrap();
    let whole = read_all(log, "pieces", 0).await;
    assert_eq!(texts(&whole), numbers);
    for limit in [ReadLimit { records: 700, ..ALL }, ReadLimit { bytes: 3000, ..ALL }] {
        let mut read = Vec::new();
        while read.len() < whole.len() {
            let piece = read_once(log, "pieces", 0, whole[read.len()].offset, limit).await;
            assert!(!piece.is_empty(), "a read below the end gives something");
            assert!(piece.len() < 5000, "a limit limits: {} records", piece.len());
            read.extend(piece);
        }
        assert_eq!(read, whole);
    }
    let middle = read_from(log, "pieces", 0, whole[6789].offset).await;
    assert_eq!(middle, whole[6789..]);
}

/// Nothing of an append happens if a part of it cannot.
pub async fn an_append_to_an_unknown_topic_or_partition_writes_nothing(log: &dyn Log) {
    topic(log, "known", 1).await;
    let before = log.bounds("known", 0).await.unwrap();
    let unknown = vec![to("known", 0, values(&["x"])), to("unknown", 0, values(&["x"]))];
    let error = log.append(unknown).await.unwrap_err();
    assert!(matches!(&error, LogError::NoSuchTopic(topic) if topic == "unknown"), "{error}");
    let unknown = vec![to("known", 0, values(&["x"])), to("known", 1, values(&["x"]))];
    let error = log.append(unknown).await.unwrap_err();
    assert!(matches!(error, LogError::NoSuchPartition { partition: 1, .. }), "{error}");
    assert_eq!(log.bounds("known", 0).await.unwrap(), before);
    assert!(matches!(log.bounds("unknown", 0).await, Err(LogError::NoSuchTopic(_))));
    assert!(matches!(log.read("unknown", 0, 0, ALL).await, Err(LogError::NoSuchTopic(_))));
    assert!(matches!(log.read("known", 7, 0, ALL).await, Err(LogError::NoSuchPartition { partition: 7, .. })));
}

/// Ensuring a topic again gives the same topic; with another number of partitions it is an error.
pub async fn a_topic_keeps_its_id_and_its_number_of_partitions(log: &dyn Log) {
    assert_eq!(log.topic("kept").await.unwrap(), None);
    let (one, two) = (spec("kept", 3), spec("kept", 3));
    let (first, second) = join(log.ensure_topic(&one), log.ensure_topic(&two)).await;
    let first = first.unwrap();
    assert_eq!(first, second.unwrap());
    assert_eq!(log.topic("kept").await.unwrap(), Some(first.clone()));
    let error = log.ensure_topic(&spec("kept", 4)).await.unwrap_err();
    assert!(matches!(error, LogError::PartitionsDiffer { found: 3, wanted: 4, .. }), "{error}");
    topic(log, "kept-other", 1).await;
    assert_ne!(log.topic("kept-other").await.unwrap().unwrap().id, first.id);
}

/// Every topic is listed once.
pub async fn topics_are_listed_by_name(log: &dyn Log) {
    for name in ["listed-b", "listed-c", "listed-a", "listed-b"] {
        topic(log, name, 2).await;
    }
    let topics = log.topics().await.unwrap();
    let names: Vec<&str> = topics.iter().map(|topic| topic.spec.name.as_str()).collect();
    assert!(names.is_sorted());
    let ours: Vec<&&str> = names.iter().filter(|name| name.starts_with("listed-")).collect();
    assert_eq!(ours, [&"listed-a", &"listed-b", &"listed-c"]);
    assert!(topics.iter().filter(|topic| topic.spec.name.starts_with("listed-")).all(|t| t.spec.partitions == 2));
}

/// Both are there after the commit, and a new owner finds the position.
pub async fn a_commit_stores_records_and_position_together(log: &dyn Log) {
    topic(log, "together", 1).await;
    topic(log, "together-a", 1).await;
    topic(log, "together-b", 2).await;
    let lane = lane("together");
    assert_eq!(log.position(&lane).await.unwrap(), None);
    let mut owner = log.take_lane(&lane).await.unwrap();
    assert_eq!(owner.position(), None);
    let appends = vec![to("together-a", 0, values(&["a"])), to("together-b", 1, values(&["b", "c"]))];
    owner.commit(Commit { position: 17, appends }).await.unwrap();
    assert_eq!(log.position(&lane).await.unwrap(), Some(17));
    assert_eq!(texts(&read_all(log, "together-a", 0).await), ["a"]);
    assert_eq!(texts(&read_all(log, "together-b", 1).await), ["b", "c"]);
    owner.commit(commit(20, to("together-a", 0, values(&["d"])))).await.unwrap();
    assert_eq!(texts(&read_all(log, "together-a", 0).await), ["a", "d"]);
    assert_eq!(log.take_lane(&lane).await.unwrap().position(), Some(20));
}

/// A commit that cannot be done as a whole is not done in part, and the lane can go on.
pub async fn a_failed_commit_leaves_neither_records_nor_position(log: &dyn Log) {
    topic(log, "failed", 1).await;
    let lane = lane("failed");
    let mut owner = log.take_lane(&lane).await.unwrap();
    owner.commit(commit(5, to("failed", 0, values(&["good"])))).await.unwrap();
    let appends = vec![to("failed", 0, values(&["bad"])), to("failed-unknown", 0, values(&["bad"]))];
    let error = owner.commit(Commit { position: 9, appends }).await.unwrap_err();
    assert!(matches!(error, LogError::NoSuchTopic(_)), "{error}");
    assert_eq!(log.position(&lane).await.unwrap(), Some(5));
    let mut owner = log.take_lane(&lane).await.unwrap();
    assert_eq!(owner.position(), Some(5));
    owner.commit(commit(6, to("failed", 0, values(&["next"])))).await.unwrap();
    assert_eq!(texts(&read_all(log, "failed", 0).await), ["good", "next"]);
}

/// A lane whose input gives no output still moves on.
pub async fn a_commit_may_hold_only_a_position(log: &dyn Log) {
    let lane = lane("position-only");
    topic(log, "position-only", 1).await;
    let mut owner = log.take_lane(&lane).await.unwrap();
    owner.commit(Commit { position: 3, appends: Vec::new() }).await.unwrap();
    owner.commit(commit(8, to("position-only", 0, values::<&str>(&[])))).await.unwrap();
    assert_eq!(log.position(&lane).await.unwrap(), Some(8));
    assert!(read_all(log, "position-only", 0).await.is_empty());
}

/// Taking a lane ends the earlier owner's right to commit; nothing of what it tries is written.
pub async fn a_lane_that_was_taken_over_is_fenced(log: &dyn Log) {
    topic(log, "fenced", 1).await;
    let lane = lane("fenced");
    let mut first = log.take_lane(&lane).await.unwrap();
    first.commit(commit(1, to("fenced", 0, values(&["first"])))).await.unwrap();
    let mut second = log.take_lane(&lane).await.unwrap();
    assert_eq!(second.position(), Some(1));
    for _ in 0..2 {
        let error = first.commit(commit(2, to("fenced", 0, values(&["stale"])))).await.unwrap_err();
        assert!(matches!(&error, LogError::Fenced(fenced) if *fenced == lane), "{error}");
    }
    second.commit(commit(3, to("fenced", 0, values(&["second"])))).await.unwrap();
    assert_eq!(log.position(&lane).await.unwrap(), Some(3));
    assert_eq!(texts(&read_all(log, "fenced", 0).await), ["first", "second"]);
}

/// Lanes differ by group, by input and by partition.
pub async fn lanes_do_not_fence_each_other(log: &dyn Log) {
    topic(log, "neighbours", 2).await;
    topic(log, "neighbours-other", 1).await;
    let base = lane("neighbours");
    let lanes = [
        LaneId { group: "neighbours.other".to_owned(), ..base.clone() },
        LaneId { input: "neighbours-other".to_owned(), ..base.clone() },
        LaneId { partition: 1, ..base.clone() },
        base,
    ];
    let owners = join_all(lanes.iter().map(|lane| log.take_lane(lane))).await;
    for (position, owner) in (1..).zip(owners) {
        owner.unwrap().commit(Commit { position, appends: Vec::new() }).await.unwrap();
    }
    for (position, lane) in (1..).zip(&lanes) {
        assert_eq!(log.position(lane).await.unwrap(), Some(position), "{lane}");
    }
}

/// Many lanes that commit at once: each commit happens once and in the order of its lane.
pub async fn concurrent_lanes_lose_nothing(log: &dyn Log) {
    const LANES: u32 = 8;
    const COMMITS: u64 = 25;
    topic(log, "concurrent", 1).await;
    topic(log, "concurrent-input", LANES).await;
    let id = |partition| LaneId { partition, ..lane("concurrent-input") };
    let mut stale = log.take_lane(&id(0)).await.unwrap();
    let work = (0..LANES).map(async |number| {
        let mut owner = log.take_lane(&id(number)).await.unwrap();
        for position in 1..=COMMITS {
            let records = values(&[format!("{number}:{position}")]);
            owner.commit(commit(position, to("concurrent", 0, records))).await.unwrap();
        }
    });
    join_all(work).await;
    assert!(matches!(stale.commit(Commit::default()).await, Err(LogError::Fenced(_))));
    let read = texts(&read_all(log, "concurrent", 0).await);
    assert_eq!(read.len() as u64, u64::from(LANES) * COMMITS);
    for number in 0..LANES {
        let prefix = format!("{number}:");
        let own: Vec<&str> = read.iter().filter_map(|text| text.strip_prefix(&prefix)).collect();
        let wanted: Vec<String> = (1..=COMMITS).map(|position| position.to_string()).collect();
        assert_eq!(own, wanted);
        assert_eq!(log.position(&id(number)).await.unwrap(), Some(COMMITS));
    }
}

/// Whoever sees a record of a commit finds those of its earlier appends, in whichever topic.
pub async fn a_commit_shows_its_appends_in_their_order(log: &dyn Log) {
    const LANES: u32 = 8;
    const COMMITS: u64 = 25;
    topic(log, "shown-first", LANES).await;
    topic(log, "shown-last", 1).await;
    let write = async {
        let work = (0..LANES).map(async |number| {
            let mut owner = log.take_lane(&LaneId { partition: number, ..lane("shown-first") }).await.unwrap();
            for position in 1..=COMMITS {
                let says = || values(&[format!("{number}:{position}")]);
                let appends = vec![to("shown-first", number, says()), to("shown-last", 0, says())];
                owner.commit(Commit { position, appends }).await.unwrap();
            }
        });
        join_all(work).await;
    };
    let read = async {
        let (mut next, mut seen) = (0, 0);
        let mut found = vec![(0, Vec::new()); LANES as usize];
        while seen < u64::from(LANES) * COMMITS {
            for record in settled_texts(log, "shown-last", 0, &mut next).await {
                seen += 1;
                let number: u32 = record.split(':').next().unwrap().parse().unwrap();
                let (next, before) = &mut found[number as usize];
                if !before.contains(&record) {
                    before.extend(settled_texts(log, "shown-first", number, next).await);
                }
                assert!(before.contains(&record), "{record} is not among {before:?}");
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| on_its_own_runtime(read));
        scope.spawn(|| on_its_own_runtime(write));
    });
}

/// Below the start and above the end nothing is skipped in silence.
pub async fn offsets_outside_of_a_partition_are_out_of_range(log: &dyn Log) {
    topic(log, "range", 1).await;
    log.append(vec![to("range", 0, values(&["a", "b", "c"]))]).await.unwrap();
    log.append(vec![to("range", 0, values(&["d"]))]).await.unwrap();
    let end = log.bounds("range", 0).await.unwrap().end;
    assert!(log.read("range", 0, end, ALL).await.unwrap().offsets.is_empty(), "the end itself is in range");
    let above = log.read("range", 0, end + 1, ALL).await.unwrap_err();
    assert!(matches!(above, LogError::OutOfRange { offset, end: found, .. } if offset == end + 1 && found == end));
    let last = read_all(log, "range", 0).await[3].offset;
    log.purge("range", 0, last).await.unwrap();
    let start = log.bounds("range", 0).await.unwrap().start;
    let below = log.read("range", 0, start - 1, ALL).await.unwrap_err();
    assert!(
        matches!(below, LogError::OutOfRange { offset, start: found, .. } if offset + 1 == start && found == start)
    );
}

/// Readers that keep up with a writer are never out of range, and see each record once.
pub async fn a_reader_can_go_on_behind_whatever_it_read(log: &dyn Log) {
    const RECORDS: usize = 1000;
    topic(log, "keeps-up", 1).await;
    let numbers: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
    log.append(vec![to("keeps-up", 0, values(&numbers[..1]))]).await.unwrap();
    let write = async {
        for number in &numbers[1..] {
            log.append(vec![to("keeps-up", 0, values(&[number]))]).await.unwrap();
        }
    };
    let read = async {
        let mut read = read_all(log, "keeps-up", 0).await;
        while read.len() < RECORDS {
            // The last record once more, with whatever has been committed since; then what is behind that.
            let last = read.pop().unwrap();
            read.extend(read_once(log, "keeps-up", 0, last.offset, ALL).await);
            let next = read[read.len() - 1].offset + 1;
            read.extend(read_once(log, "keeps-up", 0, next, ALL).await);
        }
        assert_eq!(texts(&read), numbers);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| on_its_own_runtime(read));
        scope.spawn(|| on_its_own_runtime(write));
    });
}

/// A reader that waits is woken by a commit.
pub async fn a_read_at_the_end_waits_for_a_commit(log: &dyn Log) {
    topic(log, "waits", 2).await;
    let limit = ReadLimit { wait: Duration::from_secs(600), ..ALL };
    let write = async {
        // Readers of a partition are not disturbed by records of another.
        log.append(vec![to("waits", 1, values(&["elsewhere"]))]).await.unwrap();
        let mut owner = log.take_lane(&lane("waits")).await.unwrap();
        owner.commit(commit(1, to("waits", 0, values(&["here"])))).await.unwrap();
    };
    let (read, ()) = join(read_once(log, "waits", 0, 0, limit), write).await;
    assert_eq!(texts(&read), ["here"]);
}

/// Without new records a read ends with none.
pub async fn a_read_at_the_end_gives_up_when_its_wait_is_over(log: &dyn Log) {
    topic(log, "gives-up", 1).await;
    let limit = ReadLimit { wait: Duration::from_millis(20), ..ALL };
    assert!(read_once(log, "gives-up", 0, 0, limit).await.is_empty());
    assert!(read_once(log, "gives-up", 0, 0, ALL).await.is_empty());
}

/// What stands at or after the given offset is kept, and the next append goes on at the end.
pub async fn purged_records_are_gone_and_the_rest_stays(log: &dyn Log) {
    topic(log, "purged", 2).await;
    for text in ["a", "b", "c", "d"] {
        let appends = vec![to("purged", 0, values(&[text])), to("purged", 1, values(&[text]))];
        log.append(appends).await.unwrap();
    }
    let offsets: Vec<u64> = read_all(log, "purged", 0).await.iter().map(|record| record.offset).collect();
    log.purge("purged", 0, offsets[2]).await.unwrap();
    let bounds = log.bounds("purged", 0).await.unwrap();
    assert_eq!(bounds.start, offsets[2]);
    assert_eq!(texts(&read_all(log, "purged", 0).await), ["c", "d"]);
    assert_eq!(texts(&read_all(log, "purged", 1).await), ["a", "b", "c", "d"]);
    log.purge("purged", 0, bounds.end).await.unwrap();
    assert!(read_all(log, "purged", 0).await.is_empty());
    assert_eq!(log.bounds("purged", 0).await.unwrap().end, bounds.end);
    log.append(vec![to("purged", 0, values(&["e"]))]).await.unwrap();
    assert_eq!(texts(&read_from(log, "purged", 0, bounds.end).await), ["e"]);
}

/// Whoever needs all that a partition holds begins anew when a purge comes in between, and then finds it.
pub async fn a_partition_is_read_whole_while_it_is_purged(log: &dyn Log) {
    const ROUNDS: usize = 60;
    topic(log, "whole", 1).await;
    log.append(vec![to("whole", 0, values(&["0", "0"]))]).await.unwrap();
    let is_over = AtomicBool::new(false);
    let write = async {
        for round in 1..ROUNDS {
            let before = log.bounds("whole", 0).await.unwrap().end;
            let text = round.to_string();
            log.append(vec![to("whole", 0, values(&[&text, &text]))]).await.unwrap();
            log.purge("whole", 0, before).await.unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let read = async {
        while !is_over.load(Ordering::Relaxed) {
            let texts = read_whole(log, "whole", 0, |texts: &mut Vec<String>, fetched| {
                let values = fetched.records.values.iter().flatten();
                texts.extend(values.map(|value| String::from_utf8(value.to_vec()).unwrap()));
                Ok(())
            });
            let texts = texts.await.unwrap();
            let last = texts.last().unwrap();
            assert!(texts.iter().filter(|text| *text == last).count() == 2, "{texts:?}");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| on_its_own_runtime(read));
        scope.spawn(|| on_its_own_runtime(write));
    });
}

/// Purging again, and purging less, change nothing; purging beyond the end is an error.
pub async fn a_purge_may_be_repeated(log: &dyn Log) {
    topic(log, "repeated", 1).await;
    log.append(vec![to("repeated", 0, values(&["a", "b", "c"]))]).await.unwrap();
    let offsets: Vec<u64> = read_all(log, "repeated", 0).await.iter().map(|record| record.offset).collect();
    log.purge("repeated", 0, offsets[2]).await.unwrap();
    let bounds = log.bounds("repeated", 0).await.unwrap();
    for before in [offsets[2], offsets[1], offsets[0]] {
        log.purge("repeated", 0, before).await.unwrap();
        assert_eq!(log.bounds("repeated", 0).await.unwrap(), bounds);
    }
    assert_eq!(texts(&read_all(log, "repeated", 0).await), ["c"]);
    let error = log.purge("repeated", 0, bounds.end + 1).await.unwrap_err();
    assert!(matches!(error, LogError::OutOfRange { .. }), "{error}");
}

/// Lanes live on threads with runtimes of their own, which need neither timers nor I/O.
pub async fn a_log_can_be_used_from_another_runtime(log: &dyn Log) {
    topic(log, "elsewhere", 1).await;
    let use_it = async {
        let mut owner = log.take_lane(&lane("elsewhere")).await.unwrap();
        owner.commit(commit(1, to("elsewhere", 0, values(&["from a lane"])))).await.unwrap();
        let limit = ReadLimit { wait: Duration::from_millis(20), ..ALL };
        assert!(read_once(log, "elsewhere", 0, 1, limit).await.is_empty());
        assert_eq!(texts(&read_all(log, "elsewhere", 0).await), ["from a lane"]);
    };
    // Blocks this thread, not the runtime that the log was opened on.
    std::thread::scope(|scope| scope.spawn(|| on_its_own_runtime(use_it)).join().unwrap());
}

/// Runs work as a lane's thread does.
fn on_its_own_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}
