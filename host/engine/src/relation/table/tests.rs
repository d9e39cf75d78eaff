use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, Int64Array, StringArray};
use azenha_model::{DataType, Field};

use super::*;

/// A table of ids and texts, and what a reader of its changes has.
struct Shop {
    table: KeyedTable,
    copy: BTreeMap<i64, String>,
    offset: u64,
}

const SNAPSHOT: ChangeKind = ChangeKind::Snapshot { first: false, last: false };
const LAST: ChangeKind = ChangeKind::Snapshot { first: false, last: true };

impl Shop {
    fn new(on_truncate: OnTruncate, is_whole: bool) -> Self {
        let fields = vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Text, true)];
        let table = Table { name: "shop".to_owned(), fields, key: vec![0], on_truncate, is_whole, operation: None };
        Self { table: KeyedTable::over(table, GroupTable::default()).unwrap(), copy: BTreeMap::new(), offset: 0 }
    }

    fn whole() -> Self {
        Self::new(OnTruncate::Stop, true)
    }

    /// Takes an event in; gives how many rows changed. A name of `~` was left out by the database.
    fn event(&mut self, kind: ChangeKind, position: Option<u64>, id: i64, name: &str) -> Result<usize, Trouble> {
        let name = (name != "~").then_some(name);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![id])), Arc::new(StringArray::from(vec![name]))];
        let (keys, rows) = self.table.bytes_of(&columns).unwrap();
        let arrival = Arrival {
            kind,
            position: position.map(|position| ChangePosition([position, 0, 0])),
            offset: self.offset,
            key: keys.row(0).data(),
            row: rows.row(0).data(),
            unavailable: if name.is_none() { &[1] } else { &[] },
        };
        self.offset += 1;
        let mut changes = Vec::new();
        self.table.take(&arrival, &mut changes)?;
        for change in &changes {
            let was = change.old.as_deref().map(|row| self.read(row));
            assert_eq!(was.as_ref().and_then(|(id, _)| self.copy.get(id)), was.as_ref().map(|(_, name)| name));
            if let Some((id, _)) = was {
                self.copy.remove(&id);
            }
            if let Some((id, name)) = change.new.as_deref().map(|row| self.read(row)) {
                self.copy.insert(id, name);
            }
        }
        Ok(changes.len())
    }

    fn read(&self, row: &[u8]) -> (i64, String) {
        let columns = self.table.columns_of(std::iter::once(row)).unwrap();
        let names = columns[1].as_string::<i32>();
        let name = if names.is_valid(0) { names.value(0) } else { "null" };
        (columns[0].as_primitive::<Int64Type>().value(0), name.to_owned())
    }

    fn put(&mut self, position: u64, id: i64, name: &str) -> usize {
        self.event(ChangeKind::Upsert, Some(position), id, name).unwrap()
    }

    fn delete(&mut self, position: u64, id: i64) -> usize {
        self.event(ChangeKind::Delete, Some(position), id, "").unwrap()
    }

    fn tombstone(&mut self, id: i64) -> usize {
        self.event(ChangeKind::Tombstone, None, id, "").unwrap()
    }

    fn snapshot(&mut self, kind: ChangeKind, position: u64, id: i64, name: &str) -> usize {
        self.event(kind, Some(position), id, name).unwrap()
    }

    /// Begins again with what the changelog holds.
    fn restart(&mut self) {
        self.table.settle();
        let (table, entries) = (self.table.table().clone(), std::mem::take(self.table.entries()));
        self.table = KeyedTable::over(table, entries).unwrap();
    }

    fn names(&self) -> Vec<(i64, &str)> {
        self.copy.iter().map(|(id, name)| (*id, name.as_str())).collect()
    }
}

