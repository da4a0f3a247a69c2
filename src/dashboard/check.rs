//! Whether every dashboard can be answered from what is served, or is about to be.

use super::{
    Content, DashboardData, Dashboards, PanelData, PanelSeverity, answer,
    model::{Dashboard, Panel},
};
use crate::{
    plan::Plan,
    reader::{Pin, ReaderError},
    settings::Severity,
    toml_file::FileError,
    words,
};

/// The longest finding, in characters.
const LONGEST: usize = 400;

/// Something that a dashboard cannot show, or does not show all of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The dashboard's name in addresses.
    pub dashboard: String,
    /// The panel's title or the filter's name.
    pub part: String,
    /// What it means for an export. What only the amount of data causes is a warning.
    pub severity: Severity,
    /// Where it stands, and why.
    pub error: FileError,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "dashboard {}, {}: {}", self.dashboard, self.part, self.error.message)
    }
}

/// Evaluates every dashboard as it is before anything is chosen, and returns what fails, what is empty and what is cut: one entry for each
/// panel and filter, the most severe.
///
/// # Errors
/// As [`Dashboards::all`].
pub async fn check(dashboards: &Dashboards, pin: &Pin) -> Result<Vec<Broken>, ReaderError> {
    let mut broken = Vec::new();
    for dashboard in dashboards.all(pin).await?.iter() {
        broken.extend(one(dashboard, &answer(dashboard, pin, &[], Plan::Pro).await, true));
        // What a smaller plan sees is less, and may be nothing.
        for plan in [Plan::Free, Plan::Starter].into_iter().filter(|plan| plan.includes(dashboard.plan)) {
            for found in one(dashboard, &answer(dashboard, pin, &[], plan).await, false) {
                match broken.iter_mut().find(|known: &&mut Broken| known.same(&found)) {
                    None => broken.push(found.with_plan(plan)),
                    Some(known) if known.severity == Severity::Warn && found.severity == Severity::Error => *known = found.with_plan(plan),
                    Some(_) => {}
                }
            }
        }
    }
    Ok(broken)
}

fn one(dashboard: &Dashboard, data: &DashboardData, whole: bool) -> Vec<Broken> {
    let broken = |line: usize, part: String, (severity, message): (Severity, String)| Broken {
        dashboard: dashboard.slug.clone(),
        part,
        severity,
        error: FileError { path: dashboard.file.clone(), line: Some(line), message: bounded(message) },
    };
    let filters = dashboard.filters.iter().filter_map(|filter| {
        let data = data.filters.iter().find(|data| data.name == filter.name)?;
        let found = match (&data.problem, &data.note) {
            (Some(problem), _) => (if data.failed { Severity::Error } else { Severity::Warn }, problem.clone()),
            (None, Some(note)) => (Severity::Warn, format!("{note} max_options sets how many are listed")),
            (None, None) => return None,
        };
        Some(broken(filter.line, format!("filter {:?}", filter.name), found))
    });
    let panels = dashboard.panels.iter().zip(&data.panels).filter_map(|(panel, data)| {
        let found = of_panel(panel, data, whole)?;
        Some(broken(panel.line, format!("panel {:?}", panel.title), found))
    });
    filters.chain(panels).collect()
}

/// What is wrong with a panel, if anything is. `whole` is whether it was evaluated for a viewer who sees everything.
fn of_panel(panel: &Panel, data: &PanelData, whole: bool) -> Option<(Severity, String)> {
    let failure = match panel.severity {
        PanelSeverity::Off => return None,
        PanelSeverity::Warn => Severity::Warn,
        PanelSeverity::Error => Severity::Error,
    };
    let findings = &data.findings;
    match &data.content {
        Content::Failed { reason } => return Some((if findings.by_amount { Severity::Warn } else { failure }, reason.clone())),
        Content::Locked { .. } => return None,
        _ => {}
    }
    if let Some(least) = panel.min_rows.filter(|least| whole && findings.rows < *least) {
        return Some((failure, format!("has {}, at least {} wanted", words::rows(findings.rows as u64), words::count(least as u64))));
    }
    if matches!(data.content, Content::Empty { .. }) && !panel.allow_empty {
        return Some((
            Severity::Warn,
            "shows nothing before anything is chosen; allow_empty = true if that is how it should be".to_owned(),
        ));
    }
    if findings.cut.is_empty() {
        return None;
    }
    let mut message = findings.cut.join(" ");
    if !findings.keys.is_empty() {
        let sets = if findings.keys.len() == 1 { "sets" } else { "set" };
        message = format!("{message} {} {sets} how much is shown", findings.keys.join(" and "));
    }
    Some((Severity::Warn, message))
}

/// Names and reasons come from data: a finding is kept in the history of every export.
fn bounded(message: String) -> String {
    if message.chars().count() <= LONGEST { message } else { message.chars().take(LONGEST).chain("...".chars()).collect() }
}

impl Broken {
    fn same(&self, other: &Self) -> bool {
        (&self.dashboard, &self.part, self.error.line) == (&other.dashboard, &other.part, other.error.line)
    }

    fn with_plan(mut self, plan: Plan) -> Self {
        self.error.message = format!("for the plan {plan}: {}", self.error.message);
        self
    }
}
