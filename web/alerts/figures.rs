//! The figures that rules are about: those of stats, and of the columns of tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use materia::{
    dashboard::{
        self, Content, Dashboard, PanelData, PanelFigures, TableColumn, ValueSpec, Visualization,
    },
    plan::Plan,
    reader::Pin,
    store::TableManifest,
    values::{self, Format},
};

use sha2::{Digest, Sha256};

use crate::{accounts::Seen, app::AppState};

/// Rows that a rule remembers.
const MAX_ROWS: usize = 2_000;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    pub(crate) value: Option<f64>,
    /// As it is printed, without the unit.
    pub(crate) shown: String,
}

/// The figures of a stat, under an empty name, or of a table's column, by the first other column.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Figures {
    pub(crate) rows: BTreeMap<String, Figure>,
    pub(crate) unit: Option<String>,
    /// How they are printed, if the dashboard says so.
    format: Option<Format>,
}

impl Figures {
    /// Returns the values as a rule remembers them.
    pub(crate) fn values(&self) -> Seen {
        self.rows.iter().map(|(row, figure)| (row.clone(), figure.value)).collect()
    }

    /// Returns whether they are printed as percentages.
    pub(crate) fn are_percentages(&self) -> bool {
        matches!(self.format, Some(Format::Percent(_))) || self.unit.as_deref() == Some("%")
    }

    /// Prints a value like the others.
    pub(crate) fn print(&self, value: f64) -> String {
        print(self.format, value)
    }
}

/// Returns a stored number as a rule compares it: a fraction that is printed as a percentage is a
/// percentage.
fn compared(format: Option<Format>, stored: f64) -> f64 {
    if matches!(format, Some(Format::Percent(_))) { stored * 100.0 } else { stored }
}

fn print(format: Option<Format>, value: f64) -> String {
    let decimals = if value.fract() == 0.0 { 0 } else { 2 };
    match format {
        Some(format @ Format::Percent(_)) => values::format_number(value / 100.0, format),
        Some(format) => values::format_number(value, format),
        None => values::format_number(value, Format::Decimal(decimals)),
    }
}

/// Why there are no figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoFigures {
    /// The plan does not include the panel.
    Locked,
    /// There is nothing of that name any more; a sentence for the owner.
    Gone(String),
    /// The reason is for the log.
    Failed(String),
}

/// A figure that a rule can be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FigureChoice {
    /// The panel's name in addresses.
    pub(crate) panel: String,
    /// The column of a table; empty for a stat.
    pub(crate) field: String,
    pub(crate) panel_title: String,
    pub(crate) label: String,
}

impl FigureChoice {
    /// Returns the choice of no figure: whether the dashboard has new data.
    pub(crate) fn dashboard() -> Self {
        Self {
            panel: String::new(),
            field: String::new(),
            panel_title: String::new(),
            label: "The whole dashboard".to_owned(),
        }
    }

    /// Returns its name in forms.
    pub(crate) fn value(&self) -> String {
        format!("{}|{}", self.panel, self.field)
    }

    pub(crate) fn is_table(&self) -> bool {
        !self.field.is_empty()
    }
}

/// Returns the figures of a dashboard that a rule can be about: those that the plan includes.
pub(crate) async fn choices(
    dashboard: &Dashboard,
    pin: &Pin,
    params: &[(String, String)],
    plan: Plan,
) -> Vec<FigureChoice> {
    let mut found = Vec::new();
    for (at, (name, panel)) in
        dashboard.panel_names().into_iter().zip(&dashboard.panels).enumerate()
    {
        if !plan.includes(panel.plan.max(dashboard.plan)) {
            continue;
        }
        let choice = |field: &str, label: &str| FigureChoice {
            panel: name.clone(),
            field: field.to_owned(),
            panel_title: panel.title.clone(),
            label: label.to_owned(),
        };
        match &panel.visualization {
            Visualization::Stat(_) => found.push(choice("", &panel.title)),
            Visualization::Table(_) => {
                let Ok((table, columns)) = table(dashboard, at, pin, params, plan).await else {
                    continue;
                };
                let numbers = table
                    .fields
                    .iter()
                    .enumerate()
                    .filter(|(_, field)| field.data_type.is_numeric());
                found.extend(numbers.map(|(column, field)| {
                    choice(
                        &field.name,
                        columns.get(column).map_or(&field.name, |column| &column.title),
                    )
                }));
            }
            _ => {}
        }
    }
    found
}

