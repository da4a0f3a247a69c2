//! `/tables` and what is below it: what there is, rows to look at, what is in each column, files to take away. The address is the state.

mod change;
mod columns;
mod list;
mod rows;
mod view;

use std::sync::Arc;

use axum::{extract::RawQuery, http::StatusCode};
use materia::{
    dashboard::title_of,
    plan::Plan,
    reader::{Pin, ReaderError, TableInfo},
    tables::{
        AskError, Asked, Bounds, Mistake,
        access::{self, Access, Seen},
    },
};

pub(crate) use self::{
    change::change,
    columns::columns,
    list::list,
    rows::{download, rows},
    view::{Frame, Locked, RowsPage},
};
#[cfg(test)]
pub(crate) use self::{list::List, view::Shown};
use crate::web::{
    app::App,
    data::State,
    error::WebError,
    page::{Page, Place},
};

/// Rows on one page.
const ON_A_PAGE: u64 = 50;

/// The table that an address names, as the viewer's plan sees it.
async fn seen(app: &App, pin: &Pin, name: &str, plan: Plan) -> Result<Seen, WebError> {
    access::table(pin, &app.settings.tables, name, plan).await?.ok_or(WebError::NotFound)
}

/// What an address asks of a table, or what is wrong with it.
async fn asked(pin: &Pin, seen: &Seen, state: &State) -> Result<Result<Asked, Mistake>, ReaderError> {
    let shown = State(state.0.iter().filter(|(name, _)| name != "format" && name != "safe").cloned().collect());
    let mut asked = match Asked::parse(&seen.table, &shown.0, Bounds { usual: ON_A_PAGE, most: ON_A_PAGE }) {
        Ok(asked) => asked,
        Err(mistake) => return Ok(Err(mistake)),
    };
    asked.query.since = seen.access.since();
    match asked.query.check(pin).await {
        Ok(()) => Ok(Ok(asked)),
        Err(AskError::Mistake(mistake)) => Ok(Err(mistake)),
        Err(AskError::Reader(error)) => Err(error),
    }
}

/// What a plan does not see of a table, in words.
fn limited(access: Access, plan: Plan) -> Option<String> {
    match access {
        Access::Last { years, .. } => Some(format!("The {plan} plan shows the last {years} years")),
        Access::All | Access::Locked(_) => None,
    }
}

fn state(query: &RawQuery) -> State {
    State::parse(query.0.as_deref().unwrap_or_default())
}

/// Where a table is shown.
fn path(table: &TableInfo) -> String {
    let name: String = url::form_urlencoded::byte_serialize(table.name.as_bytes()).collect::<String>().replace('+', "%20");
    format!("/tables/{name}")
}

/// The page of a table that a larger plan has.
fn locked(seen: &Seen, state: State, plan: Plan, needed: Plan) -> Page {
    let view = Locked { frame: frame(seen, state, plan), plan: needed };
    Page::new(title_of(&seen.table.name), Place::Tables, &view).with_status(StatusCode::FORBIDDEN)
}

/// The table and how it is seen, for every page about it.
fn frame(seen: &Seen, state: State, plan: Plan) -> Frame {
    Frame { table: Arc::clone(&seen.table), path: path(&seen.table), limited: limited(seen.access, plan), state }
}
