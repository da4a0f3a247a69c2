//! The tables screen: all served tables, and the open one with its columns and rows.

mod draw;

use std::{cmp::Ordering, collections::HashMap, ops::ControlFlow};

use materia::{
    reader::{Catalog, ColumnInfo, TableInfo},
    status::Status,
    store::{AttemptRecord, TableRecord},
};
use ratatui::layout::{Constraint, Layout, Rect};

pub(crate) use self::draw::format_change;
use super::{
    Change, Link, Screen,
    history::{attempt_of_generation, table_change},
};
use crate::{
    app::{App, ScreenId},
    context::Context,
    grid::{
        Grid, GridColumn, RowSource,
        actions::{self, GRID_KEYS},
    },
    keys::{KeyGroup, key},
    layout,
    list_cursor::ListCursor,
    message::{Channel, ClickTarget, Effect, Message, Profile, Request, Response, TIMEOUTS},
    overlays::{
        Prompt,
        palette::{PaletteAction, PaletteEntry},
        statistics,
    },
    text::width,
    views::Canvas,
};

/// Maximum number of tables whose sizes are all requested; in larger catalogs, only those in view
/// are.
const MAX_TABLES_MEASURED: usize = 200;
/// Maximum width of a column before its rows are loaded.
const MAX_HEADING_WIDTH: usize = 40;

#[derive(Debug, Clone, Default)]
pub(crate) struct TablesScreen {
    /// Every table, by name.
    pub(crate) rows: Vec<TableRow>,
    /// Indexes of the rows that match the filter, in the order in which they are drawn.
    pub(crate) shown: Vec<usize>,
    pub(crate) cursor: ListCursor,
    pub(crate) sort: TableSort,
    pub(crate) descending: bool,
    pub(crate) filter: String,
    pub(crate) open: Option<Box<OpenTable>>,
    /// The pending request for sizes.
    pub(crate) pending_sizes: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct OpenTable {
    pub(crate) name: String,
    pub(crate) comment: String,
    pub(crate) rows: u64,
    pub(crate) columns: Vec<ColumnRow>,
    pub(crate) cursor: ListCursor,
    pub(crate) grid: Grid,
    /// Whether the rows rather than the columns have the focus.
    pub(crate) on_rows: bool,
    /// The pending request for profiles of its columns.
    pub(crate) pending_profile: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct ColumnRow {
    pub(crate) info: ColumnInfo,
    /// The profile, or why it is unknown; `None` until the response.
    pub(crate) profile: Option<Result<Profile, String>>,
}

static LIST_KEYS: KeyGroup = KeyGroup {
    id: "tables",
    title: "Tables",
    bindings: &[
        key("enter l right", "open", "open the table", "open", |app| {
            app.tables.open_selected(&mut app.context)
        }),
        key("/", "filter", "show tables whose name contains ...", "filter", |app| {
            let prompt = Prompt::new("tables with: ", &app.tables.filter, |_, _| Ok(Vec::new()));
            app.context
                .open_prompt(prompt.live(|app, text| app.tables.set_filter(text, &mut app.context)))
        }),
        key("s", "sort", "sort by the next column", "sort", |app| {
            app.tables.sort_by_next(&mut app.context)
        }),
        key("S", "reverse", "reverse order", "reverse", |app| {
            app.tables.sort_by(app.tables.sort, &mut app.context)
        }),
        key("x esc", "clear-filter", "show all tables again, or go back", "", |app| {
            if app.tables.filter.is_empty() {
                return app.go_back();
            }
            app.tables.set_filter("", &mut app.context)
        }),
        key("y", "copy", "copy the table's name", "", |app| app.tables.copy_name(&mut app.context)),
    ],
};

static COLUMN_KEYS: KeyGroup = KeyGroup {
    id: "columns",
    title: "Columns of a table",
    bindings: &[
        key("tab enter", "switch-focus", "go to the rows", "rows", |app| {
            app.tables.focus_grid();
            app.move_cursor(0)
        })
        .navigation(),
        key("esc h left backspace", "back", "back to the tables", "back", App::close).navigation(),
        key("t", "statistics", "its most frequent values, and a histogram", "stats", |app| {
            let column = app.tables.open.as_ref().map_or(0, |open| open.cursor.at);
            statistics::open(&mut app.tables, column, &mut app.context)
        }),
        key("y", "copy", "copy the column's name", "", |app| {
            app.tables.copy_name(&mut app.context)
        }),
    ],
};

impl Screen for TablesScreen {
    fn home_keys(&self) -> &'static KeyGroup {
        &LIST_KEYS
    }

    fn key_groups(&self) -> Vec<&'static KeyGroup> {
        vec![&LIST_KEYS, &COLUMN_KEYS, &GRID_KEYS]
    }

