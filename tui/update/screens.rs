//! What is particular to single screens.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::{height, moves, prompt, rows};
use crate::tui::{
    message::{Effect, Lane, Question, TIMES},
    state::{
        PromptKind, Screen, State, edit_line,
        grid::{From, Grid, GridColumn},
        history::Open,
        list::Cursor,
        tables::{ColumnRow, Opened, TableSort},
    },
};

/// Catalogs up to this size are measured whole; of larger ones, what is in view.
const MEASURED_WHOLE: usize = 200;

/// Asks for the bytes of tables that are in view and not known.
pub(super) fn measure(state: &mut State) -> Vec<Effect> {
    let height = height(state);
    let tables = &state.tables;
    if tables.measuring.is_some() || tables.open.is_some() {
        return Vec::new();
    }
    let view = tables.cursor.view(tables.shown.len(), height);
    let all = tables.rows.len() <= MEASURED_WHOLE || tables.sort == TableSort::Bytes;
    let looked_at = if all { &tables.shown[..] } else { &tables.shown[view] };
    let unknown: Vec<_> =
        looked_at.iter().map(|index| &tables.rows[*index]).filter(|row| row.bytes.is_none()).map(|row| row.name.clone()).collect();
    if unknown.is_empty() {
        return Vec::new();
    }
    let request = state.request();
    state.tables.measuring = Some(request);
    vec![Effect::Ask { lane: Lane::Bytes, request, question: Question::Bytes(unknown) }]
}

/// Starts reading the logs when they are looked at first.
pub(super) fn start_logs(state: &mut State) -> Vec<Effect> {
    if state.logs.started || state.logs.logs.is_empty() {
        return Vec::new();
    }
    state.logs.started = true;
    vec![Effect::Tail(state.logs.logs.iter().map(|log| log.name.clone()).collect())]
}

pub(super) fn open(state: &mut State) -> Vec<Effect> {
    match state.screen {
        Screen::Tables if state.tables.open.is_none() => {
            let name = state.tables.current().map(|row| row.name.clone());
            name.map(|name| open_table(state, &name)).unwrap_or_default()
        }
        Screen::History if state.history.open.is_none() => {
            let id = state.status().and_then(|status| state.history.current(status)).map(|record| record.id.clone());
            state.history.open = id.map(Open::Attempt);
            state.history.scroll = 0;
            Vec::new()
        }
        Screen::Now => {
            let id = state.status().and_then(|status| status.last_attempt()).map(|record| record.id.clone());
            if let Some(id) = id {
                state.screen = Screen::History;
                state.history.cursor = Cursor::default();
                state.history.open = Some(Open::Attempt(id));
                state.history.scroll = 0;
            }
            Vec::new()
        }
        _ => Vec::new(),
    }
}

/// Opens a table: its rows at once, what is in its columns as it becomes known.
pub(super) fn open_table(state: &mut State, name: &str) -> Vec<Effect> {
    let Some(catalog) = state.served.catalog.clone() else { return Vec::new() };
    let Some(table) = catalog.tables.iter().find(|table| table.name == name) else {
        state.say(false, format!("{name} is not served any more"));
        return Vec::new();
    };
    let column = |info: &materia::reader::ColumnInfo| GridColumn {
        name: info.name.clone(),
        data_type: info.data_type.clone(),
        numeric: false,
        width: crate::tui::text::width(&info.name, 40),
    };
    let from = From::Table { name: table.name.clone(), rows: usize::try_from(table.rows).unwrap_or(usize::MAX) };
    let grid = Grid::new(from, table.columns.iter().map(column).collect(), TIMES[0]);
    let request = state.request();
    state.screen = Screen::Tables;
    state.tables.open = Some(Box::new(Opened {
        name: table.name.clone(),
        comment: table.comment.clone().unwrap_or_default(),
        rows: table.rows,
        columns: table.columns.iter().map(|info| ColumnRow { info: info.clone(), profile: None }).collect(),
        cursor: Cursor::default(),
        grid,
        on_rows: true,
        profiling: Some(request),
    }));
    let question = Question::Profile { table: table.name.clone(), rows: table.rows, columns: table.columns.clone() };
    let mut effects = rows::again(state);
    effects.push(Effect::Ask { lane: Lane::Profile, request, question });
    effects
}

