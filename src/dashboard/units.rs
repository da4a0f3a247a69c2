//! What figures count, declared once for all dashboards of a folder.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use crate::{
    toml_file::{self, FileError},
    values::Format,
    words,
};

/// What figures count.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// As it stands behind a figure: `k bags`. Nothing where the format says it all.
    #[serde(default)]
    pub short: Option<String>,
    /// As it stands above an axis or a column: `thousand 60 kg bags`.
    #[serde(default)]
    pub long: Option<String>,
    /// How the figures are printed.
    #[serde(default)]
    pub format: Option<Format>,
}

impl Unit {
    /// For axes and panels.
    #[must_use]
    pub fn above(&self) -> Option<&str> {
        self.long.as_deref().or(self.short.as_deref())
    }

    /// For single figures and for columns, which are narrow.
    #[must_use]
    pub fn behind(&self) -> Option<&str> {
        self.short.as_deref().or(self.long.as_deref())
    }
}

/// The units that dashboards can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Units(BTreeMap<String, Unit>);

impl Default for Units {
    /// Those that need not be declared.
    fn default() -> Self {
        let bare = |format| Unit { short: None, long: None, format: Some(format) };
        Self([("percent", bare(Format::Percent(1))), ("count", bare(Format::Integer))].map(|(name, unit)| (name.to_owned(), unit)).into())
    }
}

impl Units {
    /// Those of a `units.toml`, and those that need not be declared.
    pub(super) fn read(path: &Path, text: &str) -> Result<Self, FileError> {
        let declared: BTreeMap<String, Unit> = toml_file::parse(path, text)?;
        let Self(mut units) = Self::default();
        units.extend(declared);
        Ok(Self(units))
    }

    /// The unit of that name.
    pub(super) fn find(&self, name: &str) -> Result<Unit, String> {
        self.0.get(name).cloned().ok_or_else(|| words::unknown("unit", name, self.0.keys().map(String::as_str)))
    }
}
