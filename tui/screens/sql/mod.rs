//! The SQL screen: a prompt with history and completion, and the rows of the latest query.

mod draw;

use std::ops::ControlFlow;

use jiff::Timestamp;
use materia::reader::Catalog;
use ratatui::{
    crossterm::event::{KeyCode, KeyEvent},
    layout::{Constraint, Layout, Rect},
};
use ratatui_textarea::{CursorMove, TextArea};

use super::{Change, Link, Screen};
use crate::{
    app::{App, ScreenId},
    context::{Context, format_ago},
    grid::{
        Database, Grid, RowSource,
        actions::{self, GRID_KEYS},
    },
    keys::{KeyGroup, key},
    layout,
    message::{Channel, ClickTarget, Effect, Message, PastQuery, TIMEOUTS},
    overlays::{
        Overlay, Prompt, edit_line,
        palette::{Palette, PaletteAction, PaletteEntry},
    },
    views::Canvas,
};

/// Maximum number of queries in the history.
pub(crate) const HISTORY_LIMIT: usize = 500;
const MAX_SUGGESTIONS: usize = 8;
const KEYWORDS: [&str; 36] = [
    "AND",
    "AS",
    "ASC",
    "AVG",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COUNT",
    "DATE_TRUNC",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "FROM",
    "GROUP",
    "HAVING",
    "IN",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MAX",
    "MEDIAN",
    "MIN",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "SELECT",
    "SUM",
    "THEN",
    "USING",
    "WHERE",
];

#[derive(Debug, Clone)]
pub(crate) struct SqlScreen {
    pub(crate) editor: TextArea<'static>,
    /// Whether keys are text input.
    pub(crate) typing: bool,
    /// The file that queries read.
    pub(crate) database: Database,
    pub(crate) grid: Option<Box<Grid>>,
    /// Earlier queries, oldest first.
    pub(crate) history: Vec<PastQuery>,
    /// Saved queries, by name.
    pub(crate) saved: Vec<PastQuery>,
    /// The index of the query recalled from the history.
    history_position: Option<usize>,
    pub(crate) completion: Option<Completion>,
    /// The index of the time limit in `TIMEOUTS`.
    pub(crate) timeout: usize,
}

impl Default for SqlScreen {
    fn default() -> Self {
        Self {
            editor: TextArea::default(),
            typing: true,
            database: Database::Served,
            grid: None,
            history: Vec::new(),
            saved: Vec::new(),
            history_position: None,
            completion: None,
            timeout: 0,
        }
    }
}

/// Suggestions for the word before the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) suggestions: Vec<String>,
    /// The index of the selected one.
    pub(crate) at: usize,
    /// Number of characters of the word that suggestions replace.
    pub(crate) word_length: usize,
}

static EDITOR_KEYS: KeyGroup = KeyGroup {
    id: "sql",
    title: "SQL prompt",
    bindings: &[
        key("f5 alt-enter", "run", "run the query (so does enter after a ;)", "run", |app| {
            app.sql.run(&mut app.context)
        }),
        key("esc", "cancel", "stop the query, or leave the prompt", "stop / leave", |app| {
            app.sql.cancel(&mut app.context)
        }),
        key("tab", "complete", "complete a table, column or word", "complete", |app| {
            app.sql.complete(app.context.reader.catalog.as_deref());
            Vec::new()
        }),
        key("ctrl-r", "history", "find an earlier or a saved query", "history", |app| {
            app.context.overlay = Some(Overlay::Palette(Box::new(Palette::new(
                "Queries",
                app.sql.query_entries(&app.context),
            ))));
            Vec::new()
        }),
        key("ctrl-s", "save-query", "save the query under a name", "", |app| {
            app.context.open_prompt(Prompt::new("save the query as: ", "", save_query))
        }),
        key("alt-e", "editor", "edit the query in $EDITOR", "", |app| {
            vec![Effect::EditQuery(app.sql.text())]
        }),
        key("ctrl-p", "earlier", "an earlier query", "earlier", |app| app.sql.step_history(true)),
        key("ctrl-n", "later", "a later query", "", |app| app.sql.step_history(false)),
        key("ctrl-o", "refused-file", "query the refused file, or the served data", "", |app| {
            app.sql.database = match app.sql.database {
                Database::Served => Database::Refused,
                Database::Refused => Database::Served,
            };
            Vec::new()
        }),
        key("ctrl-t", "time-limit", "change the time limit", "time limit", |app| {
            app.sql.timeout = (app.sql.timeout + 1) % TIMEOUTS.len();
            Vec::new()
        }),
    ],
};