/// Returns the tables that a dashboard reads, each with a number that differs when its content
/// does.
pub(crate) async fn tables(
    app: &AppState,
    dashboard: &Arc<Dashboard>,
    pin: &Pin,
) -> Result<Figures, NoFigures> {
    let target = app.settings.target().map_err(|error| NoFigures::Failed(error.to_string()))?;
    let id = pin.generation().id.clone();
    let read = move || id.and_then(|id| target.manifest(&id));
    let manifest = tokio::task::spawn_blocking(read).await.ok().flatten();
    let manifest =
        manifest.ok_or_else(|| NoFigures::Failed("the manifest cannot be read".to_owned()))?;
    let panels = dashboard::tables_read(std::slice::from_ref(dashboard)).pop().unwrap_or_default();
    let read: BTreeSet<String> = panels.into_iter().flatten().collect();
    let of_dashboard =
        manifest.tables.iter().filter(|table| read.is_empty() || read.contains(&table.name));
    let figure = |table: &TableManifest| {
        let known = [&table.content, &table.values, &table.fingerprint];
        let content = known.into_iter().flatten().next();
        // 48 bits of the digest: a number that JSON keeps as it is.
        let digest = Sha256::digest(format!("{} {content:?}", table.rows));
        let number =
            digest.iter().take(6).fold(0.0, |number, byte| number * 256.0 + f64::from(*byte));
        (table.name.clone(), Figure { value: Some(number), shown: String::new() })
    };
    Ok(Figures { rows: of_dashboard.map(figure).collect(), unit: None, format: None })
}

async fn evaluated(
    dashboard: &Dashboard,
    at: usize,
    pin: &Pin,
    params: &[(String, String)],
    plan: Plan,
) -> Result<PanelData, NoFigures> {
    let gone = || NoFigures::Gone("The panel no longer exists.".to_owned());
    let panel = dashboard.panels.get(at).ok_or_else(gone)?.clone();
    let only = Dashboard { panels: vec![panel], ..dashboard.clone() };
    let data = dashboard::evaluate(&only, pin, params, plan).await;
    let panel = data.panels.into_iter().next().ok_or_else(gone)?;
    match panel.content {
        Content::Failed { reason } => Err(NoFigures::Failed(reason)),
        Content::Locked { .. } => Err(NoFigures::Locked),
        _ => Ok(panel),
    }
}

async fn table(
    dashboard: &Dashboard,
    at: usize,
    pin: &Pin,
    params: &[(String, String)],
    plan: Plan,
) -> Result<(PanelFigures, Vec<TableColumn>), NoFigures> {
    let panel = evaluated(dashboard, at, pin, params, plan).await?;
    let columns = match panel.content {
        Content::Table(table) => table.columns,
        _ => Vec::new(),
    };
    let figures = dashboard::panel_figures(dashboard, at, pin, params, plan).await;
    let figures = figures.map_err(|none| match none {
        dashboard::NoFigures::Locked(_) => NoFigures::Locked,
        dashboard::NoFigures::None => NoFigures::Gone("The panel is no longer a table.".to_owned()),
        dashboard::NoFigures::Failed(reason) => NoFigures::Failed(reason),
    })?;
    Ok((figures, columns))
}

/// Reads the figures of a panel: the number of its place, and the column of a table.
pub(crate) async fn read(
    dashboard: &Dashboard,
    (at, field): (usize, &str),
    pin: &Pin,
    params: &[(String, String)],
    plan: Plan,
) -> Result<Figures, NoFigures> {
    if field.is_empty() {
        let panel = evaluated(dashboard, at, pin, params, plan).await?;
        let unit = panel.short_unit.or(panel.unit);
        let format = dashboard.panels[at].values.format();
        return match panel.content {
            Content::Stat(stat) => {
                let value = Some(compared(format, stat.value));
                let figure = Figure { value, shown: stat.shown };
                Ok(Figures { rows: [(String::new(), figure)].into(), unit, format })
            }
            Content::Empty { .. } => Ok(Figures::default()),
            _ => Err(NoFigures::Gone("The panel is no longer a figure.".to_owned())),
        };
    }
    let (figures, columns) = table(dashboard, at, pin, params, plan).await?;
    let column = figures.fields.iter().position(|known| known.name == field);
    let column = column
        .ok_or_else(|| NoFigures::Gone(format!("The table no longer has the column {field}.")))?;
    let key = (0..figures.fields.len()).find(|other| *other != column).unwrap_or(column);
    let unit = columns.get(column).and_then(|column| column.unit.clone());
    let format = match &dashboard.panels[at].visualization {
        Visualization::Table(spec) => spec.values.get(field).and_then(ValueSpec::format),
        _ => None,
    };
    let mut rows = BTreeMap::new();
    for batch in &figures.batches {
        let columns = values::columns(&figures.fields, batch);
        for row in 0..batch.num_rows() {
            if rows.len() >= MAX_ROWS {
                break;
            }
            let name = columns[key].text(row).unwrap_or_default().into_owned();
            let name = unique(&rows, name);
            let value = columns[column].number(row).map(|stored| compared(format, stored));
            let shown = value.map(|value| print(format, value)).unwrap_or_default();
            rows.insert(name, Figure { value, shown });
        }
    }
    Ok(Figures { rows, unit, format })
}

/// Returns a name that no row has yet.
fn unique(rows: &BTreeMap<String, Figure>, name: String) -> String {
    if !rows.contains_key(&name) {
        return name;
    }
    let numbered = (2..=MAX_ROWS + 1).map(|number| format!("{name} ({number})"));
    numbered.into_iter().find(|one| !rows.contains_key(one)).unwrap_or(name)
}
