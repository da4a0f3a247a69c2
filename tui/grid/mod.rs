//! A grid of any number of rows, of which a window is loaded: from an open table, or from a query's
//! result.

pub(crate) mod actions;
mod draw;
mod record;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

pub(crate) use self::draw::draw;
use super::{list_cursor::ListCursor, text::width};

/// Rows loaded per request from a table, around those in view.
pub(crate) const WINDOW_ROWS: usize = 200;
/// Maximum number of loaded rows of a query's result.
pub(crate) const MAX_SQL_ROWS: usize = 10_000;
const MAX_COLUMN_WIDTH: usize = 40;
/// Widths that the operator can choose, and the step between them.
const CHOSEN_WIDTHS: std::ops::RangeInclusive<usize> = 3..=400;
const WIDTH_STEP: isize = 8;

/// The file that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Database {
    #[default]
    Served,
    /// The staged file of the last refused export, if it is kept.
    Refused,
}

/// The source of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowSource {
    /// A served table, and its number of rows.
    Table { name: String, rows: usize },
    /// The text of a query.
    Sql(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GridColumn {
    pub(crate) name: String,
    /// The type in DuckDB's notation.
    pub(crate) data_type: String,
    pub(crate) numeric: bool,
    pub(crate) width: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) column: String,
    pub(crate) descending: bool,
}

/// A filter on one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) column: String,
    pub(crate) data_type: String,
    pub(crate) predicate: FilterPredicate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FilterPredicate {
    /// The column has this value.
    Equals(Option<String>),
    /// The column's text contains this one, ignoring case.
    Contains(String),
}

impl std::fmt::Display for Filter {
    /// Formats `country = Brazil`, or `name has "co"`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.predicate {
            FilterPredicate::Equals(Some(value)) => write!(formatter, "{} = {value}", self.column),
            FilterPredicate::Equals(None) => write!(formatter, "{} is null", self.column),
            FilterPredicate::Contains(part) => write!(formatter, "{} has {part:?}", self.column),
        }
    }
}

/// The rows to load.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PageRequest {
    pub(crate) database: Database,
    pub(crate) source: RowSource,
    /// The columns to sort by, the most significant first.
    pub(crate) sort: Vec<Sort>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) first: usize,
    pub(crate) count: usize,
    /// Total rows of the view, if known.
    pub(crate) total: Option<usize>,
    pub(crate) timeout: Duration,
}

/// A window of rows.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) columns: Vec<GridColumn>,
    pub(crate) first: usize,
    pub(crate) rows: Vec<Vec<Option<String>>>,
    pub(crate) total: usize,
    /// Whether there are more rows than were loaded.
    pub(crate) truncated: bool,
    pub(crate) elapsed: Duration,
}

/// A pending request for rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingPage {
    pub(crate) request_id: u64,
    pub(crate) started_at: Timestamp,
    first: usize,
    count: usize,
}

/// Which columns are drawn, and how wide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ColumnView {
    /// Names of columns that are not drawn.
    pub(crate) hidden: Vec<String>,
    /// The number of columns at the left that do not scroll.
    pub(crate) frozen: usize,
    /// The first column in view after the frozen ones.
    pub(crate) left: usize,
    /// Widths that the operator chose, by column name.
    pub(crate) widths: BTreeMap<String, usize>,
}

impl ColumnView {
    fn is_shown(&self, column: &GridColumn) -> bool {
        !self.hidden.contains(&column.name)
    }