/// Saves the query under a name, replacing a saved query of that name.
fn save_query(app: &mut App, name: &str) -> Result<Vec<Effect>, String> {
    let (name, text) = (name.trim(), app.sql.text());
    if name.is_empty() {
        return Err("a name".to_owned());
    }
    if text.trim().is_empty() {
        return Err("there is no query to save".to_owned());
    }
    let (name, at) = (Some(name.to_owned()), Some(app.context.now));
    let query = PastQuery { query: text.trim().to_owned(), name, at };
    app.sql.saved.retain(|saved| saved.name != query.name);
    app.sql.saved.push(query.clone());
    app.context.show_toast(true, "saved; Ctrl-R finds it");
    Ok(vec![Effect::Remember(query)])
}

/// Splits the area into the prompt and the rows.
fn areas(area: Rect, sql: &SqlScreen) -> [Rect; 2] {
    let max = if sql.typing { area.height / 2 } else { area.height / 3 };
    let min = if sql.typing { 6 } else { 3 };
    let lines = u16::try_from(sql.editor.lines().len() + 2).unwrap_or(u16::MAX);
    Layout::vertical([Constraint::Length(lines.clamp(min, max.max(3))), Constraint::Fill(1)])
        .areas(area)
}

impl Screen for SqlScreen {
    fn home_keys(&self) -> &'static KeyGroup {
        &EDITOR_KEYS
    }

    fn key_groups(&self) -> Vec<&'static KeyGroup> {
        vec![&EDITOR_KEYS, &GRID_KEYS]
    }

    fn keys(&self) -> &'static KeyGroup {
        if self.typing { &EDITOR_KEYS } else { &GRID_KEYS }
    }

    fn draw(&self, canvas: &mut Canvas, area: Rect, _context: &Context) {
        draw::draw(self, canvas, area);
    }

    fn page_height(&self, context: &Context) -> usize {
        usize::from(layout::list(self.grid_area(context))[1].height)
    }

    fn move_cursor(&mut self, by: isize, context: &mut Context) -> Vec<Effect> {
        actions::move_cursor(self, by, context)
    }

    fn reset(&mut self) {
        self.typing = true;
    }

    fn is_typing(&self) -> bool {
        self.typing
    }

    fn type_key(&mut self, key: KeyEvent, context: &mut Context) -> Vec<Effect> {
        if let Some(completion) = &mut self.completion {
            match key.code {
                KeyCode::Enter => {
                    self.accept();
                    return Vec::new();
                }
                KeyCode::Down | KeyCode::Up => {
                    let len = completion.suggestions.len();
                    let by = if key.code == KeyCode::Down { 1 } else { len - 1 };
                    completion.at = (completion.at + by) % len;
                    return Vec::new();
                }
                _ => self.completion = None,
            }
        }
        let ends_statement = self.text().trim_end().ends_with(';');
        if key.code == KeyCode::Enter && key.modifiers.is_empty() && ends_statement {
            return self.run(context);
        }
        let (line, lines) = (self.editor.cursor().0, self.editor.lines().len());
        match key.code {
            KeyCode::Up if line == 0 => self.recall(true),
            KeyCode::Down if line + 1 == lines && self.history_position.is_some() => {
                self.recall(false);
            }
            KeyCode::F(_) => {}
            _ => {
                edit_line(&mut self.editor, key);
            }
        }
        Vec::new()
    }

    fn paste(&mut self, text: &str) {
        self.completion = None;
        self.editor.insert_str(text);
    }

    fn click(&mut self, target: ClickTarget, context: &mut Context) -> Vec<Effect> {
        match target {
            ClickTarget::Editor => self.edit(context),
            ClickTarget::Heading(column) => actions::click_heading(self, column, context),
            ClickTarget::Cell(row, column) => actions::click_cell(self, (row, column), context),
            _ => Vec::new(),
        }
    }

    fn handle_message(
        &mut self,
        message: Message,
        context: &mut Context,
    ) -> ControlFlow<Vec<Effect>, Message> {
        match message {
            Message::Response { channel: Channel::Sql, request_id, response } => {
                ControlFlow::Break(actions::receive(self, request_id, response, context))
            }
            Message::QueryHistory(queries) => {
                let (saved, earlier) = queries.into_iter().partition(|query| query.name.is_some());
                self.saved = saved;
                // Queries of this session are later than those of earlier ones.
                let current = std::mem::replace(&mut self.history, earlier);
                self.history.extend(current);
                ControlFlow::Break(Vec::new())
            }
            Message::Edited(Ok(text)) => {
                self.set_text(text.trim_end());
                ControlFlow::Break(self.edit(context))
            }
            Message::Edited(Err(error)) => {
                context.show_toast(false, error);
                ControlFlow::Break(Vec::new())
            }
            message => ControlFlow::Continue(message),
        }
    }

    fn follow_link(&mut self, link: &Link, context: &mut Context) -> Option<Vec<Effect>> {
        match link {
            Link::Query(query) => self.set_text(query),
            Link::RefusedQuery(query) => {
                self.database = Database::Refused;
                self.set_text(query);
            }
            _ => return None,
        }
        Some(self.edit(context))
    }

    fn handle_change(&mut self, change: &Change, _context: &mut Context) -> Vec<Effect> {
        if let Change::StatusSource = change {
            self.grid = None;
            self.database = Database::Served;
        }
        Vec::new()
    }

    fn grid(&mut self) -> Option<(&mut Grid, Channel)> {
        self.grid.as_deref_mut().map(|grid| (grid, Channel::Sql))
    }

    fn grid_area(&self, context: &Context) -> Rect {
        areas(context.body(), self)[1]
    }

    fn focus_grid(&mut self) {
        self.typing = false;
    }

    fn leave_grid(&mut self) {
        self.typing = true;
    }

    fn is_waiting(&self) -> bool {
        self.grid.as_ref().is_some_and(|grid| grid.pending.is_some())
    }
}

