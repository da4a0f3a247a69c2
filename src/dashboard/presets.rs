//! Spans of days up to the newest one in the data.

use jiff::{Span, ToSpan, civil::Date};

use crate::humanize;

/// A span of days up to the newest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// So many days.
    Days(u16),
    /// Since the first day of the newest month.
    Month,
    /// Since the first day of the newest quarter.
    Quarter,
    /// Since the first day of the newest year.
    Year,
    /// So many years.
    Years(u8),
    Max,
}

impl Preset {
    /// Every preset, in the order in which viewers see them.
    pub const ALL: [Self; 10] = [
        Self::Days(7),
        Self::Days(30),
        Self::Days(90),
        Self::Month,
        Self::Quarter,
        Self::Year,
        Self::Years(1),
        Self::Years(5),
        Self::Years(10),
        Self::Max,
    ];

    /// Returns its name in files and addresses.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Days(days) => format!("{days}d"),
            Self::Month => "month".to_owned(),
            Self::Quarter => "quarter".to_owned(),
            Self::Year => "year".to_owned(),
            Self::Years(years) => format!("{years}y"),
            Self::Max => "max".to_owned(),
        }
    }

    /// Returns the name that viewers see.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Days(days) => format!("Last {days} days"),
            Self::Month => "Month to date".to_owned(),
            Self::Quarter => "Quarter to date".to_owned(),
            Self::Year => "Year to date".to_owned(),
            Self::Years(1) => "Last year".to_owned(),
            Self::Years(years) => format!("Last {years} years"),
            Self::Max => "All".to_owned(),
        }
    }

    /// Returns the preset of a name.
    ///
    /// # Errors
    /// There is none.
    pub fn parse(name: &str) -> Result<Self, String> {
        let name = name.trim().to_lowercase();
        let name = if name == "ytd" { "year" } else { &name };
        Self::ALL.into_iter().find(|preset| preset.name() == name).ok_or_else(|| {
            let names: Vec<String> = Self::ALL.map(Self::name).to_vec();
            humanize::unknown_name_message("preset", name, names.iter().map(String::as_str))
        })
    }

    /// Returns the first day of the span that ends with `newest`; nothing for all days.
    #[must_use]
    pub fn first_day(self, newest: Date) -> Option<Date> {
        let back = |span: Span| newest.checked_sub(span).ok();
        match self {
            Self::Days(days) => back((i32::from(days) - 1).days()),
            Self::Month => Some(newest.first_of_month()),
            Self::Quarter => {
                let month = (newest.month() - 1) / 3 * 3 + 1;
                Date::new(newest.year(), month, 1).ok()
            }
            Self::Year => Some(newest.first_of_year()),
            Self::Years(years) => back(i32::from(years).years())?.tomorrow().ok(),
            Self::Max => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_span_ends_with_the_newest_day_and_has_as_many_as_its_name_says() {
        let newest: Date = "2024-08-31".parse().unwrap();
        let first =
            |name: &str| Preset::parse(name).unwrap().first_day(newest).map(|day| day.to_string());
        assert_eq!(first("7d").unwrap(), "2024-08-25");
        assert_eq!(first("month").unwrap(), "2024-08-01");
        assert_eq!(first("quarter").unwrap(), "2024-07-01");
        assert_eq!(first("YTD").unwrap(), "2024-01-01");
        assert_eq!(first("1y").unwrap(), "2023-09-01");
        assert_eq!(first("max"), None);
        assert!(Preset::parse("91d").unwrap_err().contains("90d"));
    }
}
