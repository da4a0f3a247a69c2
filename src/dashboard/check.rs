//! Whether every dashboard can be answered from what is served, or is about to be.

use super::{Content, DashboardData, Dashboards, answer, model::Dashboard};
use crate::{
    plan::Plan,
    reader::{Pin, ReaderError},
    toml_file::FileError,
};

/// Something that a dashboard cannot show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The dashboard's name in addresses.
    pub dashboard: String,
    /// The panel's title or the filter's name.
    pub part: String,
    /// Where it stands, and why.
    pub error: FileError,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "dashboard {}, {}: {}", self.dashboard, self.part, self.error.message)
    }
}

/// Answers every dashboard as it is before anybody chooses anything, and tells what fails or is empty.
///
/// # Errors
/// As [`Dashboards::all`].
pub async fn check(dashboards: &Dashboards, pin: &Pin) -> Result<Vec<Broken>, ReaderError> {
    let mut broken = Vec::new();
    for dashboard in dashboards.all(pin).await?.iter() {
        broken.extend(one(dashboard, &answer(dashboard, pin, &[], Plan::Pro).await));
        // What a smaller plan sees is less, and may be nothing.
        for plan in [Plan::Free, Plan::Starter].into_iter().filter(|plan| plan.includes(dashboard.plan)) {
            let found = one(dashboard, &answer(dashboard, pin, &[], plan).await);
            broken.extend(
                found
                    .into_iter()
                    .map(|found| found.with_plan(plan))
                    .filter(|found| !broken.iter().any(|known: &Broken| known.same(found)))
                    .collect::<Vec<_>>(),
            );
        }
    }
    Ok(broken)
}

fn one(dashboard: &Dashboard, data: &DashboardData) -> Vec<Broken> {
    let broken = |line: usize, part: String, message: String| Broken {
        dashboard: dashboard.slug.clone(),
        part,
        error: FileError { path: dashboard.file.clone(), line: Some(line), message },
    };
    let filters = dashboard.filters.iter().filter_map(|filter| {
        let data = data.filters.iter().find(|data| data.name == filter.name)?;
        Some(broken(filter.line, format!("filter {:?}", filter.name), data.problem.clone()?))
    });
    let panels = dashboard.panels.iter().zip(&data.panels).filter_map(|(panel, data)| {
        let message = match &data.content {
            Content::Failed { reason } => reason.clone(),
            Content::Empty { .. } if !panel.allow_empty => {
                "shows nothing before anything is chosen; allow_empty = true if that is how it should be".to_owned()
            }
            _ => return None,
        };
        Some(broken(panel.line, format!("panel {:?}", panel.title), message))
    });
    filters.chain(panels).collect()
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