impl SqlScreen {
    /// Lists saved queries by name, then earlier ones, the latest first.
    fn query_entries(&self, context: &Context) -> Vec<PaletteEntry> {
        let entry = |query: &PastQuery| {
            let one_line = query.query.split_whitespace().collect::<Vec<_>>().join(" ");
            let age = query.at.map(|at| format_ago(at, context.now));
            PaletteEntry {
                text: match &query.name {
                    Some(name) => format!("{name}: {one_line}"),
                    None => one_line,
                },
                key: query.name.as_ref().map_or(age.unwrap_or_default(), |_| "saved".to_owned()),
                action: PaletteAction::Follow(Link::Query(query.query.clone())),
            }
        };
        let mut entries: Vec<PaletteEntry> = self.saved.iter().map(entry).collect();
        for query in self.history.iter().rev() {
            let entry = entry(query);
            if !entries.iter().any(|known| known.text == entry.text) {
                entries.push(entry);
            }
        }
        entries
    }

    /// Shows the prompt for typing.
    pub(crate) fn edit(&mut self, context: &mut Context) -> Vec<Effect> {
        context.go_to(ScreenId::Sql);
        self.typing = true;
        Vec::new()
    }

    fn run(&mut self, context: &mut Context) -> Vec<Effect> {
        let text = self.text();
        let query = text.trim().trim_end_matches(';').trim_end().to_owned();
        if query.is_empty() {
            return Vec::new();
        }
        self.completion = None;
        let query_record = self.remember(text.trim(), context.now);
        let timeout = TIMEOUTS[self.timeout];
        if let Some(grid) = &mut self.grid {
            // The previous rows are shown until the response arrives.
            grid.source = RowSource::Sql(query);
            grid.sort.clear();
            (grid.database, grid.timeout) = (self.database, timeout);
            grid.clear_filters();
        } else {
            let grid = Grid::new(RowSource::Sql(query), Vec::new(), timeout);
            self.grid = Some(Box::new(Grid { database: self.database, ..grid }));
        }
        let mut effects = actions::reload(self, context);
        effects.push(Effect::Remember(query_record));
        effects
    }

    /// Closes the suggestions, or else cancels the query, or else leaves the prompt.
    fn cancel(&mut self, _context: &mut Context) -> Vec<Effect> {
        if self.completion.take().is_some() {
            return Vec::new();
        }
        if let Some(effects) = actions::cancel_pending(self) {
            return effects;
        }
        self.typing = false;
        Vec::new()
    }

