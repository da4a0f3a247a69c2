//! Checks whether every dashboard can be evaluated on the served data, or on data about to be
//! published.

use super::{
    Content, DashboardData, Dashboards, PanelData, PanelSeverity, dead_links, evaluate, lost_rows,
    model::{Dashboard, Panel},
};
use crate::{
    humanize,
    plan::Plan,
    reader::{Pin, ReaderError},
    settings::Severity,
    toml_file::FileError,
};

/// Maximum characters of a finding.
const MAX_CHARS: usize = 400;

/// A failure, an omission or an empty result in a dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanelFailure {
    pub dashboard: String,
    /// The panel's title or the filter's name.
    pub part: String,
    /// The consequence for an export. Problems caused only by the amount of data are warnings.
    pub severity: Severity,
    /// Its position in the file, and the reason.
    pub error: FileError,
}

impl std::fmt::Display for PanelFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "dashboard {}, {}: {}", self.dashboard, self.part, self.error.message)
    }
}

/// Evaluates every dashboard without a selection, and returns failures, empty results and
/// omissions: one entry per panel and filter, the most severe.
///
/// # Errors
/// As [`Dashboards::all`].
pub async fn check(dashboards: &Dashboards, pin: &Pin) -> Result<Vec<PanelFailure>, ReaderError> {
    let mut failures = Vec::new();
    let all = dashboards.all(pin).await?;
    for dashboard in all.iter() {
        failures.extend(findings_of(
            dashboard,
            &evaluate(dashboard, pin, &[], Plan::Pro).await,
            true,
        ));
        failures.extend(lost_rows::find(dashboard, pin).await);
        failures.extend(dead_links::find(dashboard, all.iter().map(AsRef::as_ref)));
        // A smaller plan sees less data, which may be none.
        for plan in
            [Plan::Free, Plan::Starter].into_iter().filter(|plan| plan.includes(dashboard.plan))
        {
            for found in findings_of(dashboard, &evaluate(dashboard, pin, &[], plan).await, false) {
                match failures.iter_mut().find(|known: &&mut PanelFailure| known.same(&found)) {
                    None => failures.push(found.with_plan(plan)),
                    Some(known)
                        if known.severity == Severity::Warn
                            && found.severity == Severity::Error =>
                    {
                        *known = found.with_plan(plan);
                    }
                    Some(_) => {}
                }
            }
        }
    }
    Ok(failures)
}

fn findings_of(dashboard: &Dashboard, data: &DashboardData, whole: bool) -> Vec<PanelFailure> {
    let failure =
        |line: usize, part: String, (severity, message): (Severity, String)| PanelFailure {
            dashboard: dashboard.slug.clone(),
            part,
            severity,
            error: FileError {
                path: dashboard.file.clone(),
                line: Some(line),
                message: bounded(message),
            },
        };
    let filters = dashboard.filters.iter().filter_map(|filter| {
        let data = data.filters.iter().find(|data| data.name == filter.name)?;
        let found = match (&data.problem, &data.note) {
            (Some(problem), _) => {
                (if data.failed { Severity::Error } else { Severity::Warn }, problem.clone())
            }
            (None, Some(note)) => {
                (Severity::Warn, format!("{note} max_options sets how many are listed"))
            }
            (None, None) => return None,
        };
        Some(failure(filter.line, format!("filter {:?}", filter.name), found))
    });
    let panels = dashboard.panels.iter().zip(&data.panels).filter_map(|(panel, data)| {
        let (severity, mut message) = of_panel(panel, data, whole)?;
        let place = match &data.content {
            Content::Failed { reason } => panel.locate(reason),
            _ => None,
        };
        let mut line = panel.line;
        if let Some((at, column)) = place {
            line = at;
            message = format!("column {column}: {message}");
        }
        Some(failure(line, format!("panel {:?}", panel.title), (severity, message)))
    });
    filters.chain(panels).collect()
}

/// Returns the finding for a panel, if any. `whole` is whether it was evaluated for a viewer who
/// may see everything.
fn of_panel(panel: &Panel, data: &PanelData, whole: bool) -> Option<(Severity, String)> {
    let requirements = &panel.requirements;
    let failure = match requirements.severity {
        PanelSeverity::Off => return None,
        PanelSeverity::Warn => Severity::Warn,
        PanelSeverity::Error => Severity::Error,
    };
    let findings = &data.findings;
    match &data.content {
        Content::Failed { reason } => {
            return Some((
                if findings.by_amount { Severity::Warn } else { failure },
                reason.clone(),
            ));
        }
        Content::Locked { .. } => return None,
        _ => {}
    }
    if let Some(least) = requirements.min_rows.filter(|least| whole && findings.rows < *least) {
        return Some((
            failure,
            format!(
                "has {}, at least {} wanted",
                humanize::rows(findings.rows as u64),
                humanize::count(least as u64)
            ),
        ));
    }
    if matches!(data.content, Content::Empty { .. }) && !requirements.allow_empty {
        return Some((
            Severity::Warn,
            "shows nothing before anything is selected; allow_empty = true if that is how it should be".to_owned(),
        ));
    }
    if panel.origin.freshness.len() > data.freshness.len() {
        return Some((
            Severity::Warn,
            "does not say how far its figures reach: each query of freshness needs a row with a column \"through\"".to_owned(),
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

/// Names and reasons come from data, and findings are recorded in the history of every export.
fn bounded(message: String) -> String {
    if message.chars().count() <= MAX_CHARS {
        message
    } else {
        message.chars().take(MAX_CHARS).chain("...".chars()).collect()
    }
}

impl PanelFailure {
    fn same(&self, other: &Self) -> bool {
        (&self.dashboard, &self.part, self.error.line)
            == (&other.dashboard, &other.part, other.error.line)
    }

    fn with_plan(mut self, plan: Plan) -> Self {
        self.error.message = format!("for the plan {plan}: {}", self.error.message);
        self
    }
}
