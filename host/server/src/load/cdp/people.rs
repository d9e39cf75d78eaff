//! Who the customers are, and which of their identifiers an event knows.

use std::fmt::Write;

use fastrand::Rng;

use super::words::DIALLING_CODES;
use crate::load::commerce::{FIRST_NAMES, LAST_NAMES, pick, plain};
use crate::load::random::scattered;

/// Customers, of whom some come much more often than others.
const PEOPLE: f64 = 60_000.0;

/// One in so many shares a telephone with the customer before.
const ONE_SHARING_IN: u64 = 40;

/// Browsers and apps of one person, at most.
const DEVICES: u64 = 3;

/// How many numbers of a dialling code nobody has: 9 0000 and four digits.
const NUMBERS: u64 = 10_000;

/// A customer; the same number is the same person.
pub struct Person {
    seed: u64,
    number: u64,
    first: &'static str,
    last: &'static str,
}

impl Person {
    /// One of them, by chance.
    pub fn any(seed: u64, random: &mut Rng) -> Self {
        let number = (random.f64().powi(2) * PEOPLE) as u64;
        let mut traits = Rng::with_seed(scattered(seed ^ scattered(number)));
        Self { seed, number, first: pick(&FIRST_NAMES, &mut traits), last: pick(&LAST_NAMES, &mut traits) }
    }

    /// Writes what a source knows of the person this time. The site and the app always know the device, and whoever has
    /// signed in; the till asks for a document; the support is written to, or called.
    pub fn write_identifiers(&self, source: &str, random: &mut Rng, json: &mut String) {
        match source {
            "site" | "app" => {
                self.write_cookie(source, random, json);
                if random.u8(0..10) < 3 {
                    self.write_email(random, json);
                } else if random.u8(0..10) == 0 {
                    self.write_phone(random, json);
                }
            }
            "shop" => {
                self.write_document(random, json);
                if random.bool() {
                    self.write_phone(random, json);
                }
            }
            _ => {
                if random.bool() {
                    self.write_email(random, json)
                } else {
                    self.write_phone(random, json)
                }
                if random.u8(0..4) == 0 {
                    self.write_document(random, json);
                }
            }
        }
        if random.u8(0..3) == 0 {
            let _ = write!(json, r#","name":"{} {}""#, self.first, self.last);
        }
    }

    fn write_cookie(&self, source: &str, random: &mut Rng, json: &mut String) {
        let device = random.u64(0..DEVICES) * 2 + u64::from(source == "app");
        let cookie = scattered(self.seed ^ scattered(self.number ^ scattered(device)));
        let _ = write!(json, r#","cookie":"{cookie:016x}""#);
    }

    fn write_email(&self, random: &mut Rng, json: &mut String) {
        let plain = format!("{}.{}{}", plain(self.first), plain(self.last), self.number);
        let _ = match random.u8(0..8) {
            0 => write!(json, r#","email":"{}@EXAMPLE.COM""#, plain.to_uppercase()),
            1 => write!(json, r#","email":" {plain}@example.com ""#),
            2 => write!(json, r#","email":"{plain}+promo@example.com""#),
            3 => {
                let (first, rest) = plain.split_at(1);
                write!(json, r#","email":"{}{rest}@Example.com""#, first.to_uppercase())
            }
            _ => write!(json, r#","email":"{plain}@example.com""#),
        };
    }

    fn write_phone(&self, random: &mut Rng, json: &mut String) {
        let owner =
            if self.number.is_multiple_of(ONE_SHARING_IN) { self.number.saturating_sub(1) } else { self.number };
        let codes = DIALLING_CODES.len() as u64;
        // A prime that divides neither, so that nobody else has the number.
        let place = (owner * 7_919 + self.seed % 1_000) % (codes * NUMBERS);
        let (code, last) = (DIALLING_CODES[(place / NUMBERS) as usize], place % NUMBERS);
        let _ = match random.u8(0..6) {
            0 => write!(json, r#","phone":"({code}) 90000-{last:04}""#),
            1 => write!(json, r#","phone":"+55 {code} 90000 {last:04}""#),
            2 => write!(json, r#","phone":"55{code}90000{last:04}""#),
            3 => write!(json, r#","phone":"0{code} 90000-{last:04}""#),
            _ => write!(json, r#","phone":"{code}90000{last:04}""#),
        };
    }

    fn write_document(&self, random: &mut Rng, json: &mut String) {
        let cpf = cpf(self.number + 1);
        let _ = if random.bool() {
            write!(json, r#","document":"{cpf}""#)
        } else {
            let (first, second, third, check) = (&cpf[..3], &cpf[3..6], &cpf[6..9], &cpf[9..]);
            write!(json, r#","document":"{first}.{second}.{third}-{check}""#)
        };
    }
}

/// A document number with its check digits. Numbers as low as these were given to hardly anybody.
fn cpf(number: u64) -> String {
    let mut digits: Vec<u64> = format!("{number:09}").bytes().map(|digit| u64::from(digit - b'0')).collect();
    for _ in 0..2 {
        let weights = (2..=digits.len() as u64 + 1).rev();
        let sum: u64 = digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum();
        digits.push(sum * 10 % 11 % 10);
    }
    digits.into_iter().map(|digit| char::from(b'0' + digit as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_numbers_pass_their_check() {
        // One that is printed in many a manual.
        assert_eq!(cpf(529_982_247), "52998224725");
        assert_eq!(cpf(1), "00000000191");
    }
}