    fn width(&self, column: &GridColumn) -> usize {
        self.widths.get(&column.name).copied().unwrap_or(column.width)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Grid {
    pub(crate) database: Database,
    pub(crate) source: RowSource,
    pub(crate) columns: Vec<GridColumn>,
    /// The index of the first loaded row.
    pub(crate) first: usize,
    pub(crate) rows: Vec<Vec<Option<String>>>,
    /// Total rows of the view; `None` until counted.
    pub(crate) total: Option<usize>,
    pub(crate) truncated: bool,
    pub(crate) elapsed: Option<Duration>,
    pub(crate) cursor: ListCursor,
    /// The index of the selected column.
    pub(crate) column: usize,
    pub(crate) view: ColumnView,
    /// The columns to sort by, the most significant first.
    pub(crate) sort: Vec<Sort>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) pending: Option<PendingPage>,
    pub(crate) error: Option<String>,
    pub(crate) timeout: Duration,
}

impl Grid {
    /// Returns a grid without rows and without a request.
    pub(crate) fn new(source: RowSource, columns: Vec<GridColumn>, timeout: Duration) -> Self {
        let total = source.rows();
        Self {
            database: Database::Served,
            source,
            columns,
            first: 0,
            rows: Vec::new(),
            total,
            truncated: false,
            elapsed: None,
            cursor: ListCursor::default(),
            column: 0,
            view: ColumnView::default(),
            sort: Vec::new(),
            filters: Vec::new(),
            pending: None,
            error: None,
            timeout,
        }
    }

    /// Returns whether the rows are those of an earlier query, because the latest one is running or
    /// has failed.
    pub(crate) fn is_outdated(&self) -> bool {
        matches!(self.source, RowSource::Sql(_)) && (self.pending.is_some() || self.error.is_some())
    }

    /// Returns the number of rows in the view, as far as known.
    pub(crate) fn len(&self) -> usize {
        self.total.unwrap_or(self.first + self.rows.len())
    }

    /// Returns a row of the view if it is loaded.
    pub(crate) fn row(&self, at: usize) -> Option<&[Option<String>]> {
        self.rows.get(at.checked_sub(self.first)?).map(Vec::as_slice)
    }

    /// Returns the selected value: `None` while it is loading, `Some(None)` if it is null.
    #[allow(clippy::option_option, reason = "loading, null, or a value")]
    pub(crate) fn cell(&self) -> Option<Option<&str>> {
        self.row(self.cursor.at)?.get(self.column).map(Option::as_deref)
    }

    /// Returns the request that loads the rows in view; `None` if they are loaded or requested.
    pub(crate) fn missing_page(&self, height: usize) -> Option<PageRequest> {
        if let RowSource::Sql(_) = self.source {
            return None;
        }
        let view = self.cursor.visible_range(self.len(), height);
        let covers = |first: usize, count: usize| view.start >= first && view.end <= first + count;
        if view.is_empty() || covers(self.first, self.rows.len()) {
            return None;
        }
        if self.pending.as_ref().is_some_and(|pending| covers(pending.first, pending.count)) {
            return None;
        }
        // More rows in the direction of scrolling than in the opposite one.
        let ahead = WINDOW_ROWS.saturating_sub(height);
        let behind = if view.start >= self.first { ahead / 4 } else { ahead * 3 / 4 };
        let first = view.start.saturating_sub(behind);
        Some(self.page(first, WINDOW_ROWS.max(height)))
    }

    /// Returns the request for the first rows of the view with its current filters and order.
    pub(crate) fn first_page(&self) -> PageRequest {
        let is_query = matches!(self.source, RowSource::Sql(_));
        self.page(0, if is_query { MAX_SQL_ROWS } else { WINDOW_ROWS })
    }

    /// Returns the request for the rows in view, for another generation.
    pub(crate) fn page_at_cursor(&self) -> PageRequest {
        match self.source {
            RowSource::Sql(_) => self.first_page(),
            RowSource::Table { .. } => {
                self.page(self.cursor.top.saturating_sub(WINDOW_ROWS / 4), WINDOW_ROWS)
            }
        }
    }

    fn page(&self, first: usize, count: usize) -> PageRequest {
        PageRequest {
            database: self.database,
            source: self.source.clone(),
            sort: self.sort.clone(),
            filters: self.filters.clone(),
            first,
            count,
            total: self.total,
            timeout: self.timeout,
        }
    }

