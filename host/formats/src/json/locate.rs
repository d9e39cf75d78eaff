//! Where in a record the values of the wanted fields stand.
//!
//! The wanted fields are a tree of members. While a record is checked against the grammar, each value of a
//! wanted member is noted in its *slot*. Records of one topic mostly name their members in the same order, so
//! each object of the tree learns the names that it meets, and first compares with the one that followed last
//! time: one comparison of bytes instead of a scan and a search.

use azenha_model::plan::StreamColumn;

use super::scan::{Fault, Kind, Scanner};
use super::text::unquote;

/// Where the value of a wanted member stands in the record.
#[derive(Debug, Clone, Copy)]
struct Slot {
    pub kind: Kind,
    pub start: u32,
    pub end: u32,
}

const MISSING: Slot = Slot { kind: Kind::Missing, start: 0, end: 0 };

/// Names that an object learns at most, so that objects with names of all kinds cost no memory.
const MAX_LEARNED: usize = 128;

/// Finds the values of the wanted fields.
pub(crate) struct Locator {
    /// The tree; the first is the record itself.
    objects: Vec<WantedObject>,
    slots: Vec<Slot>,
    /// The path of each slot's member, with points: `customer.email`.
    paths: Vec<String>,
}

#[derive(Default)]
struct WantedObject {
    members: Vec<(String, Wanted)>,
    /// The names that were met, in their usual order.
    learned: Vec<Learned>,
}

/// A member that is wanted itself, or for what is inside it.
#[derive(Clone, Copy)]
struct Wanted {
    slot: usize,
    /// The index among `objects` of what is wanted inside it.
    inside: Option<usize>,
}

struct Learned {
    /// The name as records write it, with quotes and colon.
    name: Vec<u8>,
    wanted: Option<Wanted>,
}

impl Locator {
    pub fn new() -> Self {
        Self { objects: vec![WantedObject::default()], slots: Vec::new(), paths: Vec::new() }
    }

    /// Wants the value at the end of the path `parents`, `name`, and gives its slot.
    pub fn want(&mut self, parents: &[String], name: &str) -> usize {
        let mut object = 0;
        for (depth, parent) in parents.iter().enumerate() {
            let member = self.member(object, &parents[..depth], parent);
            object = match self.objects[object].members[member].1.inside {
                Some(inside) => inside,
                None => {
                    self.objects.push(WantedObject::default());
                    let inside = self.objects.len() - 1;
                    self.objects[object].members[member].1.inside = Some(inside);
                    inside
                }
            };
        }
        let member = self.member(object, parents, name);
        self.objects[object].members[member].1.slot
    }

    /// The position of a member in its object, where it is put if it is new.
    fn member(&mut self, object: usize, parents: &[String], name: &str) -> usize {
        let members = &mut self.objects[object].members;
        if let Some(position) = members.iter().position(|(known, _)| known == name) {
            return position;
        }
        members.push((name.to_owned(), Wanted { slot: self.slots.len(), inside: None }));
        self.slots.push(MISSING);
        self.paths.push(parents.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("."));
        members.len() - 1
    }

    /// Wants what a column is read from, in the object at the end of `parents`. A column with an empty path stands under
    /// its own name.
    pub fn want_column(&mut self, parents: &[&str], column: &StreamColumn) -> usize {
        let name = std::slice::from_ref(&column.field.name);
        let path = if column.path.is_empty() { name } else { &column.path };
        let whole: Vec<String> =
            parents.iter().map(|parent| (*parent).to_owned()).chain(path.iter().cloned()).collect();
        whole.split_last().map_or(0, |(name, parents)| self.want(parents, name))
    }

    /// The member's path, for messages.
    pub fn path(&self, slot: usize) -> &str {
        &self.paths[slot]
    }

    /// The text of the member in the last record that was located, and what it is. A member that is missing has none.
    #[inline]
    pub fn found<'a>(&self, slot: usize, record: &'a str) -> (Kind, &'a str) {
        let Slot { kind, start, end } = self.slots[slot];
        (kind, record.get(start as usize..end as usize).unwrap_or_default())
    }

    /// Checks a record and fills the slots. A fault comes with its place.
    #[inline]
    pub fn locate(&mut self, record: &str) -> Result<(), (Fault, usize)> {
        self.slots.fill(MISSING);
        let scanner = Scanner::new(record.as_bytes());
        let mut walk = Walk { record, scanner, slots: &mut self.slots, misplaced: None };
        walk.record(&mut self.objects).map_err(|fault| (fault, walk.scanner.at))
    }
}

