//! A shop that does not exist: its customers, products, orders, and what customers do before they order. Names are
//! combined from lists, addresses of e-mail are of `example.com`, and no document number passes its own check, so that
//! nobody real is among them.

mod interactions;
mod orders;
mod words;

use arrow_array::BinaryArray;
use arrow_array::builder::BinaryBuilder;
use fastrand::Rng;
use serde_json::{Value, json};

use super::BATCH;
use super::random::scattered;
pub use interactions::Interactions;
pub use orders::Orders;
use words::{COLOURS, KINDS, QUALITIES, STREETS};
pub(super) use words::{FIRST_NAMES, LAST_NAMES, PLACES};

/// Customers, of whom some come much more often than others.
const CUSTOMERS: f64 = 20_000.0;

/// Products, of which some are liked much more than others.
const PRODUCTS: f64 = 600.0;

/// What both streams of the shop have: when records happen, and how many are broken.
#[derive(Debug)]
struct Stream {
    seed: u64,
    /// Epoch microseconds of the first record.
    from: i64,
    /// Microseconds from one record to the next.
    step: f64,
    /// The part of the records that is broken.
    broken: f64,
}

impl Stream {
    /// When a record happens, in epoch microseconds; those with numbers below zero happened before the first.
    fn time(&self, number: i64) -> i64 {
        self.from + (number as f64 * self.step) as i64
    }

    fn is_broken(&self, random: &mut Rng) -> bool {
        random.f64() < self.broken
    }

    /// The records of a batch, each made of its number and of what chance gives it.
    fn batch(&self, batch: u64, write: impl Fn(i64, &mut Rng) -> String) -> BinaryArray {
        let mut random = Rng::with_seed(scattered(self.seed ^ scattered(batch)));
        let mut records = BinaryBuilder::new();
        for number in batch * BATCH..(batch + 1) * BATCH {
            records.append_value(write(number as i64, &mut random));
        }
        records.finish()
    }
}

/// A record that ends in the middle, as if a connection had broken.
fn truncated(record: &Value) -> String {
    let text = record.to_string();
    let middle = text.len() / 2;
    let cut = (middle..text.len()).find(|index| text.is_char_boundary(*index)).unwrap_or(middle);
    text[..cut].to_owned()
}

/// One of a list.
pub(super) fn pick<'a, T: ?Sized>(list: &[&'a T], random: &mut Rng) -> &'a T {
    list[random.usize(0..list.len())]
}

/// The number of a customer, by chance.
fn any_customer(random: &mut Rng) -> u64 {
    (random.f64().powi(2) * CUSTOMERS) as u64
}

/// The number of a product, by chance.
fn any_product(random: &mut Rng) -> u64 {
    (random.f64().powi(3) * PRODUCTS) as u64
}

fn customer_id(number: u64) -> String {
    format!("c{number:05}")
}

/// A customer as the platform writes one; the same number is the same person.
fn customer(seed: u64, number: u64) -> Value {
    let mut traits = Rng::with_seed(scattered(seed ^ scattered(number)));
    let (first, last) = (pick(&FIRST_NAMES, &mut traits), pick(&LAST_NAMES, &mut traits));
    let mail = format!("{}.{}{number}@example.com", plain(first), plain(last));
    json!({
        "id": customer_id(number),
        "email": mail,
        "firstName": first,
        "lastName": last,
        "documentType": "cpf",
        "document": nobodys_cpf(traits.u64(0..1_000_000_000)),
        "phone": format!("+55{}90000{:04}", traits.u8(11..=99), traits.u16(0..10_000)),
    })
}

/// Where a customer lives, in the home with this number.
fn address(seed: u64, customer: u64, home: i64) -> Value {
    let mut traits = Rng::with_seed(scattered(seed ^ scattered(customer) ^ 1 ^ (home as u64) << 32));
    let (city, state, code) = PLACES[traits.usize(0..PLACES.len())];
    json!({
        "addressType": "residential",
        "country": "BRA",
        "state": state,
        "city": city,
        "postalCode": format!("{code:02}{:03}-{:03}", traits.u16(0..1_000), traits.u16(0..1_000)),
        "street": format!("{} {}", pick(&STREETS, &mut traits), pick(&LAST_NAMES, &mut traits)),
        "number": traits.u16(1..3_000).to_string(),
    })
}

/// A product; the same number is the same thing at the same price, in cents.
pub(super) struct Product {
    pub id: String,
    sku: String,
    pub name: String,
    pub category: &'static str,
    pub price: i64,
}

pub(super) fn product(number: u64) -> Product {
    let mut traits = Rng::with_seed(scattered(number));
    let (category, kind, base) = KINDS[traits.usize(0..KINDS.len())];
    let name = format!("{kind} {} {}", pick(&QUALITIES, &mut traits), pick(&COLOURS, &mut traits));
    let price = base * traits.i64(60..200) / 10_000 * 100 + 90;
    Product { id: (1_000 + number).to_string(), sku: (50_000 + number).to_string(), name, category, price }
}

/// A name in the letters of an address of e-mail.
pub(super) fn plain(name: &str) -> String {
    let letter = |letter: char| match letter {
        'á' | 'à' | 'ã' | 'â' => 'a',
        'é' | 'ê' => 'e',
        'í' => 'i',
        'ó' | 'õ' | 'ô' => 'o',
        'ú' => 'u',
        'ç' => 'c',
        other => other,
    };
    name.to_lowercase().chars().map(letter).filter(char::is_ascii_alphabetic).collect()
}

/// Eleven digits, of which the last two are no check digits of the others.
fn nobodys_cpf(number: u64) -> String {
    let digits: Vec<u64> = format!("{number:09}").bytes().map(|digit| u64::from(digit - b'0')).collect();
    let sum: u64 = digits.iter().zip((2..=10).rev()).map(|(digit, weight)| digit * weight).sum();
    let right = match sum % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    };
    format!("{number:09}{}0", (right + 1) % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_always_the_same_customer_and_nobody_real() {
        assert_eq!(customer(1, 7), customer(1, 7));
        assert_ne!(customer(1, 7), customer(2, 7));
        let customer = customer(1, 7);
        assert!(customer["email"].as_str().is_some_and(|mail| mail.ends_with("7@example.com") && mail.is_ascii()));
    }

    #[test]
    fn no_document_number_passes_its_check() {
        // 529982247-25 is one that would.
        assert_eq!(nobodys_cpf(529_982_247), "52998224730");
        for number in 0..10_000 {
            let digits: Vec<u32> =
                nobodys_cpf(number * 99_991).chars().filter_map(|digit| digit.to_digit(10)).collect();
            assert_eq!(digits.len(), 11);
            let sum: u32 = digits[..9].iter().zip((2..=10).rev()).map(|(digit, weight)| digit * weight).sum();
            assert_ne!((sum * 10) % 11 % 10, digits[9]);
        }
    }
}
