//! Durations and sizes as people write them: `30s`, `1h30m`, `8GiB`, `auto`.

use std::fmt;

use bireme_core::Span;

/// A value, or the request to find a good one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OrAuto<T> {
    /// To be found from the machine.
    Auto,
    /// Given.
    Given(T),
}

/// The text is no number with a unit.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UnitError {
    /// Not a number where one must be.
    #[error("`{0}` does not begin with a number: write one such as {1}")]
    Number(String, &'static str),
    /// A number without a unit.
    #[error("`{0}` has no unit: write one such as {1}")]
    Missing(String, &'static str),
    /// A unit that is none.
    #[error("unknown unit `{0}`: use one of {1}")]
    Unknown(String, String),
    /// Beyond what can be counted.
    #[error("`{0}` is too large")]
    TooLarge(String),
    /// A fraction too fine to be counted.
    #[error("`{0}` has more than 6 digits after the point")]
    TooFine(String),
}

/// A unit's name and how many of the smallest it is.
type Units = &'static [(&'static str, u64)];

const SPANS: Units = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];
const SPAN_EXAMPLE: &str = "30s, 5m or 1h30m";

const SIZES: Units = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];
const SIZE_EXAMPLE: &str = "512MiB or 8GiB";

/// Reads a length of time; `0` needs no unit.
pub fn span(text: &str) -> Result<Span, UnitError> {
    let whole = text.trim();
    let (mut rest, mut total) = (whole, 0_u64);
    loop {
        let (us, after) = quantity(whole, rest, SPANS, SPAN_EXAMPLE)?;
        total = total.checked_add(us).ok_or_else(|| UnitError::TooLarge(whole.to_owned()))?;
        if after.is_empty() {
            return Ok(Span(total));
        }
        rest = after;
    }
}

/// Reads a size, in bytes; `0` needs no unit.
pub fn bytes(text: &str) -> Result<u64, UnitError> {
    let whole = text.trim();
    match quantity(whole, whole, SIZES, SIZE_EXAMPLE)? {
        (bytes, "") => Ok(bytes),
        (_, rest) => Err(unknown(rest, SIZES)),
    }
}

/// Lets a parser take `auto` too, as in `#[arg(value_parser = or_auto(bytes))]`.
pub fn or_auto<T, E>(
    parse: impl Fn(&str) -> Result<T, E> + Clone,
) -> impl Fn(&str) -> Result<OrAuto<T>, E> + Clone {
    move |text| match text {
        "auto" => Ok(OrAuto::Auto),
        other => parse(other).map(OrAuto::Given),
    }
}

/// Reads the number and unit that `rest` of `whole` begins with; returns what follows.
fn quantity<'a>(
    whole: &str,
    rest: &'a str,
    units: Units,
    example: &'static str,
) -> Result<(u64, &'a str), UnitError> {
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, rest) = rest.split_at(end);
    let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(UnitError::Number(whole.to_owned(), example));
    }
    let scale = match units.iter().find(|(name, _)| *name == unit) {
        Some((_, scale)) => *scale,
        None if whole == "0" => 1,
        None if unit.is_empty() => return Err(UnitError::Missing(whole.to_owned(), example)),
        None => return Err(unknown(unit, units)),
    };
    Ok((scaled(whole, number, scale, example)?, rest))
}

/// A decimal number times `scale`, cut off below one.
fn scaled(whole: &str, number: &str, scale: u64, example: &'static str) -> Result<u64, UnitError> {
    let too_large = || UnitError::TooLarge(whole.to_owned());
    let not_a_number = || UnitError::Number(whole.to_owned(), example);
    let (integer, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.contains('.') {
        return Err(not_a_number());
    }
    if fraction.len() > 6 {
        return Err(UnitError::TooFine(whole.to_owned()));
    }
    let millionths: u128 = format!("{fraction:0<6}").parse().map_err(|_| not_a_number())?;
    let integer: u64 = integer.parse().map_err(|_| too_large())?;
    let total =
        u128::from(integer) * u128::from(scale) + millionths * u128::from(scale) / 1_000_000;
    u64::try_from(total).map_err(|_| too_large())
}

fn unknown(unit: &str, units: Units) -> UnitError {
    let names: Vec<_> = units.iter().map(|(name, _)| *name).collect();
    UnitError::Unknown(unit.to_owned(), names.join(", "))
}

impl<T: fmt::Display> fmt::Display for OrAuto<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Given(value) => value.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_add_up() {
        for (text, us) in [
            ("30s", 30_000_000),
            ("5m", 300_000_000),
            ("1h30m", 5_400_000_000),
            ("1.5s", 1_500_000),
            ("250ms", 250_000),
            ("7us", 7),
            ("2d", 172_800_000_000),
            ("0", 0),
        ] {
            assert_eq!(span(text), Ok(Span(us)), "{text}");
        }
    }

    #[test]
    fn sizes_are_binary_or_decimal_as_spelled() {
        for (text, size) in [
            ("8GiB", 8 << 30),
            ("8GB", 8_000_000_000),
            ("1.5KiB", 1_536),
            ("12B", 12),
            ("0", 0),
            (" 1TiB ", 1 << 40),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
    }

    #[test]
    fn auto_stands_beside_a_value() {
        let parse = or_auto(bytes);
        assert_eq!(parse("auto"), Ok(OrAuto::Auto));
        assert_eq!(parse("1KiB"), Ok(OrAuto::Given(1_024)));
        assert!(parse("automatic").is_err());
    }

    #[test]
    fn errors_name_value_and_remedy() {
        let message = |result: Result<u64, UnitError>| result.unwrap_err().to_string();
        let spans = |text| message(span(text).map(|span| span.0));
        assert_eq!(spans("30"), "`30` has no unit: write one such as 30s, 5m or 1h30m");
        assert_eq!(spans("1h30"), "`1h30` has no unit: write one such as 30s, 5m or 1h30m");
        assert_eq!(spans("1h0"), "`1h0` has no unit: write one such as 30s, 5m or 1h30m");
        assert_eq!(
            spans(""),
            "`` does not begin with a number: write one such as 30s, 5m or 1h30m"
        );
        assert_eq!(
            spans("-5s"),
            "`-5s` does not begin with a number: write one such as 30s, 5m or 1h30m"
        );
        assert_eq!(spans("3 weeks"), "`3 weeks` has no unit: write one such as 30s, 5m or 1h30m");
        assert_eq!(
            message(bytes("8G")),
            "unknown unit `G`: use one of B, KiB, MiB, GiB, TiB, kB, MB, GB, TB"
        );
        assert_eq!(
            message(bytes("1.2.3GiB")),
            "`1.2.3GiB` does not begin with a number: write one such as 512MiB or 8GiB"
        );
        assert_eq!(message(bytes("99999999TiB")), "`99999999TiB` is too large");
        assert_eq!(
            message(bytes("1.0000001GiB")),
            "`1.0000001GiB` has more than 6 digits after the point"
        );
        assert_eq!(spans("9999999999999999999d"), "`9999999999999999999d` is too large");
    }
}
