//! The figures of one panel, as rows for files and programs.

use std::sync::Arc;

use duckdb::arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray},
    error::ArrowError,
};

use super::{
    FilterData, FilterParams, bounded, evaluate,
    filters::ResolvedFilter,
    kinds::{Chart, Content, Table, Visualization},
    limits::Notes,
    model::{Dashboard, Panel},
    parameters,
    rows::ResultRows,
};
use crate::{
    plan::Plan,
    reader::Pin,
    values::{DuckType, Field},
};

/// The data behind a panel: its columns with their stored values, neither rounded nor summed.
#[derive(Debug, Clone, PartialEq)]
pub struct PanelFigures {
    pub fields: Vec<Field>,
    /// The rows, in the order of the panel's query.
    pub batches: Vec<RecordBatch>,
    /// The dashboard's filters and their selection.
    pub filters: Vec<FilterData>,
    /// Omissions due to the amount of data, in sentences.
    pub notes: Vec<String>,
}

/// Why a panel has no figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoFigures {
    /// The plan does not include the panel.
    Locked(Plan),
    /// The panel is text, or the dashboard has no such panel.
    None,
    /// The query failed; the reason is for operators and the log.
    Failed(String),
}

/// Returns the figures of the panel at `index`, for one plan and one set of filters, with the same
/// restrictions as on the dashboard's page.
///
/// # Errors
/// See [`NoFigures`].
pub async fn panel_figures(
    dashboard: &Dashboard,
    index: usize,
    pin: &Pin,
    params: &FilterParams,
    plan: Plan,
) -> Result<PanelFigures, NoFigures> {
    let panel = dashboard.panels.get(index).ok_or(NoFigures::None)?;
    if !plan.includes(panel.plan) {
        return Err(NoFigures::Locked(panel.plan));
    }
    match panel.visualization.sql().filter(|_| has_rows(&panel.visualization)) {
        Some(sql) => queried(dashboard, panel, sql, pin, params, plan).await,
        None => drawn(dashboard, panel, pin, params, plan).await,
    }
}

/// Returns whether the rows of a panel's query are its figures; those of a histogram are its
/// counts.
fn has_rows(visualization: &Visualization) -> bool {
    !matches!(visualization, Visualization::Histogram(_))
}

