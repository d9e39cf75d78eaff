//! What every log and every store promises to the engine, as checks that take `&dyn Log`, `&dyn Store` or `&dyn Objects`.
//! An implementation's tests run them all with [`log_conformance!`], [`store_conformance!`] and [`objects_conformance!`].
//!
//! A check panics when a promise is broken. Each uses topics and tables of its own names, so that all of them
//! can run against one server.

#![warn(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "checks fail by panicking, as tests do")]

pub mod log;
pub mod log_helpers;
pub mod log_members;
pub mod objects;
pub mod objects_connections;
pub mod proxy;
pub mod store;
pub mod store_connections;
pub mod store_helpers;
pub mod store_refusals;
pub mod store_tables;
pub mod store_values;

/// Makes a test of each check of [`log`]. `$fixture` is an async expression that opens a log: an `Option` of what
/// has a method `log() -> &dyn Log` and lives as long as the test; with none, the tests say that they were skipped.
#[macro_export]
macro_rules! log_conformance {
    ($fixture:expr) => {
        $crate::log_conformance! { @each $fixture;
            records_are_read_in_the_order_of_their_appends
            an_append_covers_several_topics_and_partitions
            nulls_and_empty_keys_and_values_stay_apart
            keys_and_values_may_be_any_bytes
            timestamps_come_back_to_the_microsecond
            a_record_may_have_five_mebibytes
            many_records_are_read_in_limited_pieces
            an_append_to_an_unknown_topic_or_partition_writes_nothing
            a_topic_keeps_its_id_and_its_number_of_partitions
            topics_are_listed_by_name
            a_commit_stores_records_and_position_together
            a_failed_commit_leaves_neither_records_nor_position
            a_commit_may_hold_only_a_position
            a_lane_that_was_taken_over_is_fenced
            the_only_member_has_every_partition
            a_partition_that_is_taken_again_is_fenced
            a_partition_has_one_owner_at_a_time
            groups_do_not_disturb_each_other
            a_reader_reads_on_to_the_end
            a_reader_waits_for_a_commit
            a_reader_outside_of_its_partition_is_out_of_range
            a_position_can_be_set_while_nobody_reads
            the_settled_end_is_behind_every_commit
            lanes_do_not_fence_each_other
            concurrent_lanes_lose_nothing
            a_commit_shows_its_appends_in_their_order
            offsets_outside_of_a_partition_are_out_of_range
            a_reader_can_go_on_behind_whatever_it_read
            a_read_at_the_end_waits_for_a_commit
            a_read_at_the_end_gives_up_when_its_wait_is_over
            purged_records_are_gone_and_the_rest_stays
            a_partition_is_read_whole_while_it_is_purged
            a_purge_may_be_repeated
            a_log_can_be_used_from_another_runtime
        }
    };
    (@each $fixture:expr; $($check:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                match $fixture.await {
                    Some(fixture) => $crate::log::$check(fixture.log()).await,
                    None => println!("skipped: there is no server to test with"),
                }
            }
        )+
    };
}

/// Makes a test of each check of [`store`]. `$fixture` is an async expression that gives an
/// `Option<impl StoreFixture>`; with none, the tests say that they were skipped.
#[macro_export]
macro_rules! store_conformance {
    ($fixture:expr) => {
        $crate::store_conformance! { @each $fixture;
            rows_and_position_are_committed_together
            a_lane_resumes_from_its_own_position
            a_commit_may_hold_only_a_position
            rows_below_the_position_are_not_written_again
            an_older_owner_is_fenced
            a_position_that_somebody_moved_fences
            a_new_generation_starts_over_the_old_rows
            a_position_that_is_set_is_where_the_next_generation_begins
            another_topic_of_the_same_name_is_refused
            lanes_write_to_one_table_at_once
            deleted_rows_are_gone
            of_rows_with_one_key_the_last_counts
            a_key_may_have_several_columns
            a_table_may_have_only_keys
            nulls_replace_values
            every_type_keeps_its_extremes
            floats_keep_every_digit
            a_float_that_is_no_number_is_kept_or_refused
            text_keys_differ_in_every_byte
            any_suffix_may_be_replayed
            dates_beyond_the_calendar_are_refused_alone
            an_appending_sink_adds_every_row
            many_rows_are_written_in_one_commit
            a_store_can_be_used_from_another_runtime
        }
    };
    (@each $fixture:expr; $($check:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                match $fixture.await {
                    Some(fixture) => $crate::store::$check(&fixture).await,
                    None => println!("skipped: there is no server to test with"),
                }
            }
        )+
    };
}

