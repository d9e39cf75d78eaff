//! Tables and joins of joins, run lane by lane in any interleaving from a seed, with crashes, and with a join that begins
//! to read what the others keep already: what comes out must be what the rows that stand at the end make.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, UInt32Array};
use azenha_model::relation::{Feed, JoinKind, OnTruncate, Operator, RelatedTable, Relation, Table};
use azenha_model::{DataType, Fetched, Field, Records};
use fastrand::Rng;

use super::{Operation, RelateEnd};
use crate::dead_letter::DeadLetters;
use crate::end::{Definition, End, MessageEnd, Moment, Order, RowEnd, TableEnd};
use crate::relation::{Joiner, KeyedTable, Related, Router, row_codec};
use crate::rows::{Rows, Source};
use crate::state::{Restored, restore};
use crate::status::NO_TIME;
use crate::tap::Tap;

const PARTITIONS: u32 = 2;

/// Columns of the tables: lines name products, products name categories. The first column is the key.
const TABLES: [(&str, &[&str]); 3] = [
    ("lines", &["line", "order", "product"]),
    ("products", &["id", "label", "category"]),
    ("categories", &["cid", "title"]),
];

fn fields(names: &[&str]) -> Vec<Field> {
    names.iter().enumerate().map(|(index, name)| Field::new(*name, DataType::Int64, index > 0)).collect()
}

/// A row of a table; the key first.
type Row = Vec<i64>;

/// What stands in the database.
type Database = [BTreeMap<i64, Row>; 3];

/// A change of a table's row, as a source's topic has it.
#[derive(Clone)]
enum Event {
    Put(Row),
    Gone(i64),
}

enum Task {
    Table(usize),
    Relation(Box<Relation>, Vec<Feed>),
}

enum Running {
    Table(Box<TableEnd>),
    Relation(Box<RelateEnd>),
}

/// A lane: the task, its partition, and what was committed.
struct Lane {
    task: usize,
    partition: u32,
    end: Running,
    committed: usize,
    position: usize,
}

impl Lane {
    fn end(&mut self) -> &mut dyn End {
        match &mut self.end {
            Running::Table(end) => end.as_mut(),
            Running::Relation(end) => end.as_mut(),
        }
    }

    /// Whether something waits for a commit.
    fn has_work(&mut self) -> bool {
        self.position > self.committed || self.end().has_more()
    }
}

struct World {
    tasks: Vec<Task>,
    sources: BTreeMap<(usize, u32), Vec<Event>>,
    /// Internal topics and changelogs.
    topics: BTreeMap<(String, u32), Vec<Vec<u8>>>,
    /// Whether [`LATE`] reads its tables.
    is_complete: bool,
}

/// The join that begins to read what is kept already.
const LATE: &str = "sorted";

fn feed(topic: &str, table: u8, by: usize, columns: &[usize]) -> Feed {
    Feed { topic: topic.to_owned(), table, by: vec![by], columns: columns.to_vec() }
}

fn related(name: &str, names: &[&str], versions: u8) -> RelatedTable {
    RelatedTable { name: name.to_owned(), origin: name.to_owned(), by: vec![], fields: fields(names), versions }
}

fn feeds(table: usize) -> Vec<Feed> {
    match table {
        0 => vec![feed("named", 0, 2, &[0, 1, 2])],
        1 => vec![feed("named", 1, 0, &[1, 2])],
        _ => vec![feed("sorted", 1, 0, &[1])],
    }
}

/// Lines with their products, then with those's categories, then by order.
fn relations() -> Vec<Task> {
    let joined = |step: &str, tables| Relation {
        step: step.to_owned(),
        keys: fields(&["key"]),
        tables,
        operator: Operator::Join(JoinKind::Left),
    };
    let named = joined("named", vec![related("lines", TABLES[0].1, 1), related("products", &["label", "category"], 1)]);
    let line = ["line", "order", "product", "label", "category"];
    let sorted = joined("sorted", vec![related("named", &line, 2), related("categories", &["title"], 1)]);
    let whole = ["line", "order", "product", "label", "category", "title"];
    let orders = Relation {
        step: "orders".to_owned(),
        keys: fields(&["order"]),
        tables: vec![related("sorted", &whole, 3)],
        operator: Operator::Latest,
    };
    vec![
        Task::Relation(Box::new(named), vec![feed("sorted", 0, 4, &[0, 1, 2, 3, 4])]),
        Task::Relation(Box::new(sorted), vec![feed("orders", 0, 1, &[0, 1, 2, 3, 4, 5])]),
        Task::Relation(Box::new(orders), vec![]),
    ]
}

impl World {
    fn new() -> Self {
        let tasks = (0..TABLES.len()).map(Task::Table).chain(relations()).collect();
        Self { tasks, sources: BTreeMap::new(), topics: BTreeMap::new(), is_complete: false }
    }