/// Asks again about the table that is open, in a generation that has come since.
pub(super) fn refresh_open(state: &mut State) -> Vec<Effect> {
    let (Some(catalog), Some(mut open)) = (state.served.catalog.clone(), state.tables.open.take()) else { return Vec::new() };
    let Some(table) = catalog.tables.iter().find(|table| table.name == open.name) else {
        state.say(false, format!("{} is not served any more", open.name));
        return vec![Effect::Stop(Lane::Rows), Effect::Stop(Lane::Profile)];
    };
    let request = state.request();
    open.rows = table.rows;
    open.comment = table.comment.clone().unwrap_or_default();
    open.columns = table
        .columns
        .iter()
        .map(|info| {
            // What was known stays in view until it is known anew.
            let before = open.columns.iter_mut().find(|column| column.info == *info);
            ColumnRow { info: info.clone(), profile: before.and_then(|column| column.profile.take()) }
        })
        .collect();
    open.profiling = Some(request);
    let rows = usize::try_from(table.rows).unwrap_or(usize::MAX);
    open.grid.from = From::Table { name: table.name.clone(), rows };
    let known = |name: &str| table.columns.iter().any(|column| column.name == name);
    open.grid.filters.retain(|filter| known(&filter.column));
    open.grid.sort = open.grid.sort.take().filter(|sort| known(&sort.column));
    open.grid.total = open.grid.filters.is_empty().then_some(rows);
    let ask = open.grid.around();
    let rows_request = state.request();
    open.grid.asking(rows_request, &ask);
    state.tables.open = Some(open);
    vec![
        Effect::Ask { lane: Lane::Rows, request: rows_request, question: Question::Page(ask) },
        Effect::Ask {
            lane: Lane::Profile,
            request,
            question: Question::Profile { table: table.name.clone(), rows: table.rows, columns: table.columns.clone() },
        },
    ]
}

pub(super) fn back(state: &mut State) -> Vec<Effect> {
    if let Some(lane) = state.busy_lane() {
        if let Some((grid, _)) = rows::shown(state) {
            grid.asked = None;
            grid.problem = Some("stopped".to_owned());
        }
        return vec![Effect::Stop(lane)];
    }
    if state.saving.is_some() {
        return vec![Effect::StopSaving];
    }
    match state.screen {
        Screen::Tables => {
            state.tables.open = None;
            let mut effects = vec![Effect::Stop(Lane::Rows), Effect::Stop(Lane::Profile)];
            effects.extend(measure(state));
            effects
        }
        Screen::History => {
            state.history.open = None;
            Vec::new()
        }
        Screen::Sql => {
            state.sql.typing = true;
            Vec::new()
        }
        _ => Vec::new(),
    }
}

/// From the rows to the columns and back; from the answer to the prompt.
pub(super) fn other(state: &mut State) -> Vec<Effect> {
    match (state.screen, &mut state.tables.open) {
        (Screen::Sql, _) => state.sql.typing = true,
        (Screen::Tables, Some(open)) => open.on_rows = !open.on_rows,
        _ => {}
    }
    moves::step(state, 0)
}

pub(super) fn filter(state: &mut State) -> Vec<Effect> {
    match state.screen {
        Screen::Logs => {
            let search = state.logs.search.clone();
            prompt(state, PromptKind::SearchLogs, &search)
        }
        Screen::Tables if state.tables.open.is_none() => {
            let filter = state.tables.filter.clone();
            prompt(state, PromptKind::FilterTables, &filter)
        }
        _ => prompt(state, PromptKind::FilterRows, ""),
    }
}

pub(super) fn clear_filters(state: &mut State) -> Vec<Effect> {
    match state.screen {
        Screen::Logs => {
            state.logs.search.clear();
            state.logs.logs.iter_mut().for_each(|log| log.found = None);
            Vec::new()
        }
        Screen::Tables if state.tables.open.is_none() => filter_tables(state, ""),
        _ => rows::clear_filters(state),
    }
}

pub(super) fn filter_tables(state: &mut State, filter: &str) -> Vec<Effect> {
    filter.clone_into(&mut state.tables.filter);
    state.tables.arrange();
    moves::step(state, 0)
}

pub(super) fn sort_next(state: &mut State) -> Vec<Effect> {
    if state.screen != Screen::Tables || state.tables.open.is_some() {
        return rows::sort(state);
    }
    let at = TableSort::ALL.iter().position(|sort| *sort == state.tables.sort).unwrap_or_default();
    sort_tables(state, TableSort::ALL[(at + 1) % TableSort::ALL.len()])
}