/// Makes a test of each check of [`store_refusals`], as [`store_conformance!`] does, of a store that has rules of its own
/// and keeps nothing of a commit in which a row breaks one.
#[macro_export]
macro_rules! refusal_conformance {
    ($fixture:expr) => {
        $crate::store_conformance! { @each $fixture;
            poison_rows_are_refused_alone_and_nothing_else_is_written
            one_poison_row_of_twenty_thousand_is_found
            an_appending_sink_refuses_poison_rows_alone
            a_row_may_take_what_was_unique_to_another
            a_refusal_names_the_constraint
        }
    };
}

/// Makes a test of each check of [`store_connections`]. `$fixture` is an async expression that gives an
/// `Option<(impl StoreFixture, Proxy, Arc<dyn Store>)>`; with none, the tests say that they were skipped.
#[macro_export]
macro_rules! store_connection_conformance {
    ($fixture:expr) => {
        $crate::store_connection_conformance! { @each $fixture;
            a_commit_whose_answer_is_lost_is_settled_by_the_position
            a_cut_at_any_moment_is_settled_by_the_position
            a_lost_connection_is_unavailable_until_the_lane_is_opened_again
        }
    };
    (@each $fixture:expr; $($check:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                match $fixture.await {
                    Some((fixture, proxy, store)) => {
                        $crate::store_connections::$check(&fixture, &proxy, &*store).await;
                    }
                    None => println!("skipped: there is no server to test with"),
                }
            }
        )+
    };
}

/// Makes a test of each check of [`store_tables`]. `$fixture` is an async expression that gives an
/// `Option<impl TableFixture>`; with none, the tests say that they were skipped.
#[macro_export]
macro_rules! table_conformance {
    ($fixture:expr) => {
        $crate::table_conformance! { @each $fixture;
            a_table_that_exists_and_fits_is_used
            a_missing_column_is_added
            a_missing_column_that_is_never_null_is_named
            a_wrong_type_is_named
            a_key_that_is_not_unique_is_named
            a_column_that_nobody_fills_is_named
        }
    };
    (@each $fixture:expr; $($check:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                match $fixture.await {
                    Some(fixture) => $crate::store_tables::$check(&fixture).await,
                    None => println!("skipped: there is no server to test with"),
                }
            }
        )+
    };
}

/// Makes a test of each check of [`objects`]. `$fixture` is an async expression that opens an object store which has no
/// objects: an `Option` of what has a method `objects() -> &dyn Objects` and lives as long as the test; with none, the
/// tests say that they were skipped.
#[macro_export]
macro_rules! objects_conformance {
    ($fixture:expr) => {
        $crate::objects_conformance! { @each $fixture;
            an_object_comes_back_as_it_was_written
            an_object_is_made_once
            of_concurrent_creates_one_wins
            an_object_is_replaced_by_its_tag
            of_concurrent_replacements_one_wins
            a_replacement_may_be_repeated
            readers_see_an_object_before_a_change_or_after_it
            what_is_missing_is_none
            lists_are_whole_and_in_order
            a_large_object_is_made_once_and_replaced_by_its_tag
            of_concurrent_large_creates_one_wins
            readers_see_a_large_object_before_a_change_or_after_it
            an_empty_object_is_one
            names_may_be_odd
            paths_that_lead_elsewhere_are_refused
            preparing_may_be_repeated
            an_object_store_can_be_used_from_another_runtime
        }
    };
    (@each $fixture:expr; $($check:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                match $fixture.await {
                    Some(fixture) => $crate::objects::$check(fixture.objects()).await,
                    None => println!("skipped: there is no server to test with"),
                }
            }
        )+
    };
}

/// Makes a test of each check of [`objects_connections`]. `$fixture` is an async expression that gives an
/// `Option<(Arc<dyn Objects>, Proxy, Arc<dyn Objects>)>`: an object store, and the same one through the proxy,
/// whose requests time out soon; with none, the tests say that they were skipped.
#[macro_export]
macro_rules! objects_connection_conformance {
    ($fixture:expr) => {
        $crate::objects_connection_conformance! { @each $fixture;
            a_server_that_refuses_is_unavailable_until_it_is_back
            a_server_that_stalls_is_unavailable_until_it_is_back
            a_cut_midway_leaves_nothing_half_and_trying_again_works
            an_answer_that_is_lost_is_settled_by_trying_again
            a_large_object_is_read_whole_wherever_connections_end
        }
    };
    (@each $fixture:expr; $($check:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                match $fixture.await {
                    Some((direct, proxy, objects)) => {
                        $crate::objects_connections::$check(&*direct, &proxy, &*objects).await;
                    }
                    None => println!("skipped: there is no server to test with"),
                }
            }
        )+
    };
}