    pub(crate) fn set_pending(&mut self, request_id: u64, page: &PageRequest, now: Timestamp) {
        let (first, count) = (page.first, page.count);
        self.pending = Some(PendingPage { request_id, started_at: now, first, count });
    }

    /// Handles the response to a request; returns whether it was the latest one.
    pub(crate) fn receive(&mut self, request_id: u64, page: Result<Page, String>) -> bool {
        if self.pending.as_ref().is_none_or(|pending| pending.request_id != request_id) {
            return false;
        }
        self.pending = None;
        match page {
            Ok(page) => {
                self.error = None;
                self.columns = page.columns;
                self.first = page.first;
                self.rows = page.rows;
                self.total = Some(page.total);
                self.truncated = page.truncated;
                self.elapsed = Some(page.elapsed);
                self.update_column_widths();
                self.column = self.column.min(self.columns.len().saturating_sub(1));
                self.view.frozen = self.view.frozen.min(self.columns.len());
                self.view.left = self.view.left.min(self.column);
            }
            Err(error) => self.error = Some(error),
        }
        true
    }

    /// Makes columns as wide as the widest loaded value, with room for the sort mark. They do not
    /// shrink while scrolling.
    fn update_column_widths(&mut self) {
        let marks = if self.sort.len() > 1 { 2 } else { 1 };
        for (index, column) in self.columns.iter_mut().enumerate() {
            let cells = self
                .rows
                .iter()
                .filter_map(|row| row.get(index))
                .map(|cell| cell.as_deref().map_or(4, |text| width(text, MAX_COLUMN_WIDTH)));
            column.width = cells
                .max()
                .unwrap_or(0)
                .max(width(&column.name, MAX_COLUMN_WIDTH) + marks)
                .max(column.width)
                .clamp(3, MAX_COLUMN_WIDTH);
        }
    }

    /// Selects a column and scrolls it into `space` cells.
    pub(crate) fn move_to_column(&mut self, column: usize, space: usize) {
        self.column = column.min(self.columns.len().saturating_sub(1));
        let frozen = self.view.frozen;
        if self.column < frozen {
            return;
        }
        self.view.left = self.view.left.clamp(frozen, self.column);
        let needed = |columns: &[GridColumn]| -> usize {
            let shown = columns.iter().filter(|column| self.view.is_shown(column));
            shown.map(|column| self.view.width(column) + 2).sum()
        };
        let space = space.saturating_sub(needed(&self.columns[..frozen]));
        let scrolled = (self.view.left..self.column)
            .find(|left| needed(&self.columns[*left..=self.column]) <= space);
        self.view.left = scrolled.unwrap_or(self.column);
    }

    /// Returns the columns in view and their widths; the last one may be truncated.
    pub(crate) fn visible_columns(&self, space: usize) -> Vec<(usize, usize)> {
        let frozen = self.view.frozen;
        let left = self.view.left.max(frozen);
        let (mut used, mut visible) = (0, Vec::new());
        let columns = self.columns.iter().enumerate();
        let in_view = columns.filter(|(index, _)| *index < frozen || *index >= left);
        for (index, column) in in_view.filter(|(_, column)| self.view.is_shown(column)) {
            if used >= space {
                break;
            }
            let columns = self.view.width(column).min(space - used);
            visible.push((index, columns));
            used += columns + 2;
        }
        visible
    }

    /// Freezes the columns up to the selected one, or none if it is the last frozen one.
    ///
    /// # Errors
    /// They would leave too little of `space` for other columns.
    pub(crate) fn toggle_freeze(&mut self, space: usize) -> Result<(), &'static str> {
        let count = self.column + 1;
        if self.view.frozen == count {
            self.view.frozen = 0;
            return Ok(());
        }
        let shown = self.columns.iter().take(count).filter(|column| self.view.is_shown(column));
        if shown.map(|column| self.view.width(column) + 2).sum::<usize>() * 3 > space * 2 {
            return Err("these columns are too wide to stay in view; < makes one narrower");
        }
        self.view.frozen = count;
        self.view.left = self.view.left.max(count);
        Ok(())
    }

