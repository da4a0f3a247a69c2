//! The tables screen: every served table, and the one that is open.

use std::{cmp::Ordering, collections::HashMap};

use materia::{
    export::Record,
    reader::{Catalog, ColumnInfo},
};

use super::{grid::Grid, list::Cursor};
use crate::tui::message::Profile;

/// One line of the list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TableRow {
    pub(crate) name: String,
    pub(crate) rows: u64,
    pub(crate) change: Change,
    /// `None` until asked.
    pub(crate) bytes: Option<u64>,
    pub(crate) columns: usize,
    /// Milliseconds its last copy took.
    pub(crate) export_ms: Option<u64>,
    pub(crate) comment: String,
}

/// Against the generation served before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Unknown,
    /// It was not there.
    New,
    /// So many rows more, or fewer.
    Rows(i64),
}

impl Change {
    fn key(self) -> i64 {
        match self {
            Self::Unknown => i64::MIN,
            Self::New => i64::MAX,
            Self::Rows(rows) => rows,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TableSort {
    #[default]
    Name,
    Rows,
    Change,
    Bytes,
    Columns,
    ExportTime,
    Comment,
}

impl TableSort {
    pub(crate) const ALL: [Self; 7] = [Self::Name, Self::Rows, Self::Change, Self::Bytes, Self::Columns, Self::ExportTime, Self::Comment];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Name => "Table",
            Self::Rows => "Rows",
            Self::Change => "Change",
            Self::Bytes => "Bytes",
            Self::Columns => "Cols",
            Self::ExportTime => "Export",
            Self::Comment => "Comment",
        }
    }

    /// Whether the most comes first: what one looks for in figures.
    pub(crate) fn starts_descending(self) -> bool {
        !matches!(self, Self::Name | Self::Comment)
    }

    fn compare(self, one: &TableRow, other: &TableRow) -> Ordering {
        match self {
            Self::Name => Ordering::Equal,
            Self::Rows => one.rows.cmp(&other.rows),
            Self::Change => one.change.key().cmp(&other.change.key()),
            Self::Bytes => one.bytes.cmp(&other.bytes),
            Self::Columns => one.columns.cmp(&other.columns),
            Self::ExportTime => one.export_ms.cmp(&other.export_ms),
            Self::Comment => one.comment.cmp(&other.comment),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct TablesScreen {
    /// Every table, by name.
    pub(crate) rows: Vec<TableRow>,
    /// Indexes of those that are shown, in the order they are shown in.
    pub(crate) shown: Vec<usize>,
    pub(crate) cursor: Cursor,
    pub(crate) sort: TableSort,
    pub(crate) descending: bool,
    pub(crate) filter: String,
    pub(crate) open: Option<Box<Opened>>,
    /// The request for bytes that is under way.
    pub(crate) measuring: Option<u64>,
}

/// An opened table.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) name: String,
    pub(crate) comment: String,
    pub(crate) rows: u64,
    pub(crate) columns: Vec<ColumnRow>,
    pub(crate) cursor: Cursor,
    pub(crate) grid: Grid,
    /// Whether keys go to the rows rather than to the columns.
    pub(crate) on_rows: bool,
    /// The request for what is in its columns that is under way.
    pub(crate) profiling: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct ColumnRow {
    pub(crate) info: ColumnInfo,
    /// What is in it, or why that is not known; `None` until answered.
    pub(crate) profile: Option<Result<Profile, String>>,
}

impl TablesScreen {
    /// Takes a new catalog over, keeping the table one is on.
    pub(crate) fn take(&mut self, catalog: &Catalog, published: Option<&Record>) {
        let on = self.current().map(|row| row.name.clone());
        let records: HashMap<_, _> =
            published.map(|record| record.tables.iter().map(|table| (table.name.as_str(), table)).collect()).unwrap_or_default();
        let compared = published.is_some_and(|record| record.tables.iter().any(|table| table.previous_rows.is_some()));
        self.rows = catalog
            .tables
            .iter()
            .map(|table| {
                let record = records.get(table.name.as_str());
                let change = match record.map(|record| record.previous_rows) {
                    Some(Some(before)) => Change::Rows(table.rows.cast_signed() - before.cast_signed()),
                    Some(None) if compared => Change::New,
                    _ => Change::Unknown,
                };
                TableRow {
                    name: table.name.clone(),
                    rows: table.rows,
                    change,
                    bytes: None,
                    columns: table.columns.len(),
                    export_ms: record.filter(|record| !record.reused).map(|record| record.ms),
                    comment: table.comment.clone().unwrap_or_default(),
                }
            })
            .collect();
        self.arrange();
        if let Some(at) = on.and_then(|name| self.shown.iter().position(|index| self.rows[*index].name == name)) {
            self.cursor.at = at;
        }
    }

    /// Filters and sorts.
    pub(crate) fn arrange(&mut self) {
        let wanted = self.filter.to_lowercase();
        self.shown = (0..self.rows.len()).filter(|index| self.rows[*index].name.to_lowercase().contains(&wanted)).collect();
        let (rows, sort) = (&self.rows, self.sort);
        // Stable over the order of names.
        self.shown.sort_by(|one, other| {
            let order = sort.compare(&rows[*one], &rows[*other]);
            if self.descending { order.reverse() } else { order }
        });
        if sort == TableSort::Name && self.descending {
            self.shown.reverse();
        }
        self.cursor.at = self.cursor.at.min(self.shown.len().saturating_sub(1));
    }

    pub(crate) fn current(&self) -> Option<&TableRow> {
        self.shown.get(self.cursor.at).and_then(|index| self.rows.get(*index))
    }
}
