//! Numbers as digits.

use std::fmt::{self, Display, LowerExp, Write};

/// Appends a number. Writing to a string cannot fail.
pub(super) fn write_display(out: &mut String, number: impl Display) {
    let _ = write!(out, "{number}");
}

/// Appends `value / 10^scale` with all its decimals. `bare` leaves out the zero before the point.
pub(super) fn write_decimal(out: &mut String, value: i128, scale: u8, bare: bool) {
    let Some(unit) = 10_u128.checked_pow(scale.into()).filter(|_| scale > 0) else {
        return write_display(out, value);
    };
    let sign = if value < 0 { "-" } else { "" };
    let magnitude = value.unsigned_abs();
    out.push_str(sign);
    if !bare || magnitude >= unit {
        write_display(out, magnitude / unit);
    }
    let _ = write!(out, ".{:0width$}", magnitude % unit, width = usize::from(scale));
}

/// Appends a DOUBLE as [`write_digits`] does. Where two numbers of the fewest digits are equally near, DuckDB takes the even one.
pub(super) fn write_double(out: &mut String, number: f64, pointed: bool) {
    let shown = Short::of(number);
    if shown.is_tie(number) {
        write_digits(out, Short::even(number, shown.digits()).text(), pointed);
    } else {
        write_digits(out, shown.text(), pointed);
    }
}

/// Appends a FLOAT as [`write_digits`] does. Where the fewest digits are in doubt, because two numbers are equally near, or the nearest one
/// or a shorter one lies exactly halfway to the next FLOAT, DuckDB prints it as the DOUBLE it is.
pub(super) fn write_float(out: &mut String, number: f32, pointed: bool) {
    let shown = Short::of(number);
    let places = shown.places();
    let doubtful = |next: f32| {
        let halfway = f64::midpoint(number.into(), next.into());
        is_multiple(halfway, places - 1) || is_multiple(halfway, places) && shown.text().parse() == Ok(halfway)
    };
    if shown.is_tie(number.into()) || doubtful(number.next_down()) || doubtful(number.next_up()) {
        write_double(out, number.into(), pointed);
    } else {
        write_digits(out, shown.text(), pointed);
    }
}

/// Appends the fewest digits that read back as the same number, given as `1.25e-7`, in DuckDB's way: `0.0001`, `1e-05`, `1000000000000000.0`,
/// `1e+16`. `pointed` puts `.0` behind whole numbers.
fn write_digits(out: &mut String, shown: &str, pointed: bool) {
    let (sign, shown) = shown.strip_prefix('-').map_or(("", shown), |rest| ("-", rest));
    out.push_str(sign);
    let Some((mantissa, exponent)) = shown.split_once('e') else {
        // NaN has no sign in DuckDB; Rust prints none either.
        out.push_str(if shown == "NaN" { "nan" } else { "inf" });
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    match usize::try_from(exponent) {
        Ok(places @ 0..16) if rest.len() <= places => {
            out.push_str(first);
            out.push_str(rest);
            out.extend(std::iter::repeat_n('0', places - rest.len()));
            out.push_str(if pointed { ".0" } else { "" });
        }
        Ok(places @ 0..16) => {
            let (whole, fraction) = rest.split_at(places);
            let _ = write!(out, "{first}{whole}.{fraction}");
        }
        Err(_) if exponent >= -4 => {
            out.push_str("0.");
            out.extend((exponent + 1..0).map(|_| '0'));
            out.push_str(first);
            out.push_str(rest);
        }
        _ => {
            let point = if rest.is_empty() { "" } else { "." };
            let side = if exponent < 0 { '-' } else { '+' };
            let _ = write!(out, "{first}{point}{rest}e{side}{:02}", exponent.unsigned_abs());
        }
    }
}

/// Appends a BIGNUM: three bytes of sign and length, then the magnitude, all bits turned when negative.
pub(super) fn write_bignum(out: &mut String, bytes: &[u8]) {
    const CHUNK: u64 = 1_000_000_000_000_000_000;
    let Some((header, data)) = bytes.split_at_checked(3) else { return };
    let negative = header[0] & 0x80 == 0;
    let turn = if negative { 0xFF } else { 0 };
    // Words of 32 bits, most significant first, are divided down to chunks of 18 digits.
    let mut words: Vec<u32> =
        data.rchunks(4).rev().map(|word| word.iter().fold(0, |value, byte| value << 8 | u32::from(byte ^ turn))).collect();
    let mut chunks = Vec::new();
    while words.iter().any(|word| *word != 0) {
        let mut rest: u64 = 0;
        for word in &mut words {
            let value = u128::from(rest) << 32 | u128::from(*word);
            *word = u32::try_from(value / u128::from(CHUNK)).unwrap_or(u32::MAX);
            rest = u64::try_from(value % u128::from(CHUNK)).unwrap_or(0);
        }
        chunks.push(rest);
        let leading = words.iter().take_while(|word| **word == 0).count();
        words.drain(..leading);
    }
    let Some(first) = chunks.pop() else { return out.push('0') };
    let _ = write!(out, "{}{first}", if negative { "-" } else { "" });
    for chunk in chunks.iter().rev() {
        let _ = write!(out, "{chunk:018}");
    }
}

/// A place on the stack for one number.
#[derive(Default)]
struct Short {
    bytes: [u8; 32],
    length: usize,
}

impl Short {
    fn of(number: impl LowerExp) -> Self {
        let mut short = Self::default();
        let _ = write!(short, "{number:e}");
        short
    }

    /// `digits` digits, of two equally near numbers the even one.
    fn even(number: f64, digits: usize) -> Self {
        let mut short = Self::default();
        let _ = write!(short, "{number:.places$e}", places = digits.saturating_sub(1));
        short
    }

    /// The number of digits before the exponent.
    fn digits(&self) -> usize {
        self.text().bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count()
    }

    /// The decimal places that these digits fill; below zero where they end before the point.
    fn places(&self) -> i32 {
        let exponent: i32 = self.text().split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
        i32::try_from(self.digits()).unwrap_or(0) - 1 - exponent
    }

    /// Whether the number lies exactly between the one of these digits and its neighbour.
    fn is_tie(&self, number: f64) -> bool {
        let places = self.places();
        is_multiple(number * 2.0, places) && !is_multiple(number, places)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// Whether the number has, exactly, no digit behind so many decimal places.
fn is_multiple(number: f64, places: i32) -> bool {
    // A double is a whole number of halves of halves: it is one of tenths of tenths as soon as it has no more places in binary.
    if places >= 0 { (number * 2_f64.powi(places)).fract() == 0.0 } else { number % 10_f64.powi(-places) == 0.0 }
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}