    /// Who is told what a task's lanes keep.
    fn feeds(&self, task: usize) -> Vec<Feed> {
        let feeds = match &self.tasks[task] {
            Task::Table(table) => feeds(*table),
            Task::Relation(_, feeds) => feeds.clone(),
        };
        feeds.into_iter().filter(|feed| self.is_complete || feed.topic != LATE).collect()
    }

    fn changelog(&self, task: usize) -> String {
        format!("changelog {task}")
    }

    /// Starts a lane from what its changelog says.
    fn start(&self, task: usize, partition: u32) -> Lane {
        let changelog = self.changelog(task);
        let mut restored = Restored::default();
        let blocks = self.topics.get(&(changelog.clone(), partition)).into_iter().flatten();
        restore(&mut restored, blocks.map(Vec::as_slice)).unwrap();
        let committed = restored.header.as_ref().map_or(0, |header| header.position as usize);
        let input = ("input".to_owned(), partition);
        let feeds = self.feeds(task);
        let definition = Definition::new(String::new(), feeds.iter().map(Feed::reader).collect());
        let definition = match &restored.header {
            Some(header) => definition.after(&Definition::read(&header.definition)).unwrap(),
            None => definition,
        };
        let end = match &self.tasks[task] {
            Task::Table(table) => {
                let (name, names) = TABLES[*table];
                let fields = fields(names);
                let spec = Table {
                    name: name.to_owned(),
                    fields: fields.clone(),
                    key: vec![0],
                    on_truncate: OnTruncate::Stop,
                    is_whole: false,
                    operation: None,
                };
                let router = Router::new(&fields, &[0], &feeds, |_| Ok(PARTITIONS)).unwrap();
                let table = KeyedTable::over(spec, restored.table).unwrap();
                let order = Order::Offsets;
                Running::Table(Box::new(TableEnd::new(table, router, vec![], definition, changelog, input, order)))
            }
            Task::Relation(relation, _) => {
                let versions = relation.tables.iter().map(|table| table.versions).collect();
                let related = Related::over(restored.table, versions).unwrap();
                let output = relation.output();
                let operation = match relation.operator {
                    Operator::Join(kind) => Operation::Join(Joiner::new(relation, kind).unwrap()),
                    _ => Operation::Latest(row_codec(&output).unwrap()),
                };
                let router = Router::new(&output, &[], &feeds, |_| Ok(PARTITIONS)).unwrap();
                let outlets = (router, vec![]);
                let end = RelateEnd::new(
                    Relation::clone(relation),
                    operation,
                    related,
                    outlets,
                    definition,
                    changelog,
                    input,
                    Tap::default(),
                );
                Running::Relation(Box::new(end.unwrap()))
            }
        };
        Lane { task, partition, end, committed, position: committed }
    }

    fn waiting(&self, lane: &Lane) -> usize {
        let there = match &self.tasks[lane.task] {
            Task::Table(table) => self.sources.get(&(*table, lane.partition)).map_or(0, Vec::len),
            Task::Relation(relation, _) => {
                self.topics.get(&(relation.step.clone(), lane.partition)).map_or(0, Vec::len)
            }
        };
        there - lane.position
    }

    /// Takes some records in.
    fn process(&self, lane: &mut Lane, count: usize) {
        let dead = &mut DeadLetters::new("simulation".into(), 0, false);
        let range = lane.position..lane.position + count;
        match (&mut lane.end, &self.tasks[lane.task]) {
            (Running::Table(end), Task::Table(table)) => {
                let events = &self.sources[&(*table, lane.partition)][range.clone()];
                let (rows, source) = (rows_of(events, TABLES[*table].1.len()), source(range.clone(), None));
                end.rows(&rows, &source, dead).unwrap();
            }
            (Running::Relation(end), Task::Relation(relation, _)) => {
                let messages = &self.topics[&(relation.step.clone(), lane.partition)][range.clone()];
                let source = source(range.clone(), Some(messages));
                (0..count).for_each(|record| end.message(&source, record as u32, dead).unwrap());
            }
            _ => unreachable!("a lane runs its own task"),
        }
        assert!(dead.is_empty());
        lane.position = range.end;
    }

    fn commit(&mut self, lane: &mut Lane) {
        let moment = Moment {
            from: lane.committed as u64,
            position: lane.position as u64,
            event_time: NO_TIME,
            watermark: NO_TIME,
            idle: false,
            timestamp: 0,
        };
        let dead = &mut DeadLetters::new("simulation".into(), 0, false);
        for append in lane.end().commit(&moment, dead).unwrap().appends {
            let records = append.records.values.iter().flatten().map(<[u8]>::to_vec);
            self.topics.entry((append.topic, append.partition)).or_default().extend(records);
        }
        lane.committed = lane.position;
    }
}

