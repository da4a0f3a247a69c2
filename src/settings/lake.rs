//! The `[lake]` section: a DuckLake as what is served.

use std::{io, path::Path, time::Duration};

use serde::Deserialize;

use super::{Lookup, Settings, SettingsError, duration, overlay};
use crate::{
    extensions::Extensions,
    lake::{Address, Keeping, Lake, data_path},
    target::Target,
    words,
};

/// The `[lake]` section. It counts where `serving` is an address that begins with `ducklake:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LakeSettings {
    /// Where the lake's tables go: a folder, or `s3://bucket/prefix`; needed to make a lake. `data` / `MATERIA_LAKE_DATA`.
    pub data: Option<String>,
    /// For how long a former generation is kept whatever `keep` says, since readers may still answer from it. `grace` / `MATERIA_LAKE_GRACE`; default 1h.
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
    /// How old data must be that belongs to no snapshot to be removed. Longer than the longest transaction of anybody who writes the lake.
    /// `orphans` / `MATERIA_LAKE_ORPHANS`; default 24h.
    #[serde(deserialize_with = "duration")]
    pub orphans: Duration,
}

impl Default for LakeSettings {
    fn default() -> Self {
        let Keeping { grace, orphans } = Keeping::default();
        Self { data: None, grace, orphans }
    }
}

impl LakeSettings {
    /// Fills in the environment, and makes the place of the data mean the same from everywhere; the file's is relative to `folder`.
    pub(super) fn overlay(&mut self, env: Lookup, folder: &Path) -> Result<(), SettingsError> {
        let absolute = |text: &str, folder: &Path| data_path(text, folder).map_err(|error| error.to_string());
        if let Some(data) = &self.data {
            self.data = Some(absolute(data, folder).map_err(|problem| SettingsError::Variable { variable: "[lake] data", problem })?);
        }
        overlay(env, "MATERIA_LAKE_DATA", &mut self.data, |text| absolute(text, Path::new("")).map(Some))?;
        overlay(env, "MATERIA_LAKE_GRACE", &mut self.grace, words::parse_duration)?;
        overlay(env, "MATERIA_LAKE_ORPHANS", &mut self.orphans, words::parse_duration)
    }
}

impl Settings {
    /// What is served.
    ///
    /// # Errors
    /// The served path is a loop of links.
    pub fn target(&self) -> io::Result<Target> {
        let target = Target::new(&self.serving)?;
        Ok(match &self.lake {
            Some(lake) => target.with_lake(lake.clone()),
            None => target,
        })
    }

    /// Serves at another place, a file or the address of a lake; paths in an address are relative to `folder`.
    ///
    /// # Errors
    /// In words, what is wrong with the address.
    pub fn serve_at(&mut self, place: &Path, folder: &Path) -> Result<(), String> {
        match place.to_str().filter(|text| Address::is_meant_by(text)) {
            None => (self.serving, self.lake) = (place.to_path_buf(), None),
            Some(address) => {
                let LakeSettings { data, grace, orphans } = self.lakes.clone();
                let keeping = Keeping { grace, orphans };
                let lake =
                    Lake::new(Address::parse(address, folder)?, data, self.credentials.clone(), Extensions::new(&self.extensions), keeping);
                (self.serving, self.lake) = (Self::serving_beside(&self.lakehouse), Some(lake));
            }
        }
        Ok(())
    }
}
