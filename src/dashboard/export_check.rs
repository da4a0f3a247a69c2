//! Checks whether every dashboard can be evaluated on data that is about to be published. Only
//! missing objects and errors refuse an export; more data than a panel draws is a warning.

use std::io;

use super::{Dashboards, check, exposed};
use crate::{
    digest::DigestBuilder,
    humanize,
    reader::{Reader, ReaderConfig, block_on_until},
    settings::{Severity, TableRules},
    store::{Audit, Candidate, Check},
};

/// Maximum number of recorded warnings, since the history stores them for every export; the others
/// are counted.
const MAX_WARNINGS: usize = 50;

/// Evaluates every user-defined dashboard on finished data, with a reader as for viewers. A
/// failure refuses the export, unless the panel's severity allows it. Invalid dashboard files are
/// independent of the export and only reported.
#[derive(Debug)]
pub struct DashboardsCheck {
    dashboards: Dashboards,
    rules: TableRules,
}

impl DashboardsCheck {
    /// Returns the check of these dashboards, if there are any.
    #[must_use]
    pub fn new(dashboards: Dashboards, rules: TableRules) -> Option<Self> {
        dashboards.user_defined().is_some().then_some(Self { dashboards, rules })
    }
}

impl Check for DashboardsCheck {
    fn name(&self) -> &'static str {
        "dashboards"
    }

    fn digest(&self) -> String {
        DigestBuilder::new().add(&self.dashboards.digest()).add_json(&self.rules).digest()
    }

    fn run(&self, candidate: &Candidate<'_>) -> io::Result<Vec<Audit>> {
        let Some(dashboards) = self.dashboards.user_defined() else { return Ok(Vec::new()) };
        let note = |severity, passed, found| Audit {
            name: self.name().to_owned(),
            table: None,
            severity,
            passed,
            found,
        };
        let limits = ReaderConfig {
            threads: candidate.threads,
            spill: Some(candidate.spill.to_path_buf()),
            one_shot: true,
            ..ReaderConfig::default()
        };
        let reader = Reader::open(candidate.store, candidate.schema, limits)?;
        let evaluated = reader.pin().and_then(|pin| {
            let checked = block_on_until(check(&self.dashboards, &pin), candidate.is_cancelled);
            checked.unwrap_or_else(|| Ok(Vec::new()))
        });
        let mut audits: Vec<Audit> = self
            .dashboards
            .problems()
            .iter()
            .map(|problem| note(Severity::Warn, false, problem.to_string()))
            .collect();
        let exposed = exposed(dashboards, &self.rules);
        match evaluated {
            Err(error) => {
                audits.push(note(Severity::Error, false, format!("could not be checked: {error}")));
            }
            Ok(failures) => {
                let (failed, warned): (Vec<_>, Vec<_>) = failures
                    .iter()
                    .chain(&exposed)
                    .partition(|failure| failure.severity == Severity::Error);
                if failed.is_empty() {
                    let panels = dashboards.iter().map(|dashboard| dashboard.panels.len()).sum();
                    let found = format!(
                        "{} of {} evaluated",
                        humanize::plural(panels, "panel"),
                        humanize::plural(dashboards.len(), "dashboard")
                    );
                    audits.push(note(Severity::Error, true, found));
                }
                audits.extend(
                    failed.iter().map(|failure| note(Severity::Error, false, failure.to_string())),
                );
                audits.extend(
                    warned
                        .iter()
                        .take(MAX_WARNINGS)
                        .map(|failure| note(Severity::Warn, false, failure.to_string())),
                );
                if warned.len() > MAX_WARNINGS {
                    let more = humanize::plural(warned.len() - MAX_WARNINGS, "more warning");
                    audits.push(note(
                        Severity::Warn,
                        false,
                        format!("{more} about dashboards: materia dashboards check lists them"),
                    ));
                }
            }
        }
        Ok(audits)
    }
}
