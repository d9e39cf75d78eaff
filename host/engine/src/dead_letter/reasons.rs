//! What is said of what the host itself refuses: it follows from what was decided on.

use azenha_model::dead_letter::{ClosedWindow, Found, GroupRows, RecordSize, RowTime, StateVersions};

use crate::objects::Announcement;
use crate::status::NO_TIME;

/// Of a row without event time.
pub const NO_EVENT_TIME: &str = "the row has no event time";

/// Of a row whose identifiers are null or empty.
pub const NO_IDENTIFIER: &str = "the row has none of the identifiers";

/// Of a row whose windows have closed.
pub fn late(time: &RowTime) -> String {
    let (event_time, watermark) = (time.event_time.unwrap_or(NO_TIME), time.watermark.unwrap_or(NO_TIME));
    format!("event time {event_time} µs is late: the watermark is at {watermark} µs")
}

/// Of rows whose window closed before they arrived.
pub fn closed(window: &ClosedWindow) -> String {
    let ClosedWindow { key, rows, partition, from, through, watermark, .. } = window;
    format!(
        "{rows} row(s) of {key} from offsets {from}..{through} of source partition {partition} came after their window had \
         closed: the watermark is at {watermark} µs"
    )
}

/// Of a group that no plugin gets to see.
pub fn too_many_rows(group: &GroupRows) -> String {
    let GroupRows { rows, most, .. } = group;
    format!("the group has {rows} rows, and {most} are the most: its last result stays")
}

/// Of a record that the log does not hold.
pub fn too_large(record: &RecordSize) -> String {
    let RecordSize { topic, key, bytes, limit } = record;
    format!(
        "its record, with the key {key}, would have {bytes} bytes, but topic `{topic}` holds up to {limit} bytes a record"
    )
}

/// Of an accumulator that nobody reads any more.
pub fn given_up(versions: &StateVersions) -> String {
    let StateVersions { from, now, .. } = versions;
    format!("a partial result has state version {from}, which was given up for version {now}")
}

/// Of an announcement, if what stands at its path is not what it says.
pub fn not_there(announcement: &Announcement, found: &Found) -> Option<String> {
    let path = &announcement.path;
    match found {
        Found::Absent => Some(format!("object `{path}` is not there")),
        Found::Other(sha256) if *sha256 != announcement.sha256 => {
            Some(format!("object `{path}` holds something else than was announced: it was replaced since"))
        }
        Found::Sized(bytes) if *bytes != announcement.bytes => {
            Some(format!("object `{path}` has {bytes} bytes, and was announced with {}", announcement.bytes))
        }
        Found::Other(_) | Found::Sized(_) | Found::Announced | Found::NotSought => None,
    }
}
