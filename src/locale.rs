//! How figures and dates are written in a country: `[brand] locale`.
//!
//! Words are not translated, and neither are files for programs. A process has one locale, since
//! figures are formatted in hundreds of places; it is set once, before the first of them.

use std::{str::FromStr, sync::OnceLock};

use serde::{Deserialize, Deserializer};

use crate::{humanize, values::SignPosition};

/// How figures and dates are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locale {
    name: &'static str,
    /// Between groups of three digits.
    thousands: &'static str,
    decimal: char,
    /// Between a number and its percent sign.
    before_percent: &'static str,
    date: DateOrder,
}

/// Locales that write the sign of a currency before the amount, and what is between them if it is
/// not as the sign requires.
const SIGN_BEFORE: [(&str, Option<&str>); 6] = [
    ("en", None),
    ("en-US", None),
    ("en-GB", None),
    ("de-CH", Some(NBSP)),
    ("nl", Some(NBSP)),
    ("pt-BR", Some(NBSP)),
];

/// The order of a date's parts, and what separates them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DateOrder {
    /// 2024-06-03
    Iso,
    /// Day, month, year.
    DayFirst(char),
    /// Month, day, year.
    MonthFirst(char),
}

/// A space that does not break a line.
pub(crate) const NBSP: &str = "\u{a0}";
/// A narrow one.
const NARROW: &str = "\u{202f}";

const fn locale(
    name: &'static str,
    (thousands, decimal): (&'static str, char),
    before_percent: &'static str,
    date: DateOrder,
) -> Locale {
    Locale { name, thousands, decimal, before_percent, date }
}

/// Every locale. The first is the default.
const ALL: [Locale; 15] = [
    locale("en", (",", '.'), "", DateOrder::Iso),
    locale("en-US", (",", '.'), "", DateOrder::MonthFirst('/')),
    locale("en-GB", (",", '.'), "", DateOrder::DayFirst('/')),
    locale("cs", (NBSP, ','), NBSP, DateOrder::DayFirst('.')),
    locale("da", (".", ','), NBSP, DateOrder::DayFirst('.')),
    locale("de", (".", ','), NBSP, DateOrder::DayFirst('.')),
    locale("de-CH", ("’", '.'), "", DateOrder::DayFirst('.')),
    locale("es", (".", ','), NBSP, DateOrder::DayFirst('/')),
    locale("fr", (NARROW, ','), NBSP, DateOrder::DayFirst('/')),
    locale("it", (".", ','), "", DateOrder::DayFirst('/')),
    locale("nl", (".", ','), "", DateOrder::DayFirst('-')),
    locale("pl", (NBSP, ','), "", DateOrder::DayFirst('.')),
    locale("pt", (NBSP, ','), "", DateOrder::DayFirst('/')),
    locale("pt-BR", (".", ','), "", DateOrder::DayFirst('/')),
    locale("sv", (NBSP, ','), NBSP, DateOrder::Iso),
];

static CURRENT: OnceLock<Locale> = OnceLock::new();

/// Sets the locale of this process. Only the first call has an effect.
pub fn set(locale: Locale) {
    CURRENT.get_or_init(|| locale);
}

/// Returns the locale of this process.
#[must_use]
pub fn current() -> Locale {
    CURRENT.get().copied().unwrap_or_default()
}

impl Default for Locale {
    fn default() -> Self {
        ALL[0]
    }
}

impl FromStr for Locale {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = ALL.into_iter().find(|locale| locale.name.eq_ignore_ascii_case(name.trim()));
        found.ok_or_else(|| {
            let names = ALL.map(|locale| locale.name).join(", ");
            let unknown =
                humanize::unknown_name_message("locale", name, ALL.iter().map(|one| one.name));
            format!("{unknown}; there are: {names}")
        })
    }
}

impl<'de> Deserialize<'de> for Locale {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Locale {
    /// Rewrites a number that is formatted in English: `1,234.5` becomes `1.234,5`.
    #[must_use]
    pub fn number(self, english: String) -> String {
        if self.thousands == "," && self.decimal == '.' && self.before_percent.is_empty() {
            return english;
        }
        let mut out = String::with_capacity(english.len() + 4);
        for letter in english.chars() {
            match letter {
                ',' => out.push_str(self.thousands),
                '.' => out.push(self.decimal),
                '%' => {
                    out.push_str(self.before_percent);
                    out.push('%');
                }
                other => out.push(other),
            }
        }
        out
    }

    /// Returns where the sign of a currency is, and what is between it and the amount.
    pub(crate) fn sign_position(self) -> (SignPosition, Option<&'static str>) {
        match SIGN_BEFORE.into_iter().find(|(name, _)| *name == self.name) {
            Some((_, between)) => (SignPosition::Before, between),
            None => (SignPosition::After, None),
        }
    }

    /// Formats a date of the years 1 to 9999; `None` if it is written as in ISO 8601.
    pub(crate) fn day(self, (year, month, day): (i64, i64, i64)) -> Option<String> {
        if !(1..=9_999).contains(&year) {
            return None;
        }
        match self.date {
            DateOrder::Iso => None,
            DateOrder::DayFirst(between) => {
                Some(format!("{day:02}{between}{month:02}{between}{year:04}"))
            }
            DateOrder::MonthFirst(between) => {
                Some(format!("{month:02}{between}{day:02}{between}{year:04}"))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_dates_are_written_as_in_the_country() {
        let of = |name: &str| Locale::from_str(name).unwrap();
        let shown = |name: &str| {
            let locale = of(name);
            let number = locale.number("−1,234,567.5".to_owned());
            (number, locale.number("6.5%".to_owned()), locale.day((2024, 6, 3)))
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(shown("en"), ("−1,234,567.5".to_owned(), "6.5%".to_owned(), None));
        assert_eq!(shown("en-US").2, text("06/03/2024"));
        assert_eq!(shown("de").0, "−1.234.567,5");
        assert_eq!(shown("DE").1, "6,5\u{a0}%");
        assert_eq!(shown("de").2, text("03.06.2024"));
        assert_eq!(shown("de-CH").0, "−1’234’567.5");
        assert_eq!(shown("fr").0, "−1\u{202f}234\u{202f}567,5");
        assert_eq!(shown("sv").2, None);
        assert_eq!(of("de").day((-43, 3, 15)), None);
        assert_eq!(of("de").number("9.6 M".to_owned()), "9,6 M");
        let unknown = Locale::from_str("de-DE").unwrap_err();
        assert!(
            unknown.contains("did you mean \"de\"") || unknown.contains("there are: en"),
            "{unknown}"
        );
    }
}
