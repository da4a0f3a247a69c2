//! The landing folder: the sample files the demo writes, or a folder of official files that somebody downloaded.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{DemoError, market, psd, sample::Sample};

/// Lies in a landing folder whose figures are not official.
const MARK: &str = "SAMPLE.md";

/// A folder of landed files.
#[derive(Debug)]
pub(super) struct Landing {
    pub(super) folder: PathBuf,
    /// Whether the figures are sample figures, which every description then says.
    pub(super) sample: bool,
}

impl Landing {
    /// A folder that is already there.
    pub(super) fn open(folder: &Path) -> Result<Self, DemoError> {
        let folder = fs::canonicalize(folder).map_err(|source| DemoError::file("read the landing folder", folder, source))?;
        let sample = folder.join(MARK).exists();
        Ok(Self { folder, sample })
    }

    /// Writes the sample files as they stand after `run` refreshes. A file whose content stays is not touched.
    pub(super) fn write(folder: &Path, run: u32) -> Result<Self, DemoError> {
        if !folder.join(MARK).exists() && fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()) {
            return Err(DemoError::LandingTaken { path: folder.to_owned() });
        }
        let figures = Sample::embedded()?;
        fs::create_dir_all(folder).map_err(|source| DemoError::file("make the landing folder", folder, source))?;
        // The mark first: sample files without it would pass for official ones.
        for (name, text) in [
            (MARK, include_str!("../../infra/beanflows/SAMPLE.md").to_owned()),
            ("usda_psd_coffee_sample.csv", psd::csv(&figures, run)),
            ("cot_coffee_disaggregated_sample.csv", market::cot(&figures, run)),
            ("worldbank_pinksheet_coffee_monthly_sample.csv", market::prices(&figures, run)),
            ("us_coffee_imports_hts0901_monthly_by_origin_sample.csv", market::imports(&figures)),
            ("era5_monthly_precip_coffee_regions_sample.csv", market::rain(&figures)),
        ] {
            let path = folder.join(name);
            replace(&path, &text).map_err(|source| DemoError::file("write", &path, source))?;
        }
        Self::open(folder)
    }

    /// The folder as a SQL literal in which nothing but the models' own wildcards is a wildcard.
    pub(super) fn literal(&self) -> Result<String, DemoError> {
        let folder = super::utf8("read the landing folder", &self.folder)?;
        let plain: String = folder.chars().map(|c| if matches!(c, '[' | '*' | '?') { format!("[{c}]") } else { c.to_string() }).collect();
        Ok(crate::sql::literal(&plain))
    }
}

/// Gives a file its content in one step.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    let fresh = path.with_extension("part");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)
}
