//! Units and formulas of figures, declared once for all dashboards of a folder.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    humanize,
    toml_file::{self, FileError},
    values::{Format, Money, SignPosition},
};

/// A unit of figures.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// The form after a figure: `k bags`. Absent if the format is sufficient.
    #[serde(default)]
    pub short: Option<String>,
    /// The form for an axis or a column: `thousand 60 kg bags`.
    #[serde(default)]
    pub long: Option<String>,
    /// How the figures are formatted.
    #[serde(default)]
    pub format: Option<Format>,
    /// Where the sign of a currency is, if not as in the locale.
    #[serde(default)]
    pub position: Option<SignPosition>,
}

impl Unit {
    /// Returns the form for axes and panels.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        let written = self.long.as_deref().or(self.short.as_deref());
        written.or_else(|| self.format?.money().map(Money::code))
    }

    /// Returns the form for single figures and for columns, which are narrow.
    #[must_use]
    pub fn suffix(&self) -> Option<&str> {
        self.short.as_deref().or(self.long.as_deref())
    }
}

/// How a derived figure is computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Formula {
    /// The name of the figure.
    pub name: String,
    /// The formula, as a text.
    pub text: String,
}

/// The units and formulas that dashboards can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Units {
    units: BTreeMap<String, Unit>,
    formulas: BTreeMap<String, String>,
}

impl Default for Units {
    /// Returns the built-in units.
    fn default() -> Self {
        let bare = |format| Unit { short: None, long: None, format: Some(format), position: None };
        let units = [("percent", bare(Format::Percent(1))), ("count", bare(Format::Integer))];
        Self {
            units: units.map(|(name, unit)| (name.to_owned(), unit)).into(),
            formulas: BTreeMap::new(),
        }
    }
}

impl Units {
    /// Adds the units of a `units.toml`.
    pub(super) fn add_units(&mut self, path: &Path, text: &str) -> Result<(), FileError> {
        let mut declared: BTreeMap<String, Unit> = toml_file::parse(path, text)?;
        for (name, unit) in &mut declared {
            let Some(position) = unit.position else { continue };
            let Some(money) = unit.format.and_then(|format| format.money()) else {
                let message = format!(
                    "the position of {name:?} means nothing without a currency as its format, as in format = \"EUR\""
                );
                return Err(FileError { path: path.to_path_buf(), line: None, message });
            };
            unit.format = Some(Format::Money(money.with_position(position)));
        }
        self.units.extend(declared);
        Ok(())
    }

    /// Adds the formulas of a `formulas.toml`.
    pub(super) fn add_formulas(&mut self, path: &Path, text: &str) -> Result<(), FileError> {
        self.formulas = toml_file::parse(path, text)?;
        Ok(())
    }

    /// Returns the unit of that name.
    pub(super) fn find(&self, name: &str) -> Result<Unit, String> {
        self.units.get(name).cloned().ok_or_else(|| {
            humanize::unknown_name_message("unit", name, self.units.keys().map(String::as_str))
        })
    }

    /// Returns the formula of that name.
    pub(super) fn find_formula(&self, name: &str) -> Result<Formula, String> {
        let known = self.formulas.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|(name, text)| Formula { name: name.clone(), text: text.clone() }).ok_or_else(
            || {
                let known = self.formulas.keys().map(String::as_str);
                humanize::unknown_name_message("formula in formulas.toml", name, known)
            },
        )
    }
}
