//! Customers found from identifiers, with events in any order from a seed, from two lanes at once, and with crashes: what
//! stands in the output must be what the connected components of all events are. If the plugin fails to merge some of them,
//! they stay apart, and no event is lost but those of which it is said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, StringArray};
use azenha_model::dead_letter::Cause;
use azenha_model::plan::{Aggregation, Emit, PluginUse, Window};
use azenha_model::plugin::AggregatePlan;
use azenha_model::{DataType, Field};
use fastrand::Rng;

use super::{Complaint, Complaints, EngineError, GroupTable, Growth, KeyCodec, Merger, Parcel, Sessions, Slot, merge};
use crate::state::{Restored, StateHeader, StateLog, restore};
use crate::status::NO_TIME;
use crate::window::Span;

const COLUMNS: [&str; 3] = ["document", "email", "cookie"];

/// The identifiers of an event, one at most of each column.
type Event = [Option<String>; 3];

/// The numbers of the events of each customer.
type Customers = BTreeMap<String, BTreeSet<u32>>;

/// Accumulators that are sets of numbers. One in so many merges fails, the same ones whenever they are tried; none fails if
/// there is no such number.
#[derive(Clone, Copy)]
struct Sets {
    one_in: Option<u32>,
    seed: u64,
}

impl Sets {
    const SOUND: Self = Self { one_in: None, seed: 0 };

    fn fails(self, left: &BTreeSet<u32>, right: &BTreeSet<u32>) -> bool {
        let numbers = left.iter().chain([&u32::MAX]).chain(right);
        let mixed = numbers.fold(self.seed, |mixed, number| Rng::with_seed(mixed ^ u64::from(*number)).u64(..));
        self.one_in.is_some_and(|count| mixed % u64::from(count) == 0)
    }
}

fn encoded(set: &BTreeSet<u32>) -> Vec<u8> {
    set.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn decoded(bytes: &[u8]) -> BTreeSet<u32> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    numbers.iter().map(|number| u32::from_le_bytes(*number)).collect()
}

impl Merger for Sets {
    fn merge(&mut self, table: &mut GroupTable, pairs: &[(Slot, Vec<u8>)]) -> Result<Complaints, EngineError> {
        let mut complaints = Complaints::new();
        for (index, (slot, payload)) in pairs.iter().enumerate() {
            let (mut left, right) = (decoded(&table.get(*slot).unwrap().accumulator), decoded(payload));
            if self.fails(&left, &right) {
                complaints.push((index, Complaint::new(Cause::Failed, said(&right))));
                continue;
            }
            let count = left.len() + right.len();
            left.extend(right);
            assert_eq!(left.len(), count, "an event is in two customers, or came twice");
            table.put(*slot, &encoded(&left));
        }
        Ok(complaints)
    }
}