    fn step_history(&mut self, earlier: bool) -> Vec<Effect> {
        self.completion = None;
        self.recall(earlier);
        Vec::new()
    }

    pub(crate) fn text(&self) -> String {
        self.editor.lines().join("\n")
    }

    pub(crate) fn set_text(&mut self, text: &str) {
        self.editor = TextArea::new(text.lines().map(str::to_owned).collect());
        self.editor.move_cursor(CursorMove::Bottom);
        self.editor.move_cursor(CursorMove::End);
    }

    /// Adds a query to the history, unless it is already the latest.
    pub(crate) fn remember(&mut self, text: &str, now: Timestamp) -> PastQuery {
        let query = PastQuery { query: text.to_owned(), name: None, at: Some(now) };
        if self.history.last().is_none_or(|last| last.query != text) {
            self.history.push(query.clone());
        }
        let excess = self.history.len().saturating_sub(HISTORY_LIMIT);
        self.history.drain(..excess);
        self.history_position = None;
        query
    }

    /// Recalls the previous or the next query of the history.
    fn recall(&mut self, earlier: bool) {
        let at = match (self.history_position, earlier) {
            (None, true) => self.history.len().checked_sub(1),
            (Some(at), true) => Some(at.saturating_sub(1)),
            (Some(at), false) => Some(at + 1).filter(|at| *at < self.history.len()),
            (None, false) => None,
        };
        let Some(at) = at else { return };
        self.history_position = Some(at);
        self.set_text(&self.history[at].query.clone());
    }

    /// Completes the word before the cursor if there is one suggestion; otherwise opens the list,
    /// or selects its next entry.
    fn complete(&mut self, catalog: Option<&Catalog>) {
        if let Some(completion) = &mut self.completion {
            completion.at = (completion.at + 1) % completion.suggestions.len();
            return;
        }
        let word = self.word_before_cursor();
        let suggestions =
            catalog.map(|catalog| suggestions(catalog, &self.text(), &word)).unwrap_or_default();
        let completion = Completion { suggestions, at: 0, word_length: word.chars().count() };
        match completion.suggestions.len() {
            0 => {}
            1 => {
                self.completion = Some(completion);
                self.accept();
            }
            _ => self.completion = Some(completion),
        }
    }

    /// Replaces the word before the cursor with the selected suggestion.
    fn accept(&mut self) {
        let Some(completion) = self.completion.take() else { return };
        for _ in 0..completion.word_length {
            self.editor.delete_char();
        }
        self.editor.insert_str(&completion.suggestions[completion.at]);
    }

    fn word_before_cursor(&self) -> String {
        let cursor = self.editor.cursor();
        let line = self.editor.lines().get(cursor.0).map(String::as_str).unwrap_or_default();
        let before: Vec<char> = line.chars().take(cursor.1).collect();
        let letters =
            before.iter().rev().take_while(|char| char.is_alphanumeric() || **char == '_').count();
        before[before.len() - letters..].iter().collect()
    }
}

/// Suggests columns of tables in the query, then tables, other columns, and keywords.
fn suggestions(catalog: &Catalog, text: &str, word: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let start = word.to_lowercase();
    let (named, others): (Vec<_>, Vec<_>) =
        catalog.tables.iter().partition(|table| text.contains(&table.name.to_lowercase()));
    let columns = |tables: Vec<&materia::reader::TableInfo>| -> Vec<String> {
        tables
            .into_iter()
            .flat_map(|table| table.columns.iter().map(|column| column.name.clone()))
            .collect()
    };
    let tables = catalog.tables.iter().map(|table| table.name.clone());
    let all = columns(named)
        .into_iter()
        .chain(tables)
        .chain(columns(others))
        .chain(KEYWORDS.iter().map(|word| (*word).to_owned()));
    let mut found = Vec::<String>::new();
    for name in all.filter(|name| name.to_lowercase().starts_with(&start) && *name != word) {
        let name = quote_if_needed(name);
        if !found.contains(&name) {
            found.push(name);
        }
        if found.len() == MAX_SUGGESTIONS {
            break;
        }
    }
    found
}

/// Quotes a name that is not a plain identifier.
fn quote_if_needed(name: String) -> String {
    let plain = name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
        && !name.starts_with(|char: char| char.is_ascii_digit());
    if plain { name } else { materia::sql::ident(&name) }
}
