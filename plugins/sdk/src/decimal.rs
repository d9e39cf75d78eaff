//! Fixed-point numbers, exact: money is never a float.

use std::fmt;
use std::str::FromStr;

use crate::types::Malformed;

/// A fixed-point number: the integer, of at most 38 digits, divided by 10 to the power of `SCALE`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal<const SCALE: u8>(pub i128);

/// Writes `units` as a decimal number with `scale` digits after the point: `-1234` with 2 is `-12.34`.
pub fn write_decimal(units: i128, scale: u8) -> String {
    DecimalText::new(units, scale).as_str().to_owned()
}

/// A decimal number as text that needs no memory of its own: documents are full of them.
pub(crate) struct DecimalText {
    /// Room for the sign, the point, and a digit more than the largest scale has.
    bytes: [u8; 258],
    start: usize,
}

impl DecimalText {
    pub fn new(units: i128, scale: u8) -> Self {
        let mut text = Self { bytes: [0; 258], start: 258 };
        let mut rest = units.unsigned_abs();
        let mut digits = 0;
        while rest > 0 || digits <= u32::from(scale) {
            if digits > 0 && digits == u32::from(scale) {
                text.push_front(b'.');
            }
            text.push_front(b'0' + last_digit(&mut rest));
            digits += 1;
        }
        if units < 0 {
            text.push_front(b'-');
        }
        text
    }

    pub fn as_str(&self) -> &str {
        // Nothing but ASCII was put there.
        str::from_utf8(&self.bytes[self.start..]).unwrap_or_default()
    }

    fn push_front(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }
}

/// Takes the last decimal digit off a number. Division of 128 bits is slow, and few amounts need it.
fn last_digit(number: &mut u128) -> u8 {
    match u64::try_from(*number) {
        Ok(small) => {
            *number = u128::from(small / 10);
            (small % 10) as u8
        }
        Err(_) => {
            let digit = (*number % 10) as u8;
            *number /= 10;
            digit
        }
    }
}

/// Reads a decimal number as units of 10 to the power of minus `scale`; none if it is no number or does not
/// fit 38 digits or the scale.
pub fn read_decimal(text: &str, scale: u8) -> Option<i128> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() || fraction.len() > usize::from(scale) || unsigned.ends_with('.') {
        return None;
    }
    let padded = format!("{whole}{fraction:0<width$}", width = usize::from(scale));
    let significant = padded.trim_start_matches('0');
    if significant.len() > 38 || !padded.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let units: i128 = if significant.is_empty() { 0 } else { significant.parse().ok()? };
    Some(if negative { -units } else { units })
}

impl<const SCALE: u8> Decimal<SCALE> {
    /// The sum; none if it has more than 38 digits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).filter(|sum| sum.unsigned_abs() < 10_u128.pow(38)).map(Self)
    }
}

impl<const SCALE: u8> fmt::Display for Decimal<SCALE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DecimalText::new(self.0, SCALE).as_str())
    }
}

impl<const SCALE: u8> FromStr for Decimal<SCALE> {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        read_decimal(text, SCALE)
            .map(Self)
            .ok_or_else(|| Malformed { found: text.to_owned(), expected: "a decimal number that fits the column" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_and_read_back() {
        for (units, written) in [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (-1234, "-12.34"), (100, "1.00")] {
            assert_eq!(Decimal::<2>(units).to_string(), written);
            assert_eq!(written.parse(), Ok(Decimal::<2>(units)));
        }
        assert_eq!("1.500".parse(), Ok(Decimal::<2>(150)));
        assert_eq!(write_decimal(i128::MIN, 0), i128::MIN.to_string());
        assert_eq!(write_decimal(7, 38), format!("0.{:0>38}", 7));
        assert_eq!(write_decimal(-7, u8::MAX).len(), "-0.".len() + 255);
    }

    #[test]
    fn a_sum_of_decimals_is_exact_or_none() {
        let most = Decimal::<2>(10_i128.pow(38) - 1);
        assert_eq!(Decimal::<2>(-125).checked_add(Decimal(130)), Some(Decimal(5)));
        assert_eq!(most.checked_add(Decimal(1)), None);
        assert_eq!(most.checked_add(most), None);
        assert_eq!(Decimal::<2>(-most.0).checked_add(most), Some(Decimal(0)));
    }

    #[test]
    fn decimals_that_do_not_fit_are_refused() {
        let long = "1".repeat(37);
        for wrong in ["1.234", "", "-", ".5", "1.", "1e3", "--1", "+1", &long] {
            assert!(wrong.parse::<Decimal<2>>().is_err(), "{wrong}");
        }
    }
}