    fn keys(&self) -> &'static KeyGroup {
        match &self.open {
            None => &LIST_KEYS,
            Some(open) if open.on_rows => &GRID_KEYS,
            Some(_) => &COLUMN_KEYS,
        }
    }

    fn draw(&self, canvas: &mut Canvas, area: Rect, context: &Context) {
        match &self.open {
            None => draw::draw_list(self, canvas, area, context),
            Some(open) => draw::draw_open(canvas, area, open),
        }
    }

    fn page_height(&self, context: &Context) -> usize {
        match &self.open {
            Some(open) if !open.on_rows => {
                let [_, columns, _] = open_table_areas(context.body(), open);
                usize::from(columns.height.saturating_sub(1))
            }
            _ => usize::from(layout::list(self.grid_area(context))[1].height),
        }
    }

    fn move_cursor(&mut self, by: isize, context: &mut Context) -> Vec<Effect> {
        let height = self.page_height(context).max(1);
        match &mut self.open {
            Some(open) if open.on_rows => actions::move_cursor(self, by, context),
            Some(open) => {
                open.cursor.move_by(by, open.columns.len(), height);
                actions::load(self, context)
            }
            None => {
                self.cursor.move_by(by, self.shown.len(), height);
                self.request_table_sizes(context)
            }
        }
    }

    fn enter(&mut self, context: &mut Context) -> Vec<Effect> {
        self.request_table_sizes(context)
    }

    fn close(&mut self, context: &mut Context) -> Option<Vec<Effect>> {
        self.open.take()?;
        let mut effects = vec![Effect::Cancel(Channel::Rows), Effect::Cancel(Channel::Profile)];
        effects.extend(self.request_table_sizes(context));
        Some(effects)
    }

    fn reset(&mut self) {
        self.open = None;
    }

    /// Selects a line on the first click and opens it on the second.
    fn click(&mut self, target: ClickTarget, context: &mut Context) -> Vec<Effect> {
        let height = self.page_height(context).max(1);
        match (target, &mut self.open) {
            (ClickTarget::Line(line), Some(open)) => {
                open.on_rows = false;
                open.cursor.move_to(line, open.columns.len(), height);
                self.move_cursor(0, context)
            }
            (ClickTarget::Line(line), None) if self.cursor.at == line => {
                self.open_selected(context)
            }
            (ClickTarget::Line(line), None) => {
                self.cursor.move_to(line, self.shown.len(), height);
                self.move_cursor(0, context)
            }
            (ClickTarget::Heading(column), None) => {
                let sort = TableSort::ALL.get(column);
                sort.map(|sort| self.sort_by(*sort, context)).unwrap_or_default()
            }
            (ClickTarget::Heading(column), Some(_)) => {
                actions::click_heading(self, column, context)
            }
            (ClickTarget::Cell(row, column), Some(_)) => {
                actions::click_cell(self, (row, column), context)
            }
            _ => Vec::new(),
        }
    }

    fn follow_link(&mut self, link: &Link, context: &mut Context) -> Option<Vec<Effect>> {
        let Link::Table(name) = link else { return None };
        Some(self.open_table(name, context))
    }

    fn handle_message(
        &mut self,
        message: Message,
        context: &mut Context,
    ) -> ControlFlow<Vec<Effect>, Message> {
        match message {
            Message::Response { channel: Channel::TableSizes, request_id, response } => {
                if self.pending_sizes != Some(request_id) {
                    return ControlFlow::Break(Vec::new());
                }
                ControlFlow::Break(self.set_table_sizes(response, context))
            }
            Message::Response { channel: Channel::Profile, request_id, response } => {
                self.set_profile(request_id, response);
                ControlFlow::Break(Vec::new())
            }
            Message::Response { channel: Channel::Rows, request_id, response } => {
                ControlFlow::Break(actions::receive(self, request_id, response, context))
            }
            message => ControlFlow::Continue(message),
        }
    }

    fn handle_change(&mut self, change: &Change, context: &mut Context) -> Vec<Effect> {
        match change {
            Change::StatusSource => {
                *self = Self::default();
                Vec::new()
            }
            Change::Catalog => {
                // The sizes belong to another generation.
                self.rows.iter_mut().for_each(|row| row.bytes = None);
                self.pending_sizes = None;
                self.update_rows(context);
                let mut effects = self.refresh_open_table(context);
                if context.screen == ScreenId::Tables {
                    effects.extend(self.move_cursor(0, context));
                }
                effects
            }
            Change::Status { previous } => {
                // The progress of an export changes many times per second without affecting this
                // screen.
                let known = |status: &materia::status::Status| {
                    (status.generation.clone(), status.history.len())
                };
                if previous.as_ref().map(|facts| known(&facts.status))
                    != context.status().map(known)
                {
                    self.update_rows(context);
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn grid(&mut self) -> Option<(&mut Grid, Channel)> {
        self.open.as_mut().map(|open| (&mut open.grid, Channel::Rows))
    }

    fn grid_area(&self, context: &Context) -> Rect {
        match &self.open {
            Some(open) => open_table_areas(context.body(), open)[2],
            None => context.body(),
        }
    }

    fn focus_grid(&mut self) {
        self.open.iter_mut().for_each(|open| open.on_rows = true);
    }

    fn leave_grid(&mut self) {
        self.open.iter_mut().for_each(|open| open.on_rows = false);
    }

    fn is_waiting(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.grid.pending.is_some() || open.pending_profile.is_some())
    }

    fn palette_entries(&self, _context: &Context) -> Vec<PaletteEntry> {
        let entry = |row: &TableRow| PaletteEntry {
            text: format!("open table {}", row.name),
            key: String::new(),
            action: PaletteAction::Follow(Link::Table(row.name.clone())),
        };
        self.rows.iter().map(entry).collect()
    }
}

/// Splits the area into the name of the open table, its columns, and its rows.
fn open_table_areas(area: Rect, open: &OpenTable) -> [Rect; 3] {
    let max = if open.on_rows { area.height / 3 } else { area.height * 3 / 5 };
    let wanted = u16::try_from(open.columns.len() + 1).unwrap_or(u16::MAX);
    Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(wanted.min(max.max(3))),
        Constraint::Fill(1),
    ])
    .areas(area)
}

