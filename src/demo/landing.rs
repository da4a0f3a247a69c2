//! The landing folder: sample files written by the demo, or a folder of downloaded official files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{DemoError, base_values::Sample, market, psd};

/// Marks a landing folder with sample figures.
const MARK: &str = "SAMPLE.md";

/// What a source's landed files are called, and how the models choose among them.
struct LandedSource {
    model: &'static str,
    /// Publisher and title.
    title: &'static str,
    prefix: &'static str,
    /// Whether all files are read rather than the last by name.
    takes_all: bool,
}

/// Every source of the models, as the globs in `infra/beanflows/models/raw_*.sql` have it.
const SOURCES: [LandedSource; 5] = [
    LandedSource {
        model: "raw.psd",
        title: "USDA PSD",
        prefix: "usda_psd_coffee_",
        takes_all: true,
    },
    LandedSource {
        model: "raw.cot",
        title: "CFTC positions",
        prefix: "cot_coffee_disaggregated_",
        takes_all: false,
    },
    LandedSource {
        model: "raw.prices",
        title: "World Bank prices",
        prefix: "worldbank_pinksheet_coffee_monthly",
        takes_all: false,
    },
    LandedSource {
        model: "raw.imports",
        title: "USITC imports",
        prefix: "us_coffee_imports_hts0901_monthly_by_origin",
        takes_all: false,
    },
    LandedSource {
        model: "raw.rain",
        title: "ERA5 rain",
        prefix: "era5_monthly_precip_coffee_regions_",
        takes_all: false,
    },
];

impl LandedSource {
    /// Returns whether the models' glob matches a file.
    fn matches(&self, file: &str) -> bool {
        let Some(rest) = file.strip_prefix(self.prefix) else { return false };
        // USDA's file can be compressed.
        match rest.rsplit_once(".csv") {
            Some((_, after)) => self.takes_all || after.is_empty(),
            None => false,
        }
    }

    fn glob(&self) -> String {
        format!("{}*.csv{}", self.prefix, if self.takes_all { "*" } else { "" })
    }
}

/// A file in a landing folder, and what the models do with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LandedFile {
    pub name: String,
    /// The model that reads it; `None` if none does.
    pub model: Option<&'static str>,
    /// Why it is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}

/// A folder of landed files.
#[derive(Debug)]
pub(super) struct Landing {
    pub(super) folder: PathBuf,
    /// Whether the figures are sample figures, which every description then mentions.
    pub(super) sample: bool,
}

impl Landing {
    /// Opens an existing folder.
    pub(super) fn open(folder: &Path) -> Result<Self, DemoError> {
        let folder = fs::canonicalize(folder)
            .map_err(|source| DemoError::file("read the landing folder", folder, source))?;
        let sample = folder.join(MARK).exists();
        let landing = Self { folder, sample };
        let files = landing.files()?;
        let lacking: Vec<String> = SOURCES
            .iter()
            .filter(|source| !files.iter().any(|file| file.model == Some(source.model)))
            .map(|source| format!("{} for {} ({})", source.glob(), source.model, source.title))
            .collect();
        if lacking.is_empty() {
            Ok(landing)
        } else {
            Err(DemoError::LandingLacks { path: landing.folder, lacking })
        }
    }

    /// Returns the folder's files by name, with the models that read them.
    pub(super) fn files(&self) -> Result<Vec<LandedFile>, DemoError> {
        let failed = |source| DemoError::file("read the landing folder", &self.folder, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.path().is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.retain(|name| name != MARK && !name.starts_with('.'));
        names.sort();
        let describe = |name: &String| {
            let source = SOURCES.iter().find(|source| source.matches(name));
            let newest =
                source.and_then(|source| names.iter().rev().find(|other| source.matches(other)));
            let left = match (source, newest) {
                (Some(source), Some(newest)) if !source.takes_all && newest != name => {
                    Some(format!("{newest} comes after it"))
                }
                (Some(_), _) => None,
                (None, _) => Some(reason_to_leave(name)),
            };
            let model = source.filter(|_| left.is_none()).map(|source| source.model);
            LandedFile { name: name.clone(), model, left }
        };
        Ok(names.iter().map(describe).collect())
    }

    /// Writes the sample files as of `run` refreshes. Unchanged files are not touched.
    pub(super) fn write(folder: &Path, run: u32) -> Result<Self, DemoError> {
        if !folder.join(MARK).exists()
            && fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some())
        {
            return Err(DemoError::LandingTaken { path: folder.to_owned() });
        }
        let figures = Sample::embedded()?;
        fs::create_dir_all(folder)
            .map_err(|source| DemoError::file("make the landing folder", folder, source))?;
        // The mark is written first: sample files without it would be mistaken for official ones.
        for (name, text) in [
            (MARK, include_str!("../../infra/beanflows/SAMPLE.md").to_owned()),
            ("usda_psd_coffee_sample.csv", psd::csv(&figures, run)),
            ("usda_psd_coffee_2025-06_sample.csv", psd::earlier(&figures, psd::EARLIER[0])),
            ("usda_psd_coffee_2025-12_sample.csv", psd::earlier(&figures, psd::EARLIER[1])),
            ("cot_coffee_disaggregated_sample.csv", market::cot(&figures, run)),
            ("worldbank_pinksheet_coffee_monthly_sample.csv", market::prices(&figures, run)),
            ("us_coffee_imports_hts0901_monthly_by_origin_sample.csv", market::imports(&figures)),
            ("era5_monthly_precip_coffee_regions_models=era5_sample.csv", market::rain(&figures)),
        ] {
            let path = folder.join(name);
            replace(&path, &text).map_err(|source| DemoError::file("write", &path, source))?;
        }
        Self::open(folder)
    }

    /// Returns the folder as a SQL literal in which only the models' own wildcards are wildcards.
    pub(super) fn literal(&self) -> Result<String, DemoError> {
        let folder = super::utf8("read the landing folder", &self.folder)?;
        let plain: String = folder
            .chars()
            .map(|c| if matches!(c, '[' | '*' | '?') { format!("[{c}]") } else { c.to_string() })
            .collect();
        Ok(crate::sql::literal(&plain))
    }
}

/// Returns why no model reads a file.
fn reason_to_leave(name: &str) -> String {
    let source = SOURCES.iter().find(|source| name.starts_with(source.prefix));
    let Some(source) = source else { return "no model reads it".to_owned() };
    match name.strip_suffix(".parquet") {
        Some(stem) => format!(
            "{} reads CSV; to convert it: duckdb -c \"COPY (FROM '{name}') TO '{stem}.csv'\"",
            source.model
        ),
        None => format!("{} reads {}", source.model, source.glob()),
    }
}

/// Replaces a file's content atomically.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    let fresh = path.with_extension("part");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)
}
