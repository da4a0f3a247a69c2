//! Colors and local times, where the output is a terminal and NO_COLOR does not forbid them.
//!
//! Text is painted with characters that no name or value of a lakehouse can turn into a control
//! sequence; they become colors when the text is printed.

use std::{env, io::IsTerminal as _, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use materia::{humanize, store::GenerationId};

/// What a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Warning,
    Bad,
    /// Something that is rarely read.
    Dim,
    Title,
}

/// Begins a [`Tone`], each its own, in Unicode's private area; [`END`] ends it.
const BEGIN: [(Tone, char, &str); 5] = [
    (Tone::Good, '\u{f8f0}', "\x1b[32m"),
    (Tone::Warning, '\u{f8f1}', "\x1b[33m"),
    (Tone::Bad, '\u{f8f2}', "\x1b[31m"),
    (Tone::Dim, '\u{f8f3}', "\x1b[2m"),
    (Tone::Title, '\u{f8f4}', "\x1b[1m"),
];
const END: char = '\u{f8f5}';

pub(super) fn paint(tone: Tone, text: &str) -> String {
    let begin = BEGIN.iter().find(|(known, ..)| *known == tone).map_or(END, |(_, begin, _)| *begin);
    format!("{begin}{text}{END}")
}

/// Returns whether standard output is a terminal.
pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

fn has_colors() -> bool {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    is_terminal() && !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Turns painted text into what the output understands.
pub(super) fn render(text: &str) -> String {
    render_for(text, has_colors())
}

fn render_for(text: &str, has_colors: bool) -> String {
    let mut rendered = String::with_capacity(text.len());
    for char in text.chars() {
        let sequence = match char {
            END => "\x1b[0m",
            char => {
                let Some((.., sequence)) = BEGIN.iter().find(|(_, begin, _)| *begin == char) else {
                    rendered.push(char);
                    continue;
                };
                *sequence
            }
        };
        if has_colors {
            rendered.push_str(sequence);
        }
    }
    rendered
}

/// Describes an id's time for people: local time and age, on a terminal only, so that what scripts
/// read stays as it is.
pub(super) fn moment(id: &GenerationId) -> String {
    match id.time().filter(|_| is_terminal()) {
        Some(at) => paint(Tone::Dim, &format!("  {}", describe(at, Timestamp::now()))),
        None => String::new(),
    }
}

fn describe(at: Timestamp, now: Timestamp) -> String {
    let local = at.to_zoned(TimeZone::system()).strftime("%-d %b %H:%M").to_string();
    let age = Duration::try_from(now.duration_since(at)).unwrap_or_default();
    format!("{local}, {}", humanize::ago(Duration::from_secs(age.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn painted_text_is_colored_where_colors_are_wanted_and_plain_elsewhere() {
        let text = format!("a {} b", paint(Tone::Bad, "wrong"));
        assert_eq!(render_for(&text, true), "a \x1b[31mwrong\x1b[0m b");
        assert_eq!(render_for(&text, false), "a wrong b");
    }
}
