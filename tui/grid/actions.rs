//! Keys of rows: navigation, sorting, filtering, copying, saving, and requests for rows that scroll
//! into view.

use std::path::PathBuf;

use super::{FilterPredicate, Grid, PageRequest, RowSource, record};
use crate::{
    app::App,
    context::Context,
    keys::{KeyGroup, key},
    layout,
    message::{Effect, Request, Response, SaveJob},
    overlays::{Prompt, statistics},
    screens::Screen,
};

/// Larger than any number of columns, and small enough that adding to it cannot overflow.
const MAX_COLUMN_STEP: isize = isize::MAX / 2;

/// Keys of rows, of an open table or of a query's result.
pub(crate) static GRID_KEYS: KeyGroup = KeyGroup {
    id: "rows",
    title: "Rows",
    bindings: &[
        key("enter", "record", "show the whole row; copy it as JSON, INSERT, CSV", "row", |app| {
            on_grid(app, record::open)
        }),
        key("s", "sort", "sort by this column: up, down, not at all", "sort", |app| {
            on_grid(app, |screen, context| sort(screen, Grid::sort_next, context))
        }),
        key("S", "sort-also", "sort by this column as well", "", |app| {
            on_grid(app, |screen, context| sort(screen, Grid::sort_also, context))
        }),
        key("t", "statistics", "this column's most frequent values, histogram", "", |app| {
            on_grid(app, |screen, context| {
                let column = screen.grid().map_or(0, |(grid, _)| grid.column);
                statistics::open(screen, column, context)
            })
        }),
        key("f", "filter-value", "only rows with this value", "filter value", |app| {
            on_grid(app, filter_by_cell)
        }),
        key("/", "filter", "only rows that have ... in this column", "filter", open_filter),
        key("x", "clear-filters", "clear filters", "", |app| on_grid(app, clear_filters)),
        key("c", "go-to-column", "go to a column by its name", "", |app| {
            let prompt = Prompt::new("go to column: ", "", |app, text| {
                if go_to_column(app, text) { Ok(Vec::new()) } else { Err("no match".to_owned()) }
            });
            app.context.open_prompt(prompt)
        }),
        key("-", "hide-column", "hide the column", "", |app| {
            on_grid(app, |screen, context| {
                let space = available_width(screen, context);
                if let Some((grid, _)) = screen.grid() {
                    grid.hide_column(space);
                }
                Vec::new()
            })
        }),
        key("+", "show-columns", "show hidden columns again", "", |app| {
            on_grid(app, |screen, _| {
                if let Some((grid, _)) = screen.grid() {
                    grid.view.hidden.clear();
                }
                Vec::new()
            })
        }),
        key("F", "freeze", "keep the columns up to here in view, or none", "", |app| {
            on_grid(app, |screen, context| {
                let space = available_width(screen, context);
                let frozen = screen.grid().map(|(grid, _)| grid.toggle_freeze(space));
                if let Some(Err(error)) = frozen {
                    context.show_toast(false, error);
                }
                Vec::new()
            })
        }),
        key(">", "widen", "make the column wider", "", |app| resize_column(app, 1)),
        key("<", "narrow", "make the column narrower", "", |app| resize_column(app, -1)),
        key("#", "go-to-row", "go to a row by its number", "", |app| {
            app.context.open_prompt(Prompt::new("go to row: ", "", go_to_row))
        }),
        key("y", "copy", "copy the value", "copy", |app| on_grid(app, copy_cell)),
        key("Y", "copy-row", "copy the row, tab-separated", "", |app| on_grid(app, copy_row)),
        key("w", "save", "save these rows as CSV or Parquet", "save", open_save),
        key("tab", "switch-focus", "go to the columns, or to the prompt", "", |app| {
            on_grid(app, |screen, context| {
                screen.leave_grid();
                screen.move_cursor(0, context)
            })
        })
        .navigation(),
        key("h left", "column-left", "column to the left", "", |app| move_column(app, -1))
            .navigation(),
        key("l right", "column-right", "column to the right", "", |app| move_column(app, 1))
            .navigation(),
        key("0 home", "first-column", "first column", "", |app| move_column(app, -MAX_COLUMN_STEP))
            .navigation(),
        key("$ end", "last-column", "last column", "", |app| move_column(app, MAX_COLUMN_STEP))
            .navigation(),
        key("i", "edit", "type in the SQL prompt", "", |app| app.sql.edit(&mut app.context)),
        key("e", "editor", "edit the query in $EDITOR", "", |app| {
            vec![Effect::EditQuery(app.sql.text())]
        }),
        key(
            "esc backspace",
            "back",
            "stop what is loading or being saved, or go back",
            "back",
            App::close,
        )
        .navigation(),
    ],
};

/// Runs an action with the visible screen.
fn on_grid(app: &mut App, action: fn(&mut dyn Screen, &mut Context) -> Vec<Effect>) -> Vec<Effect> {
    let (screen, context) = app.visible_mut();
    action(screen, context)
}

