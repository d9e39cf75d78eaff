//! Numbers, exactly. What comes in here has been found to be a JSON number.

use crate::decimal::MAX_DECIMAL;

/// The value of a number without point and exponent. None if it does not fit.
#[inline]
pub(super) fn integer(text: &str) -> Option<i64> {
    let (negative, mut digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() > 18 {
        return text.parse().ok();
    }
    let mut value = 0;
    while let Some((eight, rest)) = digits.split_first_chunk() {
        value = value * 100_000_000 + eight_digits(*eight);
        digits = rest;
    }
    for digit in digits {
        value = value * 10 + i64::from(digit & 15);
    }
    Some(if negative { -value } else { value })
}

/// Adds neighbours up: digits to pairs, pairs to fours, fours to eight.
#[inline]
fn eight_digits(digits: [u8; 8]) -> i64 {
    let ones = u64::from_le_bytes(digits) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    ((fours * 10_000 + (fours >> 32)) & 0xffff_ffff) as i64
}

/// The value of a number times 10^`scale`. None if that is not whole, or has more than 38 digits.
pub(crate) fn scaled(text: &str, scale: u8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, saturating(exponent)),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut coefficient: i128 = 0;
    let mut zeros = 0; // that follow the coefficient
    for digit in whole.bytes().chain(fraction.bytes()).filter(u8::is_ascii_digit) {
        zeros += 1;
        if digit != b'0' {
            coefficient = shifted(coefficient, zeros)? + i128::from(digit & 15);
            zeros = 0;
        }
    }
    let power = exponent.saturating_add(zeros).saturating_sub(fraction.len() as i64);
    let value = shifted(coefficient, power.saturating_add(i64::from(scale)))?;
    Some(if text.starts_with('-') { -value } else { value })
}

/// `value`, which is not negative, times 10^`places`, if it is a decimal.
fn shifted(value: i128, places: i64) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    let factor = 10_i128.checked_pow(u32::try_from(places).ok()?)?;
    value.checked_mul(factor).filter(|value| *value <= MAX_DECIMAL)
}

/// An exponent, or the nearest that there is room for.
fn saturating(exponent: &str) -> i64 {
    let limit = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
    exponent.parse().unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_length_are_read() {
        for digits in 1..=18 {
            let text: String = (0..digits).map(|digit| char::from(b'1' + (digit * 7 % 9) as u8)).collect();
            assert_eq!(integer(&text), text.parse().ok());
            assert_eq!(integer(&format!("-{text}")), format!("-{text}").parse().ok());
        }
        assert_eq!(integer("9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer("9223372036854775808"), None);
        assert_eq!(integer("-0"), Some(0));
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        for (text, scale, expected) in [
            ("0", 0, Some(0)),
            ("-0.000e99999999999999999999", 2, Some(0)),
            ("12.30", 2, Some(1230)),
            ("-12.3", 2, Some(-1230)),
            ("12.345", 2, None),
            ("12.3400000000000000000000000000000000000000000000000", 2, Some(1234)),
            ("1e3", 0, Some(1000)),
            ("1.5e1", 0, Some(15)),
            ("1.5e0", 0, None),
            ("120e-1", 0, Some(12)),
            ("0.001", 3, Some(1)),
            ("99999999999999999999999999999999999999", 0, Some(MAX_DECIMAL)),
            ("100000000000000000000000000000000000000", 0, None),
            ("170141183460469231731687303715884105727", 0, None),
            ("1e37", 1, None),
            ("1e37", 0, Some(10_i128.pow(37))),
            ("1e99999999999999999999", 0, None),
            ("1e-99999999999999999999", 38, None),
            ("100000000000000000000000000000000000000000e-40", 0, Some(10)),
        ] {
            assert_eq!(scaled(text, scale), expected, "{text} at scale {scale}");
        }
    }
}