fn sort_tables(state: &mut State, sort: TableSort) -> Vec<Effect> {
    state.tables.descending = if state.tables.sort == sort { !state.tables.descending } else { sort.starts_descending() };
    state.tables.sort = sort;
    state.tables.arrange();
    moves::step(state, 0)
}

pub(super) fn sort_reverse(state: &mut State) -> Vec<Effect> {
    let sort = state.tables.sort;
    sort_tables(state, sort)
}

pub(super) fn copy(state: &mut State) -> Vec<Effect> {
    let text = match state.screen {
        Screen::Tables => match &state.tables.open {
            None => state.tables.current().map(|row| row.name.clone()),
            Some(open) if !open.on_rows => open.columns.get(open.cursor.at).map(|column| column.info.name.clone()),
            Some(_) => return rows::copy_cell(state),
        },
        Screen::History => state.status().and_then(|status| state.history.subject(status)).map(|record| record.id.to_string()),
        _ => return rows::copy_cell(state),
    };
    let Some(text) = text else { return Vec::new() };
    state.say(true, format!("copied {text}"));
    vec![Effect::Copy(text)]
}

/// A line was clicked: goes there, and opens it where one was there already.
pub(super) fn click_line(state: &mut State, line: usize) -> Vec<Effect> {
    let height = height(state);
    let (cursor, len) = match (state.screen, &mut state.tables.open) {
        (Screen::Tables, Some(open)) => {
            open.on_rows = false;
            (&mut open.cursor, open.columns.len())
        }
        (Screen::Tables, None) => (&mut state.tables.cursor, state.tables.shown.len()),
        (Screen::History, _) => (&mut state.history.cursor, state.overview.status.as_ref().map_or(0, |status| status.history.len())),
        _ => return Vec::new(),
    };
    if cursor.at == line {
        return open(state);
    }
    cursor.to(line, len, height);
    moves::step(state, 0)
}

pub(super) fn click_heading(state: &mut State, column: usize) -> Vec<Effect> {
    match (state.screen, &state.tables.open) {
        (Screen::Tables, None) => TableSort::ALL.get(column).map(|sort| sort_tables(state, *sort)).unwrap_or_default(),
        _ => rows::sort_by(state, column),
    }
}

/// A key in the SQL prompt that is not in the table: text.
pub(super) fn type_sql(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    let sql = &mut state.sql;
    if sql.completion.is_some() {
        match key.code {
            KeyCode::Enter => {
                sql.accept();
                return Vec::new();
            }
            KeyCode::Down | KeyCode::Up => {
                if let Some(completion) = &mut sql.completion {
                    let of = completion.choices.len();
                    let by = if key.code == KeyCode::Down { 1 } else { of - 1 };
                    completion.at = (completion.at + by) % of;
                }
                return Vec::new();
            }
            _ => sql.completion = None,
        }
    }
    if key.code == KeyCode::Enter && key.modifiers.is_empty() && sql.text().trim_end().ends_with(';') {
        return run_sql(state);
    }
    let (line, lines) = (sql.editor.cursor().0, sql.editor.lines().len());
    match key.code {
        KeyCode::Up if line == 0 => sql.recall(true),
        KeyCode::Down if line + 1 == lines && sql.recalled.is_some() => sql.recall(false),
        KeyCode::F(number) if (1..=6).contains(&number) => {}
        _ => {
            edit_line(&mut sql.editor, key);
        }
    }
    Vec::new()
}

pub(super) fn run_sql(state: &mut State) -> Vec<Effect> {
    let text = state.sql.text();
    let query = text.trim().trim_end_matches(';').trim_end().to_owned();
    if query.is_empty() {
        return Vec::new();
    }
    state.sql.completion = None;
    state.sql.remember(text.trim());
    let time = TIMES[state.sql.time];
    match &mut state.sql.grid {
        // The former answer stays in view until this one comes.
        Some(grid) => {
            grid.from = From::Sql(query);
            (grid.sort, grid.time) = (None, time);
            grid.clear_filters();
        }
        None => state.sql.grid = Some(Box::new(Grid::new(From::Sql(query), Vec::new(), time))),
    }
    let mut effects = rows::again(state);
    effects.push(Effect::Remember(text.trim().to_owned()));
    effects
}

pub(super) fn cancel_sql(state: &mut State) -> Vec<Effect> {
    if state.sql.completion.take().is_some() {
        return Vec::new();
    }
    if state.busy_lane().is_some() {
        return back(state);
    }
    state.sql.typing = false;
    Vec::new()
}