/// Returns the number of rows in view.
fn height(screen: &dyn Screen, context: &Context) -> usize {
    usize::from(layout::list(screen.grid_area(context))[1].height).max(1)
}

/// Returns the width of the area without the row numbers.
fn available_width(screen: &mut dyn Screen, context: &Context) -> usize {
    let width = usize::from(screen.grid_area(context).width);
    screen.grid().map_or(width, |(grid, _)| width.saturating_sub(layout::gutter(grid.len())))
}

/// Moves the cursor by rows, and requests those that scroll into view.
pub(crate) fn move_cursor(
    screen: &mut dyn Screen,
    by: isize,
    context: &mut Context,
) -> Vec<Effect> {
    let height = height(screen, context);
    let Some((grid, _)) = screen.grid() else { return Vec::new() };
    let len = grid.len();
    grid.cursor.move_by(by, len, height);
    load(screen, context)
}

fn move_to(screen: &mut dyn Screen, row: usize, context: &mut Context) -> Vec<Effect> {
    let height = height(screen, context);
    let Some((grid, _)) = screen.grid() else { return Vec::new() };
    let len = grid.len();
    grid.cursor.move_to(row, len, height);
    load(screen, context)
}

fn go_to_row(app: &mut App, text: &str) -> Result<Vec<Effect>, String> {
    match text.replace([',', '_', ' '], "").parse::<usize>() {
        Ok(row) if row > 0 => {
            let (screen, context) = app.visible_mut();
            Ok(move_to(screen, row - 1, context))
        }
        _ => Err("a number from 1".to_owned()),
    }
}

/// Selects the first column whose name contains the text, ignoring case; returns whether there is
/// one.
fn go_to_column(app: &mut App, text: &str) -> bool {
    let (screen, context) = app.visible_mut();
    let space = available_width(screen, context);
    let Some((grid, _)) = screen.grid() else { return false };
    let wanted = text.to_lowercase();
    // The next column with the same text, wrapping around.
    let len = grid.columns.len();
    let order = (1..=len).map(|by| (grid.column + by) % len);
    let is_match = |at: &usize| grid.columns[*at].name.to_lowercase().contains(&wanted);
    match order.into_iter().find(is_match) {
        Some(column) => {
            grid.move_to_column(column, space);
            true
        }
        None => false,
    }
}

fn move_column(app: &mut App, by: isize) -> Vec<Effect> {
    let (screen, context) = app.visible_mut();
    let space = available_width(screen, context);
    if let Some((grid, _)) = screen.grid() {
        grid.step_column(by, space);
    }
    Vec::new()
}

fn resize_column(app: &mut App, by: isize) -> Vec<Effect> {
    let (screen, context) = app.visible_mut();
    let space = available_width(screen, context);
    if let Some((grid, _)) = screen.grid() {
        grid.resize_column(by, space);
    }
    Vec::new()
}

pub(crate) fn click_cell(
    screen: &mut dyn Screen,
    (row, column): (usize, usize),
    context: &mut Context,
) -> Vec<Effect> {
    let space = available_width(screen, context);
    screen.focus_grid();
    if let Some((grid, _)) = screen.grid() {
        grid.move_to_column(column, space);
    }
    move_to(screen, row, context)
}

/// Selects a column and sorts by it.
pub(crate) fn click_heading(
    screen: &mut dyn Screen,
    column: usize,
    context: &mut Context,
) -> Vec<Effect> {
    let space = available_width(screen, context);
    if let Some((grid, _)) = screen.grid() {
        grid.move_to_column(column, space);
    }
    sort(screen, Grid::sort_next, context)
}

/// Requests the rows in view that are not loaded.
pub(crate) fn load(screen: &mut dyn Screen, context: &mut Context) -> Vec<Effect> {
    let height = height(screen, context);
    let page = screen.grid().and_then(|(grid, _)| grid.missing_page(height));
    page.map(|page| request(screen, page, context)).unwrap_or_default()
}

/// Requests the view from its first row after its order or its filters changed.
pub(crate) fn reload(screen: &mut dyn Screen, context: &mut Context) -> Vec<Effect> {
    let page = screen.grid().map(|(grid, _)| {
        let page = grid.first_page();
        grid.rewind();
        page
    });
    page.map(|page| request(screen, page, context)).unwrap_or_default()
}

/// Requests a page, replacing a pending request.
pub(crate) fn request(
    screen: &mut dyn Screen,
    page: PageRequest,
    context: &mut Context,
) -> Vec<Effect> {
    let (request_id, now) = (context.next_request_id(), context.now);
    let Some((grid, channel)) = screen.grid() else { return Vec::new() };
    grid.set_pending(request_id, &page, now);
    vec![Effect::Request { channel, request_id, request: Request::Page(page) }]
}

/// Handles the response to a request for rows, and requests rows that are now in view.
pub(crate) fn receive(
    screen: &mut dyn Screen,
    request_id: u64,
    response: Result<Response, String>,
    context: &mut Context,
) -> Vec<Effect> {
    let page = response.and_then(|response| match response {
        Response::Page(page) => Ok(page),
        _ => Err("the response does not match the request".to_owned()),
    });
    let loaded = page.is_ok();
    let Some((grid, _)) = screen.grid() else { return Vec::new() };
    if grid.receive(request_id, page) && loaded {
        move_cursor(screen, 0, context)
    } else {
        Vec::new()
    }
}

