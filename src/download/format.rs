//! The formats that files can have.

use serde::Serialize;

use crate::{tables::Layout, words};

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values: RFC 4180, UTF-8.
    Csv,
    /// One JSON object for each row, on a line of its own.
    JsonLines,
    /// Apache Parquet, compressed with Snappy.
    Parquet,
    /// Apache Arrow IPC, the file format (Feather, version 2).
    Arrow,
    /// An Excel workbook; more rows than a sheet holds continue on further sheets.
    Excel,
}

impl Format {
    /// Every one, in the order they are offered.
    pub const ALL: [Self; 5] = [Self::Csv, Self::Parquet, Self::Excel, Self::JsonLines, Self::Arrow];

    /// Its name in addresses, which is also what its files end with.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Excel => "xlsx",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::JsonLines => "JSON Lines",
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow",
            Self::Excel => "Excel",
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::JsonLines => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Arrow => "application/vnd.apache.arrow.file",
            Self::Excel => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }

    /// The format of this name.
    ///
    /// # Errors
    /// What to write instead.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| words::unknown("format", name, Self::ALL.map(Self::name)))
    }

    /// How the reader lays values out for it.
    #[must_use]
    pub fn layout(self) -> Layout {
        if matches!(self, Self::Parquet | Self::Arrow) { Layout::Columnar } else { Layout::Whole }
    }

    /// Whether the same rows always give the same bytes, so that an interrupted file can be continued. The bytes of the others depend on how
    /// rows happen to be batched, or on the time.
    #[must_use]
    pub fn is_reproducible(self) -> bool {
        matches!(self, Self::Csv | Self::JsonLines)
    }

    /// Whether compressing it once more would gain something.
    #[must_use]
    pub fn is_compressible(self) -> bool {
        matches!(self, Self::Csv | Self::JsonLines | Self::Arrow)
    }
}
