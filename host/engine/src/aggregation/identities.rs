//! Whom rows are of. Identifiers that stand in one row are of the same customer, and so are all that are connected by way
//! of others. An identifier is the place of its column among those that identify, then its value, so that their order
//! as bytes says which is the smallest: that one is the key of the customer's group, whatever came first.
//!
//! The table of groups holds beside them a *link* for each identifier that is not the smallest of its customer: to a
//! smaller one. Links are a union-find forest that is kept like any other state.

use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};

use crate::state::{GroupTable, Slot};
use crate::wire::Malformed;

/// What the key of a link begins with, before its identifier. Places of columns are less.
const LINK: u8 = u8::MAX;

/// The identifiers of each row, as [`identifiers`] reads them.
pub fn lists(columns: &[ArrayRef]) -> Vec<Vec<u8>> {
    let rows = columns.first().map_or(0, Array::len);
    let columns: Vec<_> = columns.iter().map(|column| column.as_string::<i32>()).collect();
    let list = |row: usize| {
        let mut list = Vec::new();
        for (place, column) in (0_u8..).zip(&columns) {
            // An empty text tells nobody apart.
            if column.is_valid(row) && !column.value(row).is_empty() {
                let value = column.value(row).as_bytes();
                list.extend((value.len() as u32 + 1).to_le_bytes());
                list.push(place);
                list.extend(value);
            }
        }
        list
    };
    (0..rows).map(list).collect()
}

/// The identifiers of a list.
fn identifiers(list: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let too_short = || Malformed("a list of identifiers ends too early".to_owned());
    let (mut found, mut rest) = (Vec::new(), list);
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(too_short)?;
        let (identifier, behind) =
            behind.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(too_short)?;
        found.push(identifier);
        rest = behind;
    }
    if found.is_empty() { Err(too_short()) } else { Ok(found) }
}

/// An identifier for people: the column and the value.
pub fn name(columns: &[String], identifier: &[u8]) -> String {
    let (place, value) = identifier.split_first().unwrap_or((&0, &[]));
    let column = columns.get(usize::from(*place)).map_or("", String::as_str);
    format!("{column}:{}", String::from_utf8_lossy(value))
}

/// Whether this is the key of a link, and of no group.
pub fn is_link(key: &[u8]) -> bool {
    key.first() == Some(&LINK)
}

/// The groups of the customers that a list of identifiers names, each once, the smallest first.
pub fn touched(table: &GroupTable, list: &[u8]) -> Result<Vec<Slot>, Malformed> {
    let named = identifiers(list)?.into_iter().map(|identifier| Path::from(table, identifier).smallest);
    let customers: BTreeSet<Vec<u8>> = named.collect();
    Ok(customers.iter().filter_map(|customer| table.find(customer)).collect())
}

/// Customers of whom more becomes known.
#[derive(Debug, Default)]
pub struct Identities {
    absorbed: Vec<Box<[u8]>>,
}

impl Identities {
    /// Makes one customer of all that a list of identifiers names. Gives the slot of the group, and the accumulators of
    /// those that it took the place of.
    pub fn place(&mut self, table: &mut GroupTable, list: &[u8]) -> Result<(Slot, Vec<Vec<u8>>), Malformed> {
        let mut known: Vec<Vec<u8>> =
            identifiers(list)?.into_iter().map(|identifier| smallest(table, identifier)).collect();
        known.sort_unstable();
        known.dedup();
        let survivor = known.remove(0);
        let mut accumulators = Vec::new();
        for absorbed in known {
            let (link, _) = table.slot_of(&[&[LINK], absorbed.as_slice()].concat());
            table.put(link, &survivor);
            let group = table.find(&absorbed).and_then(|slot| table.remove(slot));
            if let Some(group) = group {
                accumulators.push(group.accumulator);
                if group.emitted {
                    self.absorbed.push(group.key);
                }
            }
        }
        Ok((table.slot_of(&survivor).0, accumulators))
    }

    /// Keys of absorbed customers that stand in the output, since this was last asked.
    pub fn take_absorbed(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.absorbed)
    }
}

/// The smallest identifier of a customer. Links on the way to it lead there directly from now on.
fn smallest(table: &mut GroupTable, identifier: &[u8]) -> Vec<u8> {
    let Path { mut links, smallest } = Path::from(table, identifier);
    // The last one does already.
    links.pop();
    links.into_iter().for_each(|link| table.put(link, &smallest));
    smallest
}

/// The way from an identifier to the smallest one of its customer.
struct Path {
    links: Vec<Slot>,
    smallest: Vec<u8>,
}

impl Path {
    fn from(table: &GroupTable, identifier: &[u8]) -> Self {
        let (mut links, mut key) = (Vec::new(), [&[LINK], identifier].concat());
        while let Some(link) = table.find(&key)
            && let Some(smaller) = table.get(link)
        {
            links.push(link);
            key.truncate(1);
            key.extend_from_slice(&smaller.accumulator);
        }
        Self { links, smallest: key.split_off(1) }
    }
}
