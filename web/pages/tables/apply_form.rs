//! `/tables/{name}/change`: redirects from the explorer's forms to the URL with their state.

use axum::{
    extract::{Path, RawQuery},
    response::Redirect,
};
use materia::tables::quoted;

use crate::{data::ExplorerParams, error::WebError};

/// Longest address that a form may lead to.
const MAX_LEN: usize = 8_192;

/// Adds a filter or selects columns, and redirects to the result. Invalid values are reported
/// there.
pub(crate) async fn apply_form(
    Path(name): Path<String>,
    query: RawQuery,
) -> Result<Redirect, WebError> {
    let form = super::explorer_params(&query);
    let state = ExplorerParams::parse(form.get("state").unwrap_or_default());
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes())
        .collect::<String>()
        .replace('+', "%20");
    let state = match form.get("what") {
        Some("filter") => add_filter(&state, &form)?,
        Some("columns") => {
            let chosen: Vec<_> = form
                .0
                .iter()
                .filter(|(name, _)| name == "column")
                .map(|(_, column)| quoted_in_list(column))
                .collect();
            let all = form.get("all").and_then(|all| all.parse().ok()) == Some(chosen.len());
            state.with(
                "select",
                Some(chosen.join(",").as_str()).filter(|chosen| !chosen.is_empty() && !all),
            )
        }
        _ => {
            return Err(WebError::BadRequest(
                "The form is invalid. Go back and try again.".to_owned(),
            ));
        }
    };
    let address = state.url(&format!("/tables/{name}"));
    if address.len() > MAX_LEN {
        Err(WebError::BadRequest(
            "There are too many filters for one address. Use fewer.".to_owned(),
        ))
    } else {
        Ok(Redirect::to(&address))
    }
}

fn add_filter(state: &ExplorerParams, form: &ExplorerParams) -> Result<ExplorerParams, WebError> {
    let (column, operator) = form
        .get("column")
        .zip(form.get("operator"))
        .ok_or_else(|| WebError::BadRequest("Choose a column.".to_owned()))?;
    let value = form.get("value").unwrap_or_default().trim();
    let test = match operator {
        "null" => "is.null".to_owned(),
        "not-null" => "not.is.null".to_owned(),
        // Accepts a list with spaces after its commas.
        "in" => format!("in.({})", value.replace(", ", ",")),
        operator => format!("{operator}.{value}"),
    };
    Ok(state.with_filter(column, &test))
}

/// Quotes a column's name for `select`.
fn quoted_in_list(column: &str) -> String {
    // Quotes are only required for names of other parameters, and harmless otherwise.
    quoted(column)
}