#[test]
fn events_that_the_capture_repeats_change_nothing() {
    let mut shop = Shop::whole();
    let play = |shop: &mut Shop| {
        shop.put(10, 1, "a") + shop.put(20, 1, "b") + shop.delete(30, 1) + shop.tombstone(1) + shop.put(40, 2, "c")
    };
    assert_eq!(play(&mut shop), 4);
    assert_eq!(play(&mut shop), 0);
    shop.restart();
    assert_eq!(play(&mut shop), 0);
    assert_eq!(shop.names(), [(2, "c")]);
}

#[test]
fn a_repeated_delete_and_its_tombstone_leave_a_row_that_came_back() {
    let mut shop = Shop::whole();
    shop.put(10, 1, "a");
    shop.delete(20, 1);
    shop.tombstone(1);
    shop.put(30, 1, "again");
    assert_eq!(shop.delete(20, 1), 0);
    // A commit, and a crash, between the two.
    shop.restart();
    assert_eq!(shop.tombstone(1), 0);
    assert_eq!(shop.names(), [(1, "again")]);
}

#[test]
fn a_tombstone_deletes_where_compaction_removed_the_delete() {
    let mut shop = Shop::whole();
    shop.put(10, 1, "a");
    shop.put(11, 2, "b");
    assert_eq!(shop.tombstone(1), 1);
    assert_eq!(shop.names(), [(2, "b")]);
}

#[test]
fn what_the_database_left_out_is_taken_from_the_row_before() {
    let mut shop = Shop::whole();
    shop.put(10, 1, "long");
    assert_eq!(shop.put(20, 1, "~"), 0);
    shop.restart();
    assert_eq!(shop.put(30, 1, "~"), 0);
    assert_eq!(shop.names(), [(1, "long")]);
    let error = shop.event(ChangeKind::Upsert, Some(40), 2, "~").unwrap_err();
    assert!(matches!(error, Trouble::Refused(_)) && error.to_string().contains("left out name"), "{error}");
}

#[test]
fn a_new_snapshot_deletes_the_rows_that_vanished_meanwhile() {
    let mut shop = Shop::whole();
    shop.snapshot(SNAPSHOT, 5, 1, "a");
    shop.snapshot(SNAPSHOT, 5, 2, "b");
    shop.snapshot(LAST, 5, 3, "c");
    shop.put(10, 4, "d");
    assert_eq!(shop.names().len(), 4);
    shop.snapshot(SNAPSHOT, 20, 1, "a");
    shop.restart();
    assert_eq!(shop.names().len(), 4, "the snapshot is not complete");
    shop.snapshot(LAST, 20, 4, "new");
    assert_eq!(shop.names(), [(1, "a"), (4, "new")]);
}

/// PostgreSQL's snapshot stands behind what such a transaction wrote, and does not show it.
#[test]
fn what_a_transaction_wrote_before_a_snapshot_and_committed_behind_it_counts() {
    let mut shop = Shop::whole();
    shop.snapshot(SNAPSHOT, 20, 1, "a");
    shop.snapshot(SNAPSHOT, 20, 2, "b");
    shop.snapshot(LAST, 20, 3, "c");
    shop.restart();
    assert_eq!(shop.put(15, 1, "later"), 1);
    assert_eq!(shop.delete(16, 2), 1);
    assert_eq!(shop.tombstone(2), 0);
    assert_eq!(shop.names(), [(1, "later"), (3, "c")]);
    // Seen once, they are known.
    assert_eq!(shop.put(15, 1, "later") + shop.delete(16, 2) + shop.put(10, 2, "b"), 0);
}

#[test]
fn a_capture_that_takes_its_snapshot_again_and_then_repeats_the_past_ends_at_what_is() {
    let mut shop = Shop::whole();
    let past = |shop: &mut Shop| {
        shop.put(10, 1, "b");
        shop.put(20, 1, "c");
        shop.put(11, 2, "x");
        shop.delete(21, 2);
    };
    shop.snapshot(LAST, 5, 1, "a");
    past(&mut shop);
    shop.snapshot(LAST, 30, 1, "c");
    assert_eq!(shop.names(), [(1, "c")]);
    past(&mut shop);
    assert_eq!(shop.names(), [(1, "c")]);
}

