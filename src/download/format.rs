//! The file formats of downloads.

use serde::Serialize;

use crate::{humanize, tables::TableLayout};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DownloadFormat {
    /// Comma-separated values: RFC 4180, UTF-8.
    Csv,
    /// JSON Lines: one JSON object per row, each on a separate line.
    JsonLines,
    /// Apache Parquet, compressed with Snappy.
    Parquet,
    /// Apache Arrow IPC, the file format (Feather, version 2).
    Arrow,
    /// An Excel workbook; rows beyond the capacity of a sheet continue on further sheets.
    Excel,
}

impl DownloadFormat {
    /// Every format, in the order in which they are offered.
    pub const ALL: [Self; 5] =
        [Self::Csv, Self::Parquet, Self::Excel, Self::JsonLines, Self::Arrow];

    /// Returns the name in URLs, which is also the file extension.
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

    /// Returns the name for people.
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

    /// Returns the media type.
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

    /// Parses the name of a format.
    ///
    /// # Errors
    /// Returns a message with the valid names.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| {
            humanize::unknown_name_message("format", name, Self::ALL.map(Self::name))
        })
    }

    /// Returns the layout of columns in this format.
    #[must_use]
    pub fn layout(self) -> TableLayout {
        match self {
            Self::Csv => TableLayout::Full,
            Self::JsonLines => TableLayout::Json,
            Self::Parquet | Self::Arrow => TableLayout::Columnar,
            Self::Excel => TableLayout::Sheet,
        }
    }

    /// Returns whether the same rows always result in the same bytes, so that an interrupted
    /// download can be resumed. The bytes of other formats depend on the boundaries of batches or
    /// on the time.
    #[must_use]
    pub fn is_reproducible(self) -> bool {
        matches!(self, Self::Csv | Self::JsonLines)
    }

    /// Returns whether compression would reduce the size further.
    #[must_use]
    pub fn is_compressible(self) -> bool {
        matches!(self, Self::Csv | Self::JsonLines | Self::Arrow)
    }
}