fn rows_of(events: &[Event], width: usize) -> Rows {
    let value = |event: &Event, column: usize| match event {
        Event::Put(row) => Some(row[column]).filter(|value| column == 0 || *value >= 0),
        Event::Gone(key) => (column == 0).then_some(*key),
    };
    let column = |column| Arc::new(events.iter().map(|event| value(event, column)).collect::<Int64Array>()) as ArrayRef;
    let deletes: BooleanArray = events.iter().map(|event| Some(matches!(event, Event::Gone(_)))).collect();
    Rows {
        columns: (0..width).map(|index| Some(column(index))).collect(),
        origin: UInt32Array::from_iter_values(0..events.len() as u32),
        deletes: Some(deletes),
        changes: None,
    }
}

fn source(offsets: std::ops::Range<usize>, messages: Option<&[Vec<u8>]>) -> Arc<Source> {
    let none = vec![Vec::new(); offsets.len()];
    let values = BinaryArray::from_iter_values(messages.unwrap_or(&none));
    let fetched = Fetched {
        offsets: offsets.clone().map(|offset| offset as u64).collect(),
        records: Records::unkeyed(values, 0),
        next: offsets.end as u64,
    };
    Arc::new(Source::new("input".into(), 0, fetched))
}

/// Rows of lines with what stands beside them, by order; absent values are -1.
type Orders = BTreeMap<i64, BTreeSet<Row>>;

/// What must come out.
fn expected(database: &Database) -> Orders {
    let [lines, products, categories] = database;
    let mut orders = Orders::new();
    for line in lines.values() {
        let product = products.get(&line[2]).map_or(vec![-1, -1], |product| product[1..].to_vec());
        let title = categories.get(&product[1]).map_or(-1, |category| category[1]);
        let row = [line.as_slice(), &product, &[title]].concat();
        orders.entry(line[1]).or_default().insert(row);
    }
    orders
}

/// What the lanes that own orders hold.
fn found(lanes: &[Lane]) -> Orders {
    let mut orders = Orders::new();
    for lane in lanes {
        let Running::Relation(end) = &lane.end else { continue };
        if end.relation.step != "orders" {
            continue;
        }
        let members = end.related.groups().flat_map(|group| end.related.members(group, 0));
        let parser = end.results.parser();
        let rows: Vec<_> = members.filter_map(|member| member.row).map(|row| parser.parse(row)).collect();
        let count = rows.len();
        let columns = end.results.convert_rows(rows).unwrap();
        let value = |column: &ArrayRef, row: usize| {
            let values = column.as_primitive::<Int64Type>();
            if values.is_valid(row) { values.value(row) } else { -1 }
        };
        for row in 0..count {
            let row: Row = columns.iter().map(|column| value(column, row)).collect();
            orders.entry(row[1]).or_default().insert(row);
        }
    }
    orders
}

/// A random change; the same rows come again and again, so that they move, go and come back.
fn change(random: &mut Rng, database: &mut Database) -> (usize, Event) {
    let table = random.usize(0..TABLES.len());
    let key = random.i64(0..[6, 3, 2][table]);
    if random.u8(0..4) == 0 {
        database[table].remove(&key);
        return (table, Event::Gone(key));
    }
    let row = match table {
        // Of some lines nobody knows the product: -1 stands for null.
        0 => vec![key, random.i64(0..3), random.i64(-1..3)],
        1 => vec![key, random.i64(0..3), random.i64(-1..2)],
        _ => vec![key, random.i64(0..3)],
    };
    database[table].insert(key, row.clone());
    (table, Event::Put(row))
}

fn run(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let (mut world, mut database) = (World::new(), Database::default());
    let tasks = world.tasks.len();
    let places = (0..tasks).flat_map(|task| (0..PARTITIONS).map(move |partition| (task, partition)));
    let mut lanes: Vec<Lane> = places.map(|(task, partition)| world.start(task, partition)).collect();
    let (mut left, late) = (60, random.usize(0..60));
    loop {
        if left == late && !world.is_complete {
            world.is_complete = true;
            lanes.iter_mut().for_each(|lane| *lane = world.start(lane.task, lane.partition));
        }
        if left > 0 && random.bool() {
            left -= 1;
            let (table, event) = change(&mut random, &mut database);
            let key = match &event {
                Event::Put(row) => row[0],
                Event::Gone(key) => *key,
            };
            world.sources.entry((table, key as u32 % PARTITIONS)).or_default().push(event);
        }
        let busy: Vec<usize> =
            (0..lanes.len()).filter(|lane| world.waiting(&lanes[*lane]) > 0 || lanes[*lane].has_work()).collect();
        let Some(lane) = random.choice(&busy).map(|lane| &mut lanes[*lane]) else {
            if left == 0 {
                break;
            }
            continue;
        };
        match random.u8(0..10) {
            0 => *lane = world.start(lane.task, lane.partition),
            1..4 if lane.has_work() => world.commit(lane),
            _ if lane.end().has_more() => world.commit(lane),
            _ => {
                let count = random.usize(0..=world.waiting(lane));
                world.process(lane, count);
            }
        }
    }
    assert_eq!(found(&lanes), expected(&database), "seed {seed}");
}

#[test]
fn any_interleaving_of_topics_lanes_and_crashes_gives_the_same_orders() {
    (0..2_000).for_each(run);
}