/// What a complaint says of what could not be merged.
fn said(events: &BTreeSet<u32>) -> String {
    events.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

/// Customers.
fn keys() -> KeyCodec {
    keys_of(None, Some("customer".to_owned()))
}

fn keys_of(window: Option<Window>, identity: Option<String>) -> KeyCodec {
    let plugin = PluginUse {
        step: "customers".to_owned(),
        plugin: "sets".to_owned(),
        config: "{}".to_owned(),
        config_by_name: "{}".to_owned(),
        input: COLUMNS.map(|name| Field::new(name, DataType::Text, true)).to_vec(),
    };
    let plan = AggregatePlan {
        reads: vec![],
        gives: vec![],
        state_version: 1,
        reads_versions: vec![],
        merges: true,
        retracts: false,
    };
    let by = (0..COLUMNS.len()).collect();
    let spec = Aggregation { plugin, plan, by, window, emit: Emit::Changes, identity, lateness: 0 };
    KeyCodec::new(&spec).unwrap()
}

/// Some events as the first half sends them: folded by equal identifiers.
fn message(keys: &KeyCodec, events: &[(u32, &Event)]) -> Vec<Parcel> {
    let column = |place: usize| {
        let values: StringArray = events.iter().map(|(_, event)| event[place].as_deref()).collect();
        Arc::new(values) as ArrayRef
    };
    let groups = keys.groups(&[column(0), column(1), column(2)]).unwrap();
    let mut sets: BTreeMap<&[u8], BTreeSet<u32>> = BTreeMap::new();
    for (row, (number, _)) in events.iter().enumerate() {
        sets.entry(groups.get(row)).or_default().insert(*number);
    }
    let parcel =
        |(key, set): (&[u8], BTreeSet<u32>)| Parcel { key: key.into(), payload: encoded(&set), rows: set.len() as u64 };
    sets.into_iter().map(parcel).collect()
}

/// The second half.
struct Lane {
    /// What it complained of since its last commit.
    letters: BTreeSet<u32>,
    table: GroupTable,
    growth: Growth,
    log: StateLog,
    position: usize,
}

struct World {
    keys: KeyCodec,
    topic: Vec<Vec<Parcel>>,
    changelog: Vec<Vec<u8>>,
    /// Where the changelog begins.
    purged: usize,
    output: Customers,
    sets: Sets,
    /// Events of which is said that something could not be merged.
    letters: BTreeSet<u32>,
}

impl World {
    fn new(topic: Vec<Vec<Parcel>>, sets: Sets) -> Self {
        let (changelog, output) = (Vec::new(), Customers::new());
        Self { keys: keys(), topic, changelog, purged: 0, output, sets, letters: BTreeSet::new() }
    }

    /// Starts the lane from what the changelog says.
    fn start(&self) -> Lane {
        let mut restored = Restored::default();
        restore(&mut restored, self.changelog[self.purged..].iter().map(Vec::as_slice)).unwrap();
        Lane {
            position: restored.header.map_or(0, |header| header.position as usize),
            table: restored.table,
            growth: Growth::Identities(Default::default()),
            log: StateLog::default(),
            letters: BTreeSet::new(),
        }
    }

    fn process(&self, lane: &mut Lane, count: usize) {
        for message in &self.topic[lane.position..lane.position + count] {
            let mut sets = self.sets;
            let complaints = merge(message.clone(), &mut lane.growth, &mut lane.table, &self.keys, &mut sets).unwrap();
            let said = complaints.iter().flat_map(|(_, complaint)| complaint.reason.split(' '));
            lane.letters.extend(said.map(|number| number.parse::<u32>().unwrap()));
        }
        lane.position += count;
    }

    fn name(&self, key: &[u8]) -> String {
        self.keys.columns(std::iter::once(key)).unwrap()[0].as_string::<i32>().value(0).to_owned()
    }

    fn commit(&mut self, lane: &mut Lane) {
        self.letters.append(&mut lane.letters);
        for key in lane.growth.take_absorbed() {
            assert!(self.output.remove(&self.name(&key)).is_some(), "what is taken back stood there");
        }
        for slot in lane.growth.changed(&lane.table) {
            let group = lane.table.get(slot).unwrap();
            self.output.insert(self.name(&group.key), decoded(&group.accumulator));
            lane.table.set_emitted(slot, true);
        }
        if lane.log.needs_start() {
            lane.log.begin_cycle(self.changelog.len() as u64);
        }
        let header = StateHeader {
            position: lane.position as u64,
            definition: String::new(),
            state_version: 1,
            timestamp: 0,
            event_time: NO_TIME,
            watermark: NO_TIME,
            senders: vec![],
        };
        let (blocks, purge) = lane.log.commit(&header, &mut lane.table).unwrap();
        self.changelog.extend(blocks);
        self.purged = purge.map_or(self.purged, |before| before as usize);
    }
}

/// Connected components, found by giving each event the smallest identifier of all that it shares one with, until nothing
/// changes.
fn expected(events: &[Event]) -> Customers {
    let identifiers = |event: &Event| {
        let named = |(place, value): (usize, &Option<String>)| Some((place, value.clone()?));
        event.iter().enumerate().filter_map(named).collect::<Vec<_>>()
    };
    let mut smallest = BTreeMap::new();
    loop {
        let before = smallest.clone();
        for event in events {
            let own = identifiers(event);
            let reached = own.iter().map(|identifier| smallest.get(identifier).unwrap_or(identifier)).min().cloned();
            for identifier in own {
                smallest.insert(identifier, reached.clone().unwrap());
            }
        }
        if smallest == before {
            break;
        }
    }
    let mut customers = Customers::new();
    for (number, event) in (0..).zip(events) {
        let (place, value) = &smallest[&identifiers(event)[0]];
        customers.entry(format!("{}:{value}", COLUMNS[*place])).or_default().insert(number);
    }
    customers
}

/// An event of somebody, of whom few are in the world or many.
fn event(random: &mut Rng, people: u32) -> Event {
    loop {
        let mut value = || (random.u8(0..3) > 0).then(|| format!("{:02}", random.u32(0..people)));
        let event = [value(), value(), value()];
        // Most know one identifier: else everybody would soon be one.
        let keep = random.usize(0..3);
        let event: Event = match random.u8(0..4) {
            0 => event,
            _ => std::array::from_fn(|place| event[place].clone().filter(|_| place == keep)),
        };
        if event.iter().any(Option::is_some) {
            return event;
        }
    }
}

/// Plays some events in any order, with crashes.
fn played(seed: u64, sets: Sets) -> (Vec<Event>, World) {
    let mut random = Rng::with_seed(seed);
    let people = random.u32(4..60);
    let events: Vec<Event> = (0..120).map(|_| event(&mut random, people)).collect();
    let mut order: Vec<(u32, &Event)> = (0..).zip(&events).collect();
    random.shuffle(&mut order);
    let mut world = World::new(Vec::new(), sets);
    let mut lane = world.start();
    let mut committed = 0;
    while !order.is_empty() || committed < world.topic.len() {
        match random.u8(0..8) {
            0 => {
                lane = world.start();
                assert_eq!(lane.position, committed);
            }
            1 | 2 => {
                world.commit(&mut lane);
                committed = lane.position;
            }
            3..6 if !order.is_empty() => {
                let sent = order.split_off(order.len() - random.usize(1..=order.len().min(12)));
                let message = message(&world.keys, &sent);
                world.topic.push(message);
            }
            _ => {
                let count = random.usize(0..=world.topic.len() - lane.position);
                world.process(&mut lane, count);
            }
        }
    }
    (events, world)
}

#[test]
fn any_order_of_events_and_any_crash_gives_the_connected_components() {
    for seed in 0..2_000 {
        let (events, world) = played(seed, Sets::SOUND);
        assert!(world.letters.is_empty());
        assert_eq!(world.output, expected(&events), "seed {seed}");
    }
}

/// Whatever fails: each event is of one customer, or it is said of it that it could not be merged, and nobody is given what is
/// another's.
#[test]
fn a_merge_that_fails_takes_nothing_from_anybody() {
    let mut letters = 0;
    for seed in 0..2_000 {
        let (events, world) = played(seed, Sets { one_in: Some(2 + seed as u32 % 5), seed });
        let mut found = BTreeSet::new();
        for event in world.output.values().flatten() {
            assert!(found.insert(*event), "seed {seed}: event {event} is of two customers");
        }
        let all: BTreeSet<u32> = (0..events.len() as u32).collect();
        let lost: Vec<&u32> = all.difference(&found).filter(|event| !world.letters.contains(event)).collect();
        assert!(lost.is_empty(), "seed {seed}: nothing is said of events {lost:?}");
        let customers = expected(&events);
        for (name, own) in &world.output {
            let is_of_one = |customer: &&BTreeSet<u32>| own.is_subset(customer);
            assert!(
                customers.values().any(|customer| is_of_one(&customer)),
                "seed {seed}: {name} has events of others"
            );
        }
        letters += world.letters.len();
    }
    assert!(letters > 10_000, "{letters} letters");
}

/// What two customers had stands in the output until they are one, and again is tried when it is said that they are.
#[test]
fn customers_whose_merge_fails_stay_apart_until_it_succeeds() {
    let known =
        |document: Option<&str>, cookie: Option<&str>| [document.map(str::to_owned), None, cookie.map(str::to_owned)];
    let (ana, visitor, both) =
        (known(Some("ana"), None), known(None, Some("visitor")), known(Some("ana"), Some("visitor")));
    let events = [(0, &ana), (1, &visitor), (2, &both), (3, &both)];
    let mut world = World::new(vec![], Sets { one_in: Some(1), seed: 0 });
    world.topic = events.chunks(1).map(|events| message(&world.keys, events)).collect();
    let mut lane = world.start();
    world.process(&mut lane, 2);
    world.commit(&mut lane);
    world.process(&mut lane, 1);
    world.commit(&mut lane);
    let apart = [("cookie:visitor", vec![1]), ("document:ana", vec![0])];
    let named = |(name, events): (&str, Vec<u32>)| (name.to_owned(), events.into_iter().collect());
    assert_eq!(world.output, apart.map(named).into());
    assert_eq!(world.letters, BTreeSet::from([1, 2]), "neither the other customer nor the event could be merged");
    world.sets = Sets::SOUND;
    world.process(&mut lane, 1);
    world.commit(&mut lane);
    assert_eq!(world.output, [("document:ana", vec![0, 1, 3])].map(named).into());
}

/// A row that would make one of two sessions is refused as a whole: counted for one of them, it would lie outside of it.
#[test]
fn sessions_whose_merge_fails_stay_as_they_are() {
    let keys = keys_of(Some(Window::Session { gap: 10 }), None);
    let nobody: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
    let groups = keys.groups(&[Arc::clone(&nobody), Arc::clone(&nobody), nobody]).unwrap();
    let parcel = |number: u32, start: i64, end: i64| {
        let mut key = Vec::new();
        keys.write(groups.get(0), Some(Span { start, end }), &mut key);
        Parcel { key: key.into(), payload: encoded(&BTreeSet::from([number])), rows: 1 }
    };
    let (mut table, mut growth) = (GroupTable::default(), Growth::Sessions(Sessions::default()));
    let mut receive = |parcels, mut sets| {
        let complaints = merge(parcels, &mut growth, &mut table, &keys, &mut sets).unwrap();
        let open = table.iter().map(|(_, group)| (keys.span(&group.key).unwrap().start, decoded(&group.accumulator)));
        (complaints.len(), open.collect::<BTreeMap<_, _>>())
    };
    let two = vec![parcel(0, 0, 10), parcel(1, 20, 30)];
    let apart = BTreeMap::from([(0, BTreeSet::from([0])), (20, BTreeSet::from([1]))]);
    assert_eq!(receive(two, Sets::SOUND), (0, apart.clone()));
    assert_eq!(receive(vec![parcel(2, 5, 25)], Sets { one_in: Some(1), seed: 0 }), (1, apart));
    let whole = BTreeMap::from([(0, BTreeSet::from([0, 1, 3]))]);
    assert_eq!(receive(vec![parcel(3, 5, 25)], Sets::SOUND), (0, whole));
}

#[test]
fn a_long_chain_of_identifiers_is_one_customer_whatever_end_it_grows_from() {
    let event = |number: u32| [None, Some(format!("{number:05}")), Some(format!("{:05}", number + 1))];
    for descending in [false, true] {
        let links = |number: u32| [Some(format!("{number:05}")), None, Some(format!("{number:05}"))];
        let mut events: Vec<Event> = (0..2_000).flat_map(|number| [event(number), links(number)]).collect();
        events.extend((0..2_000).map(|number| [Some(format!("{number:05}")), Some(format!("{number:05}")), None]));
        if descending {
            events.reverse();
        }
        let mut world = World::new(Vec::new(), Sets::SOUND);
        let numbered: Vec<(u32, &Event)> = (0..).zip(&events).collect();
        world.topic = numbered.chunks(1).map(|events| message(&world.keys, events)).collect();
        let mut lane = world.start();
        world.process(&mut lane, world.topic.len());
        world.commit(&mut lane);
        assert_eq!(world.output.keys().collect::<Vec<_>>(), ["document:00000"]);
        assert_eq!(world.output["document:00000"].len(), events.len());
    }
}