/// The way through one record.
struct Walk<'a> {
    record: &'a str,
    scanner: Scanner<'a>,
    slots: &'a mut [Slot],
    /// The first member that is not as it should be. It is told only if the record is JSON to its end.
    misplaced: Option<Fault>,
}

impl Walk<'_> {
    #[inline]
    fn record(&mut self, objects: &mut [WantedObject]) -> Result<(), Fault> {
        self.scanner.skip_space();
        if self.scanner.peek() != b'{' {
            let kind = self.scanner.value(0)?;
            self.scanner.end()?;
            return Err(Fault::RecordNotAnObject(kind));
        }
        self.object(objects, 0, 0)?;
        self.scanner.end()?;
        self.misplaced.map_or(Ok(()), Err)
    }

    /// Goes behind the object here, which is `objects[index]`; `outer` are open around it.
    fn object(&mut self, objects: &mut [WantedObject], index: usize, outer: usize) -> Result<(), Fault> {
        let mut more = self.scanner.open(b'}', outer)?;
        let mut turn = 0;
        while more {
            match self.name(&mut objects[index], &mut turn)? {
                None => {
                    self.scanner.value(outer + 1)?;
                }
                Some(wanted) => self.member(objects, wanted, outer + 1)?,
            }
            more = self.scanner.goes_on(b'}')?;
        }
        Ok(())
    }

    /// Goes from a member's name to its value, and says whether it is wanted. `turn` is the place among the learned
    /// names of the one that should come.
    #[inline]
    fn name(&mut self, object: &mut WantedObject, turn: &mut usize) -> Result<Option<Wanted>, Fault> {
        if let Some(next) = object.learned.get(*turn)
            && self.scanner.take(&next.name)
        {
            *turn += 1;
            self.scanner.skip_space();
            return Ok(next.wanted);
        }
        self.unexpected_name(object, turn)
    }

    #[inline(never)]
    fn unexpected_name(&mut self, object: &mut WantedObject, turn: &mut usize) -> Result<Option<Wanted>, Fault> {
        let start = self.scanner.at;
        let escapes = self.scanner.string()? == Kind::EscapedText;
        let quoted = self.record.get(start..self.scanner.at).unwrap_or_default();
        self.scanner.colon()?;
        if let Some(place) = object.learned.iter().position(|learned| learned.is(quoted)) {
            *turn = place + 1;
            return Ok(object.learned[place].wanted);
        }
        let name = unquote(quoted, escapes);
        let wanted = object.members.iter().find(|(member, _)| *member == name).map(|(_, wanted)| *wanted);
        if object.learned.len() < MAX_LEARNED {
            let name = [quoted.as_bytes(), b":"].concat();
            object.learned.insert(*turn, Learned { name, wanted });
            *turn += 1;
        }
        Ok(wanted)
    }

    /// Goes behind the value here, which is a wanted member's, and notes it.
    #[inline]
    fn member(&mut self, objects: &mut [WantedObject], wanted: Wanted, depth: usize) -> Result<(), Fault> {
        if self.slots[wanted.slot].kind != Kind::Missing {
            self.misplaced.get_or_insert(Fault::Duplicate(wanted.slot));
        }
        let start = self.scanner.at as u32;
        let kind = match wanted.inside {
            None => self.scanner.value(depth)?,
            Some(inside) => self.parent(objects, inside, wanted.slot, depth)?,
        };
        self.slots[wanted.slot] = Slot { kind, start, end: self.scanner.at as u32 };
        Ok(())
    }

    /// Goes behind the value here, inside which something is wanted.
    fn parent(
        &mut self,
        objects: &mut [WantedObject],
        inside: usize,
        slot: usize,
        depth: usize,
    ) -> Result<Kind, Fault> {
        if self.scanner.peek() == b'{' {
            self.object(objects, inside, depth)?;
            return Ok(Kind::Object);
        }
        let kind = self.scanner.value(depth)?;
        if kind != Kind::Null {
            self.misplaced.get_or_insert(Fault::NotAnObject(slot, kind));
        }
        Ok(kind)
    }
}

impl Learned {
    fn is(&self, quoted: &str) -> bool {
        self.name.strip_suffix(b":") == Some(quoted.as_bytes())
    }
}
