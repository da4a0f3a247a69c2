//! `/tables/{name}/change`: what the forms of the explorer send, turned into the address that says it.

use axum::{
    extract::{Path, RawQuery},
    response::Redirect,
};
use materia::tables::quoted;

use crate::web::{data::State, error::WebError};

/// Longer states are none of ours.
const LONGEST: usize = 8_192;

/// Adds a filter, or chooses columns, and goes to where that is shown. What makes no sense is told there.
pub(crate) async fn change(Path(name): Path<String>, query: RawQuery) -> Result<Redirect, WebError> {
    let sent = super::state(&query);
    let state = State::parse(sent.get("state").unwrap_or_default());
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20");
    let state = match sent.get("what") {
        Some("filter") => filtered(&state, &sent)?,
        Some("columns") => {
            let chosen: Vec<_> = sent.0.iter().filter(|(name, _)| name == "column").map(|(_, column)| quoted_in_list(column)).collect();
            let all = sent.get("all").and_then(|all| all.parse().ok()) == Some(chosen.len());
            state.with("select", Some(chosen.join(",").as_str()).filter(|chosen| !chosen.is_empty() && !all))
        }
        _ => return Err(WebError::BadRequest("The form was not understood. Go back and try again.".to_owned())),
    };
    let address = state.address(&format!("/tables/{name}"));
    if address.len() > LONGEST {
        Err(WebError::BadRequest("That is too much for one address. Use fewer filters.".to_owned()))
    } else {
        Ok(Redirect::to(&address))
    }
}

fn filtered(state: &State, sent: &State) -> Result<State, WebError> {
    let (column, operator) =
        sent.get("column").zip(sent.get("operator")).ok_or_else(|| WebError::BadRequest("Choose a column.".to_owned()))?;
    let value = sent.get("value").unwrap_or_default().trim();
    let test = match operator {
        "null" => "is.null".to_owned(),
        "not-null" => "not.is.null".to_owned(),
        // One of several: as people write a list.
        "in" => format!("in.({})", value.replace(", ", ",")),
        operator => format!("{operator}.{value}"),
    };
    Ok(state.with_filter(column, &test))
}

/// A column's name in `select`.
fn quoted_in_list(column: &str) -> String {
    // A name that another parameter has needs no quotes here, and does no harm with them.
    quoted(column)
}