async fn queried(
    dashboard: &Dashboard,
    panel: &Panel,
    sql: &str,
    pin: &Pin,
    params: &FilterParams,
    plan: Plan,
) -> Result<PanelFigures, NoFigures> {
    let filters = super::filters::resolve(dashboard, pin, params, plan).await;
    let selection = Some(evaluate::Selection { filters: &filters, of: ResolvedFilter::selected });
    let expanded = parameters::expand(sql, &dashboard.filters);
    let mut notes = Notes::default();
    let answer = bounded::run(
        pin,
        &expanded,
        |part| evaluate::bind(part, sql, selection),
        panel.visualization.part(),
        &mut notes,
    )
    .await
    .map_err(|undrawn| NoFigures::Failed(undrawn.reason))?;
    let rows = ResultRows::new(&answer);
    let columns: Vec<usize> = match shown_columns(&panel.visualization) {
        None => (0..answer.fields.len()).collect(),
        Some(names) => {
            let found: Result<Vec<usize>, String> =
                names.into_iter().map(|name| rows.find(name)).collect();
            let mut columns = Vec::new();
            for column in found.map_err(NoFigures::Failed)? {
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
            columns
        }
    };
    let project = |batch: &RecordBatch| batch.project(&columns);
    let batches: Result<Vec<RecordBatch>, ArrowError> = if answer.batches.is_empty() {
        [RecordBatch::new_empty(answer.schema.clone())].iter().map(project).collect()
    } else {
        answer.batches.iter().map(project).collect()
    };
    Ok(PanelFigures {
        fields: columns.iter().map(|column| answer.fields[*column].clone()).collect(),
        batches: batches.map_err(|error| NoFigures::Failed(error.to_string()))?,
        filters: filters.into_iter().map(|filter| filter.data).collect(),
        notes: notes.texts,
    })
}

/// Returns the columns of a query that a panel shows; all of them if it shows every column.
fn shown_columns(visualization: &Visualization) -> Option<Vec<&str>> {
    let columns: Vec<&str> = match visualization {
        Visualization::Stat(spec) => spec.x.iter().chain([&spec.y]).map(String::as_str).collect(),
        Visualization::Chart(spec) => [&spec.x]
            .into_iter()
            .chain(&spec.facet)
            .chain(&spec.series)
            .chain(&spec.label)
            .chain(&spec.y)
            .chain(&spec.right)
            .chain(&spec.size)
            .map(String::as_str)
            .collect(),
        Visualization::Histogram(spec) => vec![&spec.x],
        Visualization::Shape(spec) => {
            [&spec.x].into_iter().chain(&spec.y).map(String::as_str).collect()
        }
        Visualization::Map(spec) => spec.columns(),
        Visualization::Heatmap(spec) => vec![&spec.y, &spec.x, &spec.value],
        Visualization::Table(spec) => {
            return spec.columns.as_ref().map(|names| names.iter().map(String::as_str).collect());
        }
        Visualization::Markdown(_) | Visualization::Changes(_) => Vec::new(),
    };
    Some(columns)
}

/// Returns the figures of a panel that are not the rows of one query.
async fn drawn(
    dashboard: &Dashboard,
    panel: &Panel,
    pin: &Pin,
    params: &FilterParams,
    plan: Plan,
) -> Result<PanelFigures, NoFigures> {
    let only = Dashboard { panels: vec![panel.clone()], ..dashboard.clone() };
    let mut data = evaluate::evaluate(&only, pin, params, plan).await;
    let panel = data.panels.pop().ok_or(NoFigures::None)?;
    let (fields, columns) = match &panel.content {
        Content::Chart(chart) => chart_columns(chart),
        Content::Table(table) => table_columns(table),
        Content::Empty { .. } => (Vec::new(), Vec::new()),
        Content::Failed { reason } => return Err(NoFigures::Failed(reason.clone())),
        _ => return Err(NoFigures::None),
    };
    let batches = if columns.is_empty() {
        Vec::new()
    } else {
        let named = fields.iter().map(|field: &Field| field.name.clone()).zip(columns);
        let batch = RecordBatch::try_from_iter(named);
        vec![batch.map_err(|error| NoFigures::Failed(error.to_string()))?]
    };
    Ok(PanelFigures { fields, batches, filters: data.filters, notes: panel.notes })
}

/// Returns one row per point.
fn chart_columns(chart: &Chart) -> (Vec<Field>, Vec<ArrayRef>) {
    let points: Vec<_> = chart
        .series
        .iter()
        .flat_map(|series| series.points.iter().map(move |point| (series, point)))
        .collect();
    let x = points.iter().map(|(_, point)| point.x_shown.as_str());
    let y: Vec<Option<f64>> = points.iter().map(|(_, point)| point.y).collect();
    let mut fields =
        vec![Field { name: name_of(&chart.x.title, "x"), data_type: DuckType::Varchar }];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(x))];
    if chart.series.len() > 1 {
        let names = points.iter().map(|(series, _)| series.name.as_str());
        fields.push(Field { name: "series".to_owned(), data_type: DuckType::Varchar });
        columns.push(Arc::new(StringArray::from_iter_values(names)));
    }
    fields.push(Field { name: name_of(&chart.y.title, "y"), data_type: DuckType::Double });
    columns.push(Arc::new(Float64Array::from(y)));
    (fields, columns)
}

fn table_columns(table: &Table) -> (Vec<Field>, Vec<ArrayRef>) {
    let field = |title: &str| Field { name: title.to_owned(), data_type: DuckType::Varchar };
    let fields = table.columns.iter().map(|column| field(&column.title)).collect();
    let column = |index: usize| -> ArrayRef {
        let cell = |row: &Vec<String>| row.get(index).cloned().unwrap_or_default();
        Arc::new(StringArray::from_iter_values(table.rows.iter().map(cell)))
    };
    (fields, (0..table.columns.len()).map(column).collect())
}

fn name_of(title: &str, otherwise: &str) -> String {
    if title.is_empty() { otherwise.to_owned() } else { title.to_owned() }
}

impl Dashboard {
    /// Returns the name of each panel in URLs: its title in lower case, with hyphens between words.
    /// If several panels have the same title, the second one is `title-2`.
    #[must_use]
    pub fn panel_names(&self) -> Vec<String> {
        let mut names = Vec::<String>::with_capacity(self.panels.len());
        for panel in &self.panels {
            let base = slug(&panel.title);
            let numbered = (2..).map(|number| format!("{base}-{number}"));
            let free =
                [base.clone()].into_iter().chain(numbered).find(|name| !names.contains(name));
            names.push(free.unwrap_or(base));
        }
        names
    }
}

/// Returns a title as it is in addresses.
pub(super) fn slug(title: &str) -> String {
    let words = title.split(|letter: char| !letter.is_alphanumeric());
    let words: Vec<String> = words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    if words.is_empty() { "panel".to_owned() } else { words.join("-") }
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn a_panels_name_is_its_title_in_words_that_addresses_have() {
        assert_eq!(slug("World stock-to-use, 12 months"), "world-stock-to-use-12-months");
        assert_eq!(slug("Café (EU)"), "café-eu");
        assert_eq!(slug("% !"), "panel");
    }
}
