//! Facets of the rows' page: the values of each column with few of them, with their numbers of
//! rows, as links that filter.

use futures_util::future::join_all;
use materia::{
    reader::Pin,
    tables::{TableQuery, TypeClass},
};
use maud::{Markup, html};

use super::{TableFrame, columns::counted_list};
use crate::data::{self, ValueCount};

/// Columns with facets; more would not be looked through.
const MAX_FACETS: usize = 6;
/// Values of a facet; a column with more has none.
const MAX_VALUES: usize = 12;
/// In larger tables, rows are not counted, since every filter would have to read all of them again
/// for each facet.
const MAX_ROWS: u64 = 1_000_000;

/// The values of a column.
pub(crate) struct Facet {
    /// The index of the column.
    pub(crate) column: usize,
    /// The values with the numbers of rows that match the filters of the other columns.
    pub(crate) values: Vec<ValueCount>,
}

/// Returns the facets of a table. `suggestions` are values of its columns with texts.
pub(super) async fn facets(
    pin: &Pin,
    query: &TableQuery,
    suggestions: &[(usize, Vec<String>)],
) -> Vec<Facet> {
    if query.table.rows > MAX_ROWS {
        return Vec::new();
    }
    // The sample tells cheaply which columns have too many values.
    let has_few = |at: usize| {
        suggestions
            .iter()
            .any(|(column, values)| *column == at && (2..=MAX_VALUES).contains(&values.len()))
    };
    let columns = query.table.columns.iter().enumerate().filter(|(at, column)| {
        TypeClass::of(&column.data_type) == TypeClass::Boolean || has_few(*at)
    });
    let counted = columns.take(MAX_FACETS).map(|(at, _)| {
        let others = query.filters.iter().filter(|filter| filter.column != at).cloned();
        let one = TableQuery {
            columns: vec![at],
            filters: others.collect(),
            order: Vec::new(),
            ..query.clone()
        };
        async move {
            let values = data::counted_values(pin, &one, MAX_VALUES + 1).await;
            Facet { column: at, values }
        }
    });
    let all = join_all(counted).await;
    all.into_iter().filter(|facet| (2..=MAX_VALUES).contains(&facet.values.len())).collect()
}

/// Renders the facets, open while one of them filters.
pub(super) fn render(frame: &TableFrame, facets: &[Facet]) -> Markup {
    let named: Vec<_> = facets
        .iter()
        .filter_map(|facet| {
            let name = &frame.table.columns.get(facet.column)?.name;
            Some((name, frame.column_title(name), facet))
        })
        .collect();
    let titles: Vec<&str> = named.iter().map(|(_, title, _)| title.as_str()).collect();
    let is_open = named.iter().any(|(name, _, _)| frame.state.filters_column(name));
    html! {
        @if !named.is_empty() {
            details.refine open[is_open] {
                summary { "Narrow down by value" " " span.note { (titles.join(", ")) } }
                div {
                    @for (name, title, facet) in &named {
                        div { h2 { (title) } (values(frame, name, &facet.values)) }
                    }
                }
            }
        }
    }
}

/// Renders the values of a column: each link selects one instead of another, the link of a selected
/// value selects all.
fn values(frame: &TableFrame, column: &str, values: &[ValueCount]) -> Markup {
    counted_list(values, |text, filter| {
        let is_selected = frame.state.has_filter(column, filter);
        let state = frame.state.with_only_filter(column, (!is_selected).then_some(filter));
        html! {
            a href=(state.url(&frame.path)) aria-current=[is_selected.then_some("true")] {
                @match text { Some("") => "empty text", Some(text) => (text), None => "missing" }
            }
        }
    })
}