#[test]
fn a_part_of_a_table_keeps_rows_that_a_snapshot_does_not_show_it() {
    let mut shop = Shop::new(OnTruncate::Stop, false);
    shop.put(10, 1, "a");
    shop.snapshot(LAST, 20, 2, "b");
    assert_eq!(shop.names(), [(1, "a"), (2, "b")]);
}

#[test]
fn a_truncated_table_stops_the_lane_or_loses_its_rows_as_the_source_says() {
    let mut stopping = Shop::whole();
    stopping.put(10, 1, "a");
    let error = stopping.event(ChangeKind::Truncate, Some(20), 0, "").unwrap_err();
    assert!(error.to_string().contains("on_truncate: apply"), "{error}");
    assert_eq!(stopping.names(), [(1, "a")]);

    let mut applying = Shop::new(OnTruncate::Apply, true);
    applying.put(10, 1, "a");
    applying.put(11, 2, "b");
    assert_eq!(applying.event(ChangeKind::Truncate, Some(20), 0, "").unwrap(), 2);
    assert_eq!(applying.put(30, 2, "c"), 1);
    assert_eq!(applying.names(), [(2, "c")]);

    let mut part = Shop::new(OnTruncate::Apply, false);
    assert!(part.event(ChangeKind::Truncate, Some(20), 0, "").unwrap_err().to_string().contains("several partitions"));
}

#[test]
fn records_without_a_position_apply_in_their_order() {
    let mut shop = Shop::whole();
    for (kind, name) in [(ChangeKind::Upsert, "a"), (ChangeKind::Delete, ""), (ChangeKind::Upsert, "b")] {
        shop.event(kind, None, 1, name).unwrap();
    }
    assert_eq!(shop.names(), [(1, "b")]);
    shop.event(ChangeKind::Delete, None, 1, "").unwrap();
    assert_eq!(shop.names(), []);
}

#[test]
fn after_a_truncate_a_repeated_event_from_before_it_does_not_bring_a_row_back() {
    let mut shop = Shop::new(OnTruncate::Apply, true);
    shop.put(10, 1, "a");
    shop.event(ChangeKind::Truncate, Some(20), 0, "").unwrap();
    assert_eq!(shop.put(10, 1, "a"), 0);
    assert_eq!(shop.names(), []);
}

#[test]
fn rows_are_told_in_parts_and_after_a_crash_from_where_it_was() {
    let mut shop = Shop::whole();
    (0..50).for_each(|id| assert_eq!(shop.put(10 + id as u64, id, "name"), 1));
    assert_eq!(shop.delete(100, 7), 1);
    let readers = ["join/0".to_owned(), "topic".to_owned()];
    let mut told = Vec::new();
    let mut telling = shop.table.telling(&readers);
    for _ in 0..3 {
        told.extend(shop.table.tell_next(&mut telling, 100, 50).unwrap().unwrap());
    }
    assert!((3..25).contains(&told.len()), "{} rows in three parts", told.len());

    shop.restart();
    let mut telling = shop.table.telling(&readers);
    while let Some(more) = shop.table.tell_next(&mut telling, 100, 50).unwrap() {
        told.extend(more);
    }
    let ids: Vec<i64> = told.iter().map(|change| shop.read(change.new.as_deref().unwrap()).0).collect();
    assert_eq!(ids, (0..50).filter(|id| *id != 7).collect::<Vec<_>>());
    assert!(told.iter().all(|change| change.old.is_none() && change.version < Version::of(51)));
    // Somebody else is told everything.
    let mut others = shop.table.telling(&readers[..1]);
    assert_eq!(shop.table.tell_next(&mut others, usize::MAX, 50).unwrap().unwrap().len(), 49);
}