/// Returns the columns of a table; profiles of columns that did not change are retained.
fn column_rows(table: &TableInfo, known: &mut [ColumnRow]) -> Vec<ColumnRow> {
    let row = |info: &ColumnInfo| {
        let before = known.iter_mut().find(|column| column.info == *info);
        ColumnRow { info: info.clone(), profile: before.and_then(|column| column.profile.take()) }
    };
    table.columns.iter().map(row).collect()
}

fn profile_request(table: &TableInfo, request_id: u64) -> Effect {
    let request = Request::Profile {
        table: table.name.clone(),
        rows: table.rows,
        columns: table.columns.clone(),
    };
    Effect::Request { channel: Channel::Profile, request_id, request }
}

fn row_source(table: &TableInfo) -> RowSource {
    RowSource::Table {
        name: table.name.clone(),
        rows: usize::try_from(table.rows).unwrap_or(usize::MAX),
    }
}

/// A line of the list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TableRow {
    pub(crate) name: String,
    pub(crate) rows: u64,
    pub(crate) change: RowChange,
    /// `None` until the size is known.
    pub(crate) bytes: Option<u64>,
    pub(crate) columns: usize,
    /// Duration of its last copy in milliseconds.
    pub(crate) export_ms: Option<u64>,
    pub(crate) comment: String,
}

/// The change of a table's rows since the previous generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowChange {
    Unknown,
    /// The table did not exist.
    New,
    /// The difference in rows.
    Rows(i64),
    /// The same number of rows, with different values, columns or types.
    Values,
    /// The same number of rows, whose values cannot be compared.
    SameRows,
}

impl RowChange {
    /// Returns the number of rows that were added or removed.
    pub(crate) fn size(self) -> u64 {
        match self {
            Self::Rows(rows) => rows.unsigned_abs(),
            Self::New => u64::MAX,
            Self::Values | Self::SameRows | Self::Unknown => 0,
        }
    }

