//! Fixed-point numbers as records have them in bytes.

/// The largest decimal: 38 digits.
pub(crate) const MAX_DECIMAL: i128 = 10_i128.pow(38) - 1;

/// A whole number in two's complement, the highest byte first; no bytes are zero. None if 128 bits do not hold it.
pub(crate) fn unscaled(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let sign = if negative { 0xff } else { 0 };
    let (padding, low) = bytes.split_at(bytes.len().saturating_sub(16));
    let mut whole = [sign; 16];
    whole[16 - low.len()..].copy_from_slice(low);
    let value = i128::from_be_bytes(whole);
    (padding.iter().all(|byte| *byte == sign) && (value < 0) == negative).then_some(value)
}

/// A decimal that was written with `from` digits after the point as one with `to` digits. None if it has more of them,
/// or more than 38 digits.
pub(crate) fn rescaled(value: i128, from: i64, to: u8) -> Option<i128> {
    let shift = i64::from(to).checked_sub(from)?;
    let value = match 10_i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?) {
        Some(factor) if shift >= 0 => value.checked_mul(factor)?,
        Some(divisor) if value % divisor == 0 => value / divisor,
        None if value == 0 => 0,
        _ => return None,
    };
    (-MAX_DECIMAL..=MAX_DECIMAL).contains(&value).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_are_read_from_bytes() {
        assert_eq!(unscaled(&[]), Some(0));
        for value in [0, 1, -1, 127, -128, 128, 10_050, -10_050, i128::MAX, i128::MIN] {
            let bytes = value.to_be_bytes();
            assert_eq!(unscaled(&bytes), Some(value));
            let sign = if value < 0 { 0xff } else { 0 };
            assert_eq!(unscaled(&[&[sign; 9][..], &bytes].concat()), Some(value), "with padding");
        }
        assert_eq!(unscaled(&[0x27, 0x42]), Some(10_050));
        assert_eq!(unscaled(&[1; 17]), None);
        assert_eq!(unscaled(&[&[0][..], &[0x80; 16]].concat()), None, "128 bits without room for the sign");
    }

    #[test]
    fn a_decimal_is_rescaled_exactly_or_not_at_all() {
        for (value, from, to, expected) in [
            (10_050, 2, 2, Some(10_050)),
            (10_050, 2, 4, Some(1_005_000)),
            (10_050, 2, 1, Some(1_005)),
            (10_050, 2, 0, None),
            (5, -3, 0, Some(5000)),
            (0, 99_999, 2, Some(0)),
            (1, 99_999, 2, None),
            (1, i64::MIN, 2, None),
            (MAX_DECIMAL, 0, 0, Some(MAX_DECIMAL)),
            (MAX_DECIMAL, 0, 1, None),
            (-MAX_DECIMAL - 1, 0, 0, None),
        ] {
            assert_eq!(rescaled(value, from, to), expected, "{value} from {from} to {to}");
        }
    }
}
