//! Formats numbers as digits.

use std::fmt::{self, LowerExp, Write};

/// Appends a number. Those of up to 64 bits, which are almost all, are divided as such.
pub(super) fn write_integer(out: &mut String, number: i128) {
    match i64::try_from(number) {
        Ok(number) => out.push_str(itoa::Buffer::new().format(number)),
        Err(_) => out.push_str(itoa::Buffer::new().format(number)),
    }
}

/// Works like [`write_integer`], for numbers that are not negative.
pub(super) fn write_unsigned(out: &mut String, number: u128) {
    match u64::try_from(number) {
        Ok(number) => out.push_str(itoa::Buffer::new().format(number)),
        Err(_) => out.push_str(itoa::Buffer::new().format(number)),
    }
}

/// Appends a number with at least this many digits.
pub(super) fn write_padded(out: &mut String, number: u128, digits: usize) {
    let start = out.len();
    write_unsigned(out, number);
    for _ in out.len() - start..digits {
        out.insert(start, '0');
    }
}

/// Appends `value / 10^scale` with all its decimals. `bare` omits the zero before the point.
pub(super) fn write_decimal(out: &mut String, value: i128, scale: u8, bare: bool) {
    let Some(unit) = 10_u128.checked_pow(scale.into()).filter(|_| scale > 0) else {
        return write_integer(out, value);
    };
    if value < 0 {
        out.push('-');
    }
    let magnitude = value.unsigned_abs();
    let (whole, decimals) = match (u64::try_from(magnitude), u64::try_from(unit)) {
        (Ok(magnitude), Ok(unit)) => ((magnitude / unit).into(), (magnitude % unit).into()),
        _ => (magnitude / unit, magnitude % unit),
    };
    if !bare || whole > 0 {
        write_unsigned(out, whole);
    }
    out.push('.');
    write_padded(out, decimals, scale.into());
}

/// Appends a DOUBLE as [`write_digits`] does. If two shortest representations are equally near,
/// DuckDB uses the even one.
pub(super) fn write_double(out: &mut String, number: f64, pointed: bool) {
    let shown = StackString::of(number);
    if shown.is_tie(number) {
        write_digits(out, StackString::even(number, shown.digits()).text(), pointed);
    } else {
        write_digits(out, shown.text(), pointed);
    }
}

/// Appends a FLOAT as [`write_digits`] does. If the shortest representation is ambiguous, because
/// two are equally near, or because the nearest one or a shorter one is exactly halfway to the next
/// FLOAT, DuckDB prints the number as a DOUBLE.
pub(super) fn write_float(out: &mut String, number: f32, pointed: bool) {
    let shown = StackString::of(number);
    let places = shown.places();
    let doubtful = |next: f32| {
        let halfway = f64::midpoint(number.into(), next.into());
        is_multiple(halfway, places - 1)
            || is_multiple(halfway, places) && shown.text().parse() == Ok(halfway)
    };
    if shown.is_tie(number.into()) || doubtful(number.next_down()) || doubtful(number.next_up()) {
        write_double(out, number.into(), pointed);
    } else {
        write_digits(out, shown.text(), pointed);
    }
}

/// Appends the shortest representation that parses to the same number, given as `1.25e-7`, in
/// DuckDB's format: `0.0001`, `1e-05`, `1000000000000000.0`, `1e+16`. `pointed` appends `.0` to
/// integers.
fn write_digits(out: &mut String, shown: &str, pointed: bool) {
    let (sign, shown) = shown.strip_prefix('-').map_or(("", shown), |rest| ("-", rest));
    out.push_str(sign);
    let Some((mantissa, exponent)) = shown.split_once('e') else {
        // DuckDB and Rust both print NaN without a sign.
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

/// Appends a BIGNUM: three bytes of sign and length, then the magnitude, with all bits inverted if
/// negative.
pub(super) fn write_bignum(out: &mut String, bytes: &[u8]) {
    const CHUNK: u64 = 1_000_000_000_000_000_000;
    let Some((header, data)) = bytes.split_at_checked(3) else { return };
    let negative = header[0] & 0x80 == 0;
    let turn = if negative { 0xFF } else { 0 };
    // Divides words of 32 bits, most significant first, into chunks of 18 digits.
    let mut words: Vec<u32> = data
        .rchunks(4)
        .rev()
        .map(|word| word.iter().fold(0, |value, byte| value << 8 | u32::from(byte ^ turn)))
        .collect();
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

/// A buffer on the stack for one number.
#[derive(Default)]
struct StackString {
    bytes: [u8; 32],
    length: usize,
}

impl StackString {
    fn of(number: impl LowerExp) -> Self {
        let mut short = Self::default();
        let _ = write!(short, "{number:e}");
        short
    }

    /// Formats `digits` digits; of two equally near numbers it uses the even one.
    fn even(number: f64, digits: usize) -> Self {
        let mut short = Self::default();
        let _ = write!(short, "{number:.places$e}", places = digits.saturating_sub(1));
        short
    }

    /// Returns the number of digits before the exponent.
    fn digits(&self) -> usize {
        self.text().bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count()
    }

    /// Returns the number of decimals that these digits have; negative if they end before the
    /// point.
    fn places(&self) -> i32 {
        let exponent: i32 = self
            .text()
            .split_once('e')
            .and_then(|(_, exponent)| exponent.parse().ok())
            .unwrap_or(0);
        i32::try_from(self.digits()).unwrap_or(0) - 1 - exponent
    }

    /// Returns whether the number is exactly between the one of these digits and its neighbor.
    fn is_tie(&self, number: f64) -> bool {
        let places = self.places();
        is_multiple(number * 2.0, places) && !is_multiple(number, places)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// Returns whether the number has exactly no digits after this number of decimals.
fn is_multiple(number: f64, places: i32) -> bool {
    // A double with k binary places is an integer multiple of 2^-k. It is one of 10^-p if k <= p.
    if places >= 0 {
        (number * 2_f64.powi(places)).fract() == 0.0
    } else {
        number % 10_f64.powi(-places) == 0.0
    }
}

impl Write for StackString {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}
