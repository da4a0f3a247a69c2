//! Formatting and parsing of figures for people: durations, sizes and counts, and suggestions for
//! mistyped names.

use std::time::Duration;

/// Formats a duration in at most two units: `420 ms`, `1.25 s`, `12 s`, `3 min 12 s`, `2 h 5 min`,
/// `4 d 3 h`.
#[must_use]
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        _ => format!("{big} {big_unit} {small} {small_unit}"),
    };
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..10 if span.subsec_millis() == 0 => format!("{seconds} s"),
        1..10 => format!("{:.2} s", span.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// Formats the time since an event: `just now`, `12 s ago`, `3 min 12 s ago`.
#[must_use]
pub fn ago(span: Duration) -> String {
    match span.as_secs() {
        0 => "just now".to_owned(),
        seconds => format!("{} ago", duration(Duration::from_secs(seconds))),
    }
}

/// Formats a size in decimal units, as DuckDB's own settings use: `512 B`, `1.8 MB`, `2.4 GB`.
#[must_use]
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if size < 1_000 {
        return format!("{size} B");
    }
    let mut value = size as f64 / 1_000.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 999.95 {
            break;
        }
        value /= 1_000.0;
        unit = next;
    }
    if value < 9.995 { format!("{value:.2} {unit}") } else { format!("{value:.1} {unit}") }
}

/// Formats a number with its thousands separated as in the locale.
#[must_use]
pub fn count(number: u64) -> String {
    crate::locale::current().number(thousands_separated(&number.to_string()))
}

/// Inserts a comma before every third digit from the right.
#[must_use]
pub fn thousands_separated(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Formats a number of rows: `1 row`, `1,500,000 rows`.
#[must_use]
pub fn rows(number: u64) -> String {
    format!("{} row{}", count(number), if number == 1 { "" } else { "s" })
}

/// Formats a share from 0 to 1, to a hundredth of a percent: `50 %`, `2.5 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Formats a count with its noun: `1 table`, `6 tables`.
#[must_use]
pub fn plural(number: usize, one: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {one}{ending}", count(number as u64))
}

/// Returns whether a character would move a terminal's cursor, change its colors or reverse the
/// direction of its text.
#[must_use]
pub fn is_unprintable(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Makes text safe for one line of a terminal: line breaks become a visible mark, and control
/// characters become the replacement character.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|char| if char == '\n' { '␤' } else { printable_char(char) }).collect()
}

/// Makes multi-line text safe for a terminal: works like [`printable`], but keeps line breaks.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    text.chars().map(|char| if char == '\n' { char } else { printable_char(char) }).collect()
}

fn printable_char(char: char) -> char {
    match char {
        '\t' => ' ',
        char if is_unprintable(char) => '\u{fffd}',
        char => char,
    }
}

/// Parses `90s`, `5m`, `2h`, `1d`, `1h 30m`, `5 minutes`.
///
/// # Errors
/// Returns the message to show: the given text and the accepted forms.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    // A day is always 24 hours: ages and timeouts are durations, not calendar dates.
    let span: jiff::Span = trimmed.parse().map_err(|_| not_a_duration(text))?;
    let length = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|_| not_a_duration(text))?;
    Duration::try_from(length).map_err(|_| not_a_duration(text))
}

fn not_a_duration(text: &str) -> String {
    format!("{text:?} is not a length of time; write for example 90s, 5m, 2h, 1h30m or 10d")
}

/// Returns the candidate that `name` is most likely a misspelling of, if one is close.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (strsim::normalized_damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate)
        })
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// Returns the message for an unknown name: the nearest known one, or all of them.
#[must_use]
pub fn unknown_name_message<'a>(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    let help = match nearest(name, known.clone()) {
        Some(nearest) => format!("did you mean {nearest:?}?"),
        None => match known.into_iter().collect::<Vec<_>>() {
            known if known.is_empty() => "there is none".to_owned(),
            known => format!("known here: {}", known.join(", ")),
        },
    };
    format!("unknown {what} {name:?}; {help}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let shown: Vec<_> =
            [3, 420, 1_000, 1_250, 12_000, 192_000, 3_600_000, 7_500_000, 90_000_000]
                .map(|ms| duration(Duration::from_millis(ms)))
                .to_vec();
        assert_eq!(
            shown,
            [
                "3 ms",
                "420 ms",
                "1 s",
                "1.25 s",
                "12 s",
                "3 min 12 s",
                "1 h",
                "2 h 5 min",
                "1 d 1 h"
            ]
        );
    }

    #[test]
    fn sizes_and_counts_read_as_people_say_them() {
        let shown = [512, 3_420_160, 999_999, 12_300_000_000].map(bytes);
        assert_eq!(shown, ["512 B", "3.42 MB", "1.00 MB", "12.3 GB"]);
        assert_eq!([0, 999, 1_000, 1_500_000].map(count), ["0", "999", "1,000", "1,500,000"]);
        assert_eq!([0, 1, 2_000].map(rows), ["0 rows", "1 row", "2,000 rows"]);
        assert_eq!(
            [0.0, 0.004, 0.025, 0.5, 1.0].map(percent),
            ["0 %", "0.4 %", "2.5 %", "50 %", "100 %"]
        );
    }

    #[test]
    fn durations_are_understood_the_way_operators_write_them() {
        for (text, seconds) in [
            ("90s", 90),
            ("5m", 300),
            ("2h", 7_200),
            ("10d", 864_000),
            ("1h30m", 5_400),
            ("5 min", 300),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "soon", "-2h"] {
            assert!(parse_duration(text).is_err_and(|why| why.contains("5m")), "{text}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_finds_the_name_that_was_meant() {
        assert_eq!(nearest("seris", ["title", "series", "x"]), Some("series"));
        assert_eq!(nearest("colour", ["title", "series"]), None);
    }
}
