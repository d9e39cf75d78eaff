//! Decimals of IEEE 754, 128 bits wide, as BSON has them: a sign, 14 bits of exponent, and the coefficient as a binary
//! integer.

/// The digits that a coefficient may have.
const DIGITS: u32 = 34;
const MAX_COEFFICIENT: u128 = 10_u128.pow(DIGITS) - 1;
/// Why a number is refused.
pub(crate) const TOO_LONG: &str = "has a number that does not fit the 34 digits of a document's decimals";
const EXPONENTS: std::ops::RangeInclusive<i32> = -6176..=6111;

/// `±coefficient · 10^exponent`; none if it has too many digits or is out of range.
pub(crate) fn encode(is_negative: bool, mut coefficient: u128, mut exponent: i32) -> Option<u128> {
    if coefficient == 0 {
        exponent = exponent.clamp(*EXPONENTS.start(), *EXPONENTS.end());
    }
    // Zeros at the end say how exact a number is, and are kept as long as there is room.
    while (coefficient > MAX_COEFFICIENT || exponent < *EXPONENTS.start()) && coefficient.is_multiple_of(10) {
        coefficient /= 10;
        exponent += 1;
    }
    while exponent > *EXPONENTS.end() && coefficient <= MAX_COEFFICIENT / 10 {
        coefficient *= 10;
        exponent -= 1;
    }
    if coefficient > MAX_COEFFICIENT || !EXPONENTS.contains(&exponent) {
        return None;
    }
    let exponent = (exponent - EXPONENTS.start()) as u128;
    Some(u128::from(is_negative) << 127 | exponent << 113 | coefficient)
}

/// A number as JSON writes it, exactly; none if it does not fit.
pub(crate) fn parse(text: &str) -> Option<u128> {
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let surplus = significant.len().saturating_sub(DIGITS as usize);
    let zeros = surplus.min(significant.len() - significant.trim_end_matches('0').len());
    let kept = &significant[..significant.len() - zeros];
    if kept.is_empty() {
        // Of zeros, the exponent means nothing but how many are shown.
        let shown = exponent.parse().unwrap_or(0_i64).clamp(-10_000, 10_000) - fraction.len().min(10_000) as i64;
        return encode(is_negative, 0, shown as i32);
    }
    let coefficient = if kept.len() <= DIGITS as usize { kept.parse().ok()? } else { return None };
    let exponent: i64 = exponent.parse().ok()?;
    let exponent = exponent.checked_sub(fraction.len() as i64)?.checked_add(zeros as i64)?;
    encode(is_negative, coefficient, i32::try_from(exponent).ok()?)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::Decimal128;

    use super::*;

    fn shown(value: Option<u128>) -> Option<String> {
        value.map(|value| Decimal128::from_bytes(value.to_le_bytes()).to_string())
    }

    /// The driver's own encoding of the same text is the witness.
    #[test]
    fn numbers_are_encoded_as_the_driver_does() {
        let most = "9".repeat(34);
        for text in ["0", "-0", "12.50", "-0.05", "1E+3", "1.5E-7", "123456789012345678901234567890", most.as_str()] {
            let wanted: Decimal128 = text.parse().unwrap();
            assert_eq!(parse(text).map(u128::to_le_bytes), Some(wanted.bytes()), "{text}");
        }
    }

    #[test]
    fn digits_are_kept_or_the_number_is_refused() {
        let most = "9".repeat(34);
        assert_eq!(parse(&format!("{most}9")), None);
        assert_eq!(parse(&format!("0.{most}9")), None);
        assert_eq!(shown(parse(&format!("{most}000"))), Some(format!("9.{}E+36", "9".repeat(33))));
        assert_eq!(shown(parse(&format!("000{most}.0"))), Some(most.clone()));
        assert_eq!(encode(true, 10_u128.pow(37), -2), encode(true, 10_u128.pow(33), 2));
        assert_eq!(encode(false, 10_u128.pow(38) - 1, -2), None);
    }

    #[test]
    fn exponents_out_of_range_are_refused() {
        assert_eq!(shown(parse("1e6144")), shown(encode(false, 10_u128.pow(33), 6111)));
        assert_eq!(parse("1e6145"), None);
        assert_eq!(shown(parse("1e-6176")), Some("1E-6176".to_owned()));
        assert_eq!(shown(parse("10e-6177")), Some("1E-6176".to_owned()));
        assert_eq!(parse("1e-6177"), None);
        assert_eq!(parse("1e99999999999999999999"), None);
        assert!(parse("0e99999999999999999999").is_some() && parse("0e-99999").is_some());
    }
}
