//! The problems that `materia status` and `materia alert` detect, and those that only the site can
//! detect: of its accounts and its mail.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use materia::{
    alert::{self, AlertInputs, AlertState},
    pipeline::RunStore,
    status::{Finding, Status, StatusSource},
};
use tokio::time::timeout;

use crate::app::AppState;

/// How long a result is reused.
const MAX_AGE: Duration = Duration::from_secs(5);
/// How long a request waits for a new result, since the catalog of a lake may not respond.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);

/// The current conditions, cached.
#[derive(Default)]
pub(crate) struct Conditions(Mutex<Latest>);

#[derive(Default)]
struct Latest {
    findings: Arc<Vec<Finding>>,
    /// When they were determined, or when that began.
    at: Option<Instant>,
    is_refreshing: bool,
}

impl Conditions {
    /// Returns the problems. Only one request at a time determines them again.
    pub(crate) async fn current(app: &AppState) -> Arc<Vec<Finding>> {
        if app.conditions.begin() {
            let refreshed = tokio::spawn(refresh(app.clone()));
            let _ = timeout(REFRESH_TIMEOUT, refreshed).await;
        }
        app.conditions.latest().findings.clone()
    }

    fn latest(&self) -> std::sync::MutexGuard<'_, Latest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether they should be determined again, and no other request is doing so.
    fn begin(&self) -> bool {
        let mut latest = self.latest();
        let is_due = !latest.is_refreshing && latest.at.is_none_or(|at| at.elapsed() > MAX_AGE);
        latest.is_refreshing |= is_due;
        is_due
    }
}

async fn refresh(app: AppState) {
    let local = {
        let app = app.clone();
        tokio::task::spawn_blocking(move || local_findings(&app)).await
    };
    let mut findings = match local {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => {
            tracing::warn!(error, "what is wrong cannot be determined");
            app.conditions.latest().findings.to_vec()
        }
        Err(error) => {
            tracing::error!(%error, "what is wrong cannot be determined");
            Vec::new()
        }
    };
    if !app.accounts.is_healthy().await {
        findings.push(alert::accounts_down());
    }
    let mail = app.accounts.mail_problem(app.settings.alerts.mail_delayed).await;
    findings.extend(mail.as_deref().map(alert::mail_failing));
    let mut latest = app.conditions.latest();
    latest.findings = Arc::new(findings);
    latest.at = Some(Instant::now());
    latest.is_refreshing = false;
}

/// Returns the problems that files and locks show. The site itself is not requested, since this is
/// the site.
fn local_findings(app: &AppState) -> Result<Vec<Finding>, String> {
    let settings = &app.settings;
    let target = settings.target().map_err(|error| error.to_string())?;
    let place = StatusSource {
        target: target.clone(),
        lakehouse: settings.lakehouse.clone(),
        max_age: settings.status.max_age,
    };
    let text = |error: std::io::Error| error.to_string();
    let status = Status::collect(&place, app.reader.state()).map_err(text)?;
    let alerts = AlertState::load(&target).unwrap_or_default();
    let logs = RunStore::new(settings, &target);
    let inputs = AlertInputs::collect(status, settings, &logs, &alerts).map_err(text)?;
    Ok(inputs.findings(&settings.alerts, app.clock.now()))
}