    /// Makes the selected column wider by `by` steps, or narrower.
    pub(crate) fn resize_column(&mut self, by: isize, space: usize) {
        let Some(column) = self.columns.get(self.column) else { return };
        let width = self.view.width(column).saturating_add_signed(by * WIDTH_STEP);
        let width = width.clamp(*CHOSEN_WIDTHS.start(), *CHOSEN_WIDTHS.end());
        self.view.widths.insert(column.name.clone(), width);
        self.move_to_column(self.column, space);
    }

    /// Selects the column `by` columns to the right, negative to the left, past hidden ones.
    pub(crate) fn step_column(&mut self, by: isize, space: usize) {
        let wanted =
            self.column.saturating_add_signed(by).min(self.columns.len().saturating_sub(1));
        let is_shown = |at: &usize| self.view.is_shown(&self.columns[*at]);
        let column = if by < 0 {
            (0..=wanted).rev().find(is_shown).or_else(|| (wanted..self.column).find(is_shown))
        } else {
            let after = (wanted..self.columns.len()).find(is_shown);
            after.or_else(|| (self.column..wanted).rev().find(is_shown))
        };
        if let Some(column) = column {
            self.move_to_column(column, space);
        }
    }

    /// Hides the selected column, unless it is the only one, and selects the next one.
    pub(crate) fn hide_column(&mut self, space: usize) {
        let shown = self.columns.iter().filter(|column| self.view.is_shown(column));
        if shown.count() < 2 {
            return;
        }
        if let Some(column) = self.columns.get(self.column) {
            self.view.hidden.push(column.name.clone());
            self.step_column(1, space);
            if self.columns.get(self.column).is_some_and(|column| !self.view.is_shown(column)) {
                self.step_column(-1, space);
            }
        }
    }

    /// Sorts by the selected column alone: ascending, then descending, then not at all.
    pub(crate) fn sort_next(&mut self) {
        let selected = self.columns.get(self.column).map(|column| column.name.as_str());
        let is_only = self.sort.len() == 1 && Some(self.sort[0].column.as_str()) == selected;
        if !is_only {
            self.sort.clear();
        }
        self.sort_also();
    }

    /// Sorts by the selected column where the other columns of the order are equal: ascending,
    /// then descending, then not at all.
    pub(crate) fn sort_also(&mut self) {
        let Some(column) = self.columns.get(self.column).map(|column| column.name.clone()) else {
            return;
        };
        match self.sort.iter().position(|sort| sort.column == column) {
            Some(at) if self.sort[at].descending => drop(self.sort.remove(at)),
            Some(at) => self.sort[at].descending = true,
            None => self.sort.push(Sort { column, descending: false }),
        }
    }

    /// Filters by the selected column; replaces an earlier filter of that column.
    pub(crate) fn filter(&mut self, predicate: FilterPredicate) {
        let Some(column) = self.columns.get(self.column) else { return };
        let filter =
            Filter { column: column.name.clone(), data_type: column.data_type.clone(), predicate };
        self.filters.retain(|known| known.column != filter.column);
        self.filters.push(filter);
        self.total = None;
    }

    pub(crate) fn clear_filters(&mut self) {
        self.filters.clear();
        self.total = self.source.rows();
    }

    /// Returns to the first row of a view that is being requested; the old rows are shown
    /// meanwhile.
    pub(crate) fn rewind(&mut self) {
        self.cursor = ListCursor::default();
        self.first = 0;
    }
}

impl RowSource {
    /// Returns the number of rows, if it is known without counting.
    fn rows(&self) -> Option<usize> {
        match self {
            Self::Table { rows, .. } => Some(*rows),
            Self::Sql(_) => None,
        }
    }
}