    fn sort_key(self) -> i64 {
        match self {
            Self::Unknown => i64::MIN,
            Self::New => i64::MAX,
            Self::Rows(rows) => rows,
            Self::Values => 1,
            Self::SameRows => 0,
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
    pub(crate) const ALL: [Self; 7] = [
        Self::Name,
        Self::Rows,
        Self::Change,
        Self::Bytes,
        Self::Columns,
        Self::ExportTime,
        Self::Comment,
    ];

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

    /// Returns whether the largest value comes first, as is useful for figures.
    pub(crate) fn starts_descending(self) -> bool {
        !matches!(self, Self::Name | Self::Comment)
    }

    fn compare(self, one: &TableRow, other: &TableRow) -> Ordering {
        match self {
            Self::Name => Ordering::Equal,
            Self::Rows => one.rows.cmp(&other.rows),
            Self::Change => one.change.sort_key().cmp(&other.change.sort_key()),
            Self::Bytes => one.bytes.cmp(&other.bytes),
            Self::Columns => one.columns.cmp(&other.columns),
            Self::ExportTime => one.export_ms.cmp(&other.export_ms),
            Self::Comment => one.comment.cmp(&other.comment),
        }
    }
}

impl TablesScreen {
    fn open_selected(&mut self, context: &mut Context) -> Vec<Effect> {
        let name = self.current().map(|row| row.name.clone());
        name.map(|name| self.open_table(&name, context)).unwrap_or_default()
    }

    /// Opens a table: its rows first, then the profiles of its columns as they arrive.
    fn open_table(&mut self, name: &str, context: &mut Context) -> Vec<Effect> {
        let Some(catalog) = context.reader.catalog.clone() else { return Vec::new() };
        let Some(table) = catalog.tables.iter().find(|table| table.name == name) else {
            context.show_toast(false, format!("{name} is no longer served"));
            return Vec::new();
        };
        let column = |info: &ColumnInfo| GridColumn {
            name: info.name.clone(),
            data_type: info.data_type.clone(),
            numeric: false,
            width: width(&info.name, MAX_HEADING_WIDTH),
        };
        let columns = table.columns.iter().map(column).collect();
        let request_id = context.next_request_id();
        context.go_to(ScreenId::Tables);
        self.open = Some(Box::new(OpenTable {
            name: table.name.clone(),
            comment: table.comment.clone().unwrap_or_default(),
            rows: table.rows,
            columns: column_rows(table, &mut []),
            cursor: ListCursor::default(),
            grid: Grid::new(row_source(table), columns, TIMEOUTS[0]),
            on_rows: true,
            pending_profile: Some(request_id),
        }));
        let mut effects = actions::reload(self, context);
        effects.push(profile_request(table, request_id));
        effects
    }

    /// Requests the open table again, from another generation.
    fn refresh_open_table(&mut self, context: &mut Context) -> Vec<Effect> {
        let (Some(catalog), Some(mut open)) = (context.reader.catalog.clone(), self.open.take())
        else {
            return Vec::new();
        };
        let Some(table) = catalog.tables.iter().find(|table| table.name == open.name) else {
            context.show_toast(false, format!("{} is no longer served", open.name));
            return vec![Effect::Cancel(Channel::Rows), Effect::Cancel(Channel::Profile)];
        };
        let request_id = context.next_request_id();
        open.rows = table.rows;
        open.comment = table.comment.clone().unwrap_or_default();
        open.columns = column_rows(table, &mut open.columns);
        open.pending_profile = Some(request_id);
        open.grid.source = row_source(table);
        let exists = |name: &str| table.columns.iter().any(|column| column.name == name);
        open.grid.filters.retain(|filter| exists(&filter.column));
        open.grid.sort.retain(|sort| exists(&sort.column));
        let rows = usize::try_from(table.rows).unwrap_or(usize::MAX);
        open.grid.total = open.grid.filters.is_empty().then_some(rows);
        let page = open.grid.page_at_cursor();
        self.open = Some(open);
        let mut effects = actions::request(self, page, context);
        effects.push(profile_request(table, request_id));
        effects
    }

    /// Requests unknown sizes of visible tables.
    fn request_table_sizes(&mut self, context: &mut Context) -> Vec<Effect> {
        if self.pending_sizes.is_some() || self.open.is_some() {
            return Vec::new();
        }
        let height = self.page_height(context).max(1);
        let view = self.cursor.visible_range(self.shown.len(), height);
        let all = self.rows.len() <= MAX_TABLES_MEASURED || self.sort == TableSort::Bytes;
        let wanted = if all { &self.shown[..] } else { &self.shown[view] };
        let unknown: Vec<_> = wanted
            .iter()
            .map(|index| &self.rows[*index])
            .filter(|row| row.bytes.is_none())
            .map(|row| row.name.clone())
            .collect();
        if unknown.is_empty() {
            return Vec::new();
        }
        let request_id = context.next_request_id();
        self.pending_sizes = Some(request_id);
        let request = Request::TableSizes(unknown);
        vec![Effect::Request { channel: Channel::TableSizes, request_id, request }]
    }

    fn set_table_sizes(
        &mut self,
        response: Result<Response, String>,
        context: &mut Context,
    ) -> Vec<Effect> {
        let Ok(Response::TableSizes { tables, last }) = response else {
            self.pending_sizes = None;
            return Vec::new();
        };
        let sizes: HashMap<_, _> = tables.into_iter().collect();
        for row in &mut self.rows {
            row.bytes = sizes.get(&row.name).copied().or(row.bytes);
        }
        if self.sort == TableSort::Bytes {
            self.apply_filter_and_sort();
        }
        if !last {
            return Vec::new();
        }
        self.pending_sizes = None;
        if context.screen == ScreenId::Tables {
            self.request_table_sizes(context)
        } else {
            Vec::new()
        }
    }

    fn set_profile(&mut self, request_id: u64, response: Result<Response, String>) {
        let open = self.open.as_mut().filter(|open| open.pending_profile == Some(request_id));
        let Some(open) = open else { return };
        match response {
            Ok(Response::Profile { index, profile, last }) => {
                if let Some(column) = open.columns.get_mut(index) {
                    column.profile = Some(*profile);
                }
                if last {
                    open.pending_profile = None;
                }
            }
            Ok(_) => {}
            Err(error) => {
                open.pending_profile = None;
                for column in open.columns.iter_mut().filter(|column| column.profile.is_none()) {
                    column.profile = Some(Err(error.clone()));
                }
            }
        }
    }

    fn set_filter(&mut self, filter: &str, context: &mut Context) -> Vec<Effect> {
        filter.clone_into(&mut self.filter);
        self.apply_filter_and_sort();
        self.move_cursor(0, context)
    }

    fn sort_by_next(&mut self, context: &mut Context) -> Vec<Effect> {
        let at = TableSort::ALL.iter().position(|sort| *sort == self.sort).unwrap_or_default();
        self.sort_by(TableSort::ALL[(at + 1) % TableSort::ALL.len()], context)
    }

    /// Sorts by a column; reverses the order if it is already the sort column.
    fn sort_by(&mut self, sort: TableSort, context: &mut Context) -> Vec<Effect> {
        self.descending =
            if self.sort == sort { !self.descending } else { sort.starts_descending() };
        self.sort = sort;
        self.apply_filter_and_sort();
        self.move_cursor(0, context)
    }

    /// Copies the name of the selected table, or of the open table's selected column.
    fn copy_name(&self, context: &mut Context) -> Vec<Effect> {
        let name = match &self.open {
            None => self.current().map(|row| row.name.clone()),
            Some(open) => open.columns.get(open.cursor.at).map(|column| column.info.name.clone()),
        };
        let Some(name) = name else { return Vec::new() };
        context.show_toast(true, format!("copied {name}"));
        vec![Effect::Copy(name)]
    }

    /// Updates the list from the catalog and the history; known sizes are retained.
    fn update_rows(&mut self, context: &Context) {
        let Some(catalog) = &context.reader.catalog else { return };
        let sizes: HashMap<_, _> =
            self.rows.iter().filter_map(|row| Some((row.name.clone(), row.bytes?))).collect();
        let published = context
            .status()
            .and_then(|status| attempt_of_generation(status, status.generation.as_ref()?));
        let compared = context.status().zip(published);
        self.set_catalog(catalog, compared);
        for row in &mut self.rows {
            row.bytes = sizes.get(&row.name).copied();
        }
    }

    /// Replaces the list; the selected table remains selected.
    fn set_catalog(&mut self, catalog: &Catalog, compared: Option<(&Status, &AttemptRecord)>) {
        let published = compared.map(|(_, record)| record);
        let selected = self.current().map(|row| row.name.clone());
        let records: HashMap<_, _> = published
            .map(|record| record.tables.iter().map(|table| (table.name.as_str(), table)).collect())
            .unwrap_or_default();
        let row = |table: &TableInfo| {
            let record = &records.get(table.name.as_str()).copied();
            let change =
                compared.zip(*record).map_or(RowChange::Unknown, |((status, attempt), record)| {
                    // The served table.
                    let served = TableRecord { rows: table.rows, ..record.clone() };
                    table_change(status, attempt, &served)
                });
            TableRow {
                name: table.name.clone(),
                rows: table.rows,
                change,
                bytes: None,
                columns: table.columns.len(),
                export_ms: record.filter(|record| !record.reused).map(|record| record.ms),
                comment: table.comment.clone().unwrap_or_default(),
            }
        };
        self.rows = catalog.tables.iter().map(row).collect();
        self.apply_filter_and_sort();
        let at = selected
            .and_then(|name| self.shown.iter().position(|index| self.rows[*index].name == name));
        if let Some(at) = at {
            self.cursor.at = at;
        }
    }

    pub(crate) fn apply_filter_and_sort(&mut self) {
        let wanted = self.filter.to_lowercase();
        self.shown = (0..self.rows.len())
            .filter(|index| self.rows[*index].name.to_lowercase().contains(&wanted))
            .collect();
        let (rows, sort) = (&self.rows, self.sort);
        // The sort is stable: equal rows stay in the order of their names.
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