fn sort(screen: &mut dyn Screen, change: fn(&mut Grid), context: &mut Context) -> Vec<Effect> {
    if let Some((grid, _)) = screen.grid() {
        change(grid);
    }
    reload(screen, context)
}

fn filter_by_cell(screen: &mut dyn Screen, context: &mut Context) -> Vec<Effect> {
    let Some((grid, _)) = screen.grid() else { return Vec::new() };
    let Some(value) = grid.cell().map(|cell| cell.map(str::to_owned)) else { return Vec::new() };
    grid.filter(FilterPredicate::Equals(value));
    reload(screen, context)
}

/// Shows only rows with this value in this column.
pub(crate) fn filter_by(
    screen: &mut dyn Screen,
    column: &str,
    value: Option<String>,
    context: &mut Context,
) -> Vec<Effect> {
    let space = available_width(screen, context);
    screen.focus_grid();
    let Some((grid, _)) = screen.grid() else { return Vec::new() };
    let Some(at) = grid.columns.iter().position(|known| known.name == column) else {
        return Vec::new();
    };
    grid.move_to_column(at, space);
    grid.filter(FilterPredicate::Equals(value));
    reload(screen, context)
}

fn open_filter(app: &mut App) -> Vec<Effect> {
    let (screen, context) = app.visible_mut();
    let column = screen
        .grid()
        .and_then(|(grid, _)| grid.columns.get(grid.column))
        .map(|column| column.name.clone())
        .unwrap_or_default();
    context.open_prompt(Prompt::new(format!("{column} has: "), "", |app, text| {
        let (screen, context) = app.visible_mut();
        if text.is_empty() {
            return Ok(clear_filters(screen, context));
        }
        if let Some((grid, _)) = screen.grid() {
            grid.filter(FilterPredicate::Contains(text.to_owned()));
        }
        Ok(reload(screen, context))
    }))
}

fn clear_filters(screen: &mut dyn Screen, context: &mut Context) -> Vec<Effect> {
    match screen.grid() {
        Some((grid, _)) if !grid.filters.is_empty() => {
            grid.clear_filters();
            reload(screen, context)
        }
        _ => Vec::new(),
    }
}

fn copy_cell(screen: &mut dyn Screen, context: &mut Context) -> Vec<Effect> {
    let value = screen
        .grid()
        .and_then(|(grid, _)| grid.cell().map(|cell| cell.unwrap_or_default().to_owned()));
    let Some(value) = value else { return Vec::new() };
    context.show_toast(true, "copied the value");
    vec![Effect::Copy(value)]
}

fn copy_row(screen: &mut dyn Screen, context: &mut Context) -> Vec<Effect> {
    let row = screen.grid().and_then(|(grid, _)| {
        let row = grid.row(grid.cursor.at)?;
        // Separators of values and rows must not be part of them.
        let cell = |cell: &Option<String>| {
            cell.as_deref().unwrap_or_default().replace(['\t', '\n', '\r'], " ")
        };
        Some(row.iter().map(cell).collect::<Vec<_>>().join("\t"))
    });
    let Some(row) = row else { return Vec::new() };
    context.show_toast(true, "copied the row");
    vec![Effect::Copy(row)]
}

fn open_save(app: &mut App) -> Vec<Effect> {
    let (screen, context) = app.visible_mut();
    let Some((grid, _)) = screen.grid() else { return Vec::new() };
    if grid.columns.is_empty() {
        return Vec::new();
    }
    let name = match &grid.source {
        RowSource::Table { name, .. } => format!("{}.csv", name.replace(['/', '\0'], "_")),
        RowSource::Sql(_) => "result.csv".to_owned(),
    };
    context.open_prompt(Prompt::new("save as (.csv or .parquet): ", &name, save))
}

fn save(app: &mut App, text: &str) -> Result<Vec<Effect>, String> {
    let path = PathBuf::from(text.trim());
    let is_known =
        path.extension().is_some_and(|extension| extension == "csv" || extension == "parquet");
    if !is_known {
        return Err("end the name in .csv or .parquet".to_owned());
    }
    let (screen, context) = app.visible_mut();
    let Some((grid, _)) = screen.grid() else { return Ok(Vec::new()) };
    if context.saving.is_some() {
        context.show_toast(false, "another save is still running");
        return Ok(Vec::new());
    }
    context.saving = Some(0);
    Ok(vec![Effect::Save(SaveJob { page: grid.first_page(), path, overwrite: false })])
}

/// Cancels the pending page of the rows, if there is one.
pub(crate) fn cancel_pending(screen: &mut dyn Screen) -> Option<Vec<Effect>> {
    let (grid, channel) = screen.grid()?;
    grid.pending.take()?;
    grid.error = Some("stopped".to_owned());
    Some(vec![Effect::Cancel(channel)])
}
