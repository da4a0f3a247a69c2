//! The `[lake]` section: serving a DuckLake.

use std::{io, path::Path, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{Lookup, Settings, SettingsError, duration, overlay};
use crate::{
    extensions::ExtensionDir,
    humanize,
    store::Store,
    store::lake::{CatalogUrl, Lake, RetentionPolicy, data_path},
};

/// The `[lake]` section. It applies if `serving` is an address that begins with `ducklake:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LakeSettings {
    /// Where the lake's tables are stored: a folder, or `s3://bucket/prefix`; required to create a
    /// lake. `data` / `MATERIA_LAKE_DATA`.
    pub data: Option<String>,
    /// Minimum time that a former generation is retained regardless of `keep`, since readers may
    /// still use it. `grace` / `MATERIA_LAKE_GRACE`; default 1h.
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
    /// Minimum age of data files that belong to no snapshot before they are removed. Must be longer
    /// than the longest transaction of any writer of the lake. `orphans` / `MATERIA_LAKE_ORPHANS`;
    /// default 24h.
    #[serde(deserialize_with = "duration")]
    pub orphans: Duration,
    /// Types that a lake would alter and that are converted instead of refused: a name or a list of
    /// names. `casts` / `MATERIA_LAKE_CASTS`; default none.
    #[serde(deserialize_with = "one_or_more_casts")]
    pub casts: Vec<LakeCast>,
}

/// A conversion of types that a lake would alter. Each keeps the values, as another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LakeCast {
    /// HUGEINT and UHUGEINT become DECIMAL(38, 0); a value that does not fit fails the export.
    Lossless,
    /// ENUM becomes VARCHAR.
    Enum,
    /// INTERVAL becomes VARCHAR.
    Interval,
}

impl FromStr for LakeCast {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "lossless" => Ok(Self::Lossless),
            "enum" => Ok(Self::Enum),
            "interval" => Ok(Self::Interval),
            other => Err(format!("{other:?} is not a conversion; use lossless, enum or interval")),
        }
    }
}

fn one_or_more_casts<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<LakeCast>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    let names = match OneOrMore::deserialize(source)? {
        OneOrMore::One(name) => vec![name],
        OneOrMore::More(names) => names,
    };
    names.iter().map(|name| name.parse().map_err(D::Error::custom)).collect()
}

impl Default for LakeSettings {
    fn default() -> Self {
        let RetentionPolicy { grace, orphans } = RetentionPolicy::default();
        Self { data: None, grace, orphans, casts: Vec::new() }
    }
}

impl LakeSettings {
    /// Applies the environment and makes the data path absolute; one in the file is relative to
    /// `folder`.
    pub(super) fn overlay(&mut self, env: Lookup, folder: &Path) -> Result<(), SettingsError> {
        let absolute =
            |text: &str, folder: &Path| data_path(text, folder).map_err(|error| error.to_string());
        if let Some(data) = &self.data {
            self.data =
                Some(absolute(data, folder).map_err(|problem| SettingsError::Variable {
                    variable: "[lake] data",
                    problem,
                })?);
        }
        overlay(env, "MATERIA_LAKE_DATA", &mut self.data, |text| {
            absolute(text, Path::new("")).map(Some)
        })?;
        overlay(env, "MATERIA_LAKE_GRACE", &mut self.grace, humanize::parse_duration)?;
        overlay(env, "MATERIA_LAKE_ORPHANS", &mut self.orphans, humanize::parse_duration)?;
        overlay(env, "MATERIA_LAKE_CASTS", &mut self.casts, |text| {
            text.split(',').map(str::parse).collect()
        })
    }
}

impl Settings {
    /// Returns the store that is served.
    ///
    /// # Errors
    /// The served path is a loop of links.
    pub fn target(&self) -> io::Result<Store> {
        let target = Store::new(&self.serving)?;
        Ok(match &self.lake {
            Some(lake) => target.with_lake(lake.clone()),
            None => target,
        })
    }

    /// Serves another file or lake; paths in an address are relative to `folder`.
    ///
    /// # Errors
    /// Returns a message that describes the problem with the address.
    pub fn with_target(&mut self, place: &Path, folder: &Path) -> Result<(), String> {
        match place.to_str().filter(|text| CatalogUrl::matches(text)) {
            None => (self.serving, self.lake) = (place.to_path_buf(), None),
            Some(address) => {
                let LakeSettings { data, grace, orphans, .. } = self.lakes.clone();
                let keeping = RetentionPolicy { grace, orphans };
                let lake = Lake::new(
                    CatalogUrl::parse(address, folder)?,
                    data,
                    self.credentials.clone(),
                    ExtensionDir::new(&self.extensions),
                    keeping,
                );
                (self.serving, self.lake) =
                    (Self::default_serving_path(&self.lakehouse), Some(lake));
            }
        }
        Ok(())
    }
}
