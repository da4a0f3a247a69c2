//! `materia web --check`: finds everything that would prevent the site from starting, without
//! starting it.

use std::{fmt, net::SocketAddr, time::Duration};

use materia::{
    dashboard::Dashboards,
    humanize,
    reader::{Reader, ReaderConfig},
    settings::Settings,
    tables::access,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{accounts, pages::legal};

/// How long a probed process may take to identify itself as a site.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The findings of a check, in the order in which the site starts.
#[derive(Debug, Default)]
pub struct CheckReport {
    findings: Vec<Finding>,
}

#[derive(Debug)]
struct Finding {
    subject: &'static str,
    outcome: CheckOutcome,
    detail: String,
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckOutcome {
    Ok,
    /// It does not prevent the site from starting.
    Warning,
    Error,
}

impl CheckReport {
    /// Returns whether the site would start.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.outcome != CheckOutcome::Error)
    }

    /// Returns each subject with its outcome and a description.
    pub fn findings(&self) -> impl Iterator<Item = (&'static str, CheckOutcome, &str)> {
        self.findings
            .iter()
            .map(|finding| (finding.subject, finding.outcome, finding.detail.as_str()))
    }

    fn add(&mut self, subject: &'static str, result: Result<String, String>) {
        let (outcome, detail) = match result {
            Ok(detail) => (CheckOutcome::Ok, detail),
            Err(detail) => (CheckOutcome::Error, detail),
        };
        self.push(subject, outcome, detail);
    }

    fn push(&mut self, subject: &'static str, outcome: CheckOutcome, detail: String) {
        self.findings.push(Finding { subject, outcome, detail });
    }

    /// Adds a finding that does not prevent the site from starting.
    fn add_warning(&mut self, subject: &'static str, result: Result<String, String>) {
        self.add(subject, result);
        if let Some(last) =
            self.findings.last_mut().filter(|last| last.outcome == CheckOutcome::Error)
        {
            last.outcome = CheckOutcome::Warning;
        }
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { subject, outcome, detail } in &self.findings {
            let word = match outcome {
                CheckOutcome::Ok => "ok",
                CheckOutcome::Warning => "warning",
                CheckOutcome::Error => "error",
            };
            writeln!(formatter, "{word:<8} {subject}: {detail}")?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckScope {
    All,
    /// Immediately before the site starts, while requests wait for it: only what would keep it from
    /// starting, and not its ports, which systemd holds.
    BeforeStart,
}

/// Checks settings, served data, dashboards, legal texts, accounts, mail and ports. Changes
/// nothing.
pub async fn check(settings: &Settings, scope: CheckScope) -> CheckReport {
    let mut report = CheckReport::default();
    let debug = accounts::check_debug(&settings.web).map_err(|error| error.to_string());
    let account_settings =
        accounts::AccountSettings::new(settings).map_err(|error| error.to_string());
    report.add(
        "settings",
        debug
            .and(account_settings.as_ref().map(drop).map_err(Clone::clone))
            .map(|()| format!("reached at {}", settings.web.base_url())),
    );
    if scope == CheckScope::All {
        report.add_warning("data", served(settings));
    }
    if scope == CheckScope::All && !settings.tables.is_empty() {
        report.add_warning("tables", tables(settings).await);
    }
    report.add("dashboards", dashboards(settings));
    if let Some(folder) = &settings.web.legal {
        let texts = legal::read_folder(folder);
        report.add(
            "legal texts",
            texts
                .map(|texts| format!("{} in {}", texts.len(), folder.display()))
                .map_err(|error| format!("cannot read {}: {error}", folder.display())),
        );
    }
    if let Ok(account_settings) = account_settings {
        let store = accounts::Store::check(account_settings.database.reveal()).await;
        report.add("accounts", store.map_err(|error| error.to_string()));
        if scope == CheckScope::All {
            report.add_warning("mail", accounts::check_mail_server(&account_settings).await);
        }
    }
    if scope == CheckScope::All {
        let metrics = settings.web.metrics.map(|address| ("metrics port", address));
        for (subject, address) in [("port", settings.web.listen)].into_iter().chain(metrics) {
            let (outcome, detail) = port(address).await;
            report.push(subject, outcome, detail);
        }
    }
    report
}

fn served(settings: &Settings) -> Result<String, String> {
    let target = settings.target().map_err(|error| error.to_string())?;
    let name = target.display_name().display().to_string();
    let reader = Reader::open(&target, settings.export.served_schema(), ReaderConfig::small());
    let reader = reader.map_err(|error| error.to_string())?;
    let state = reader.state();
    match (state.generation, state.problem) {
        (Some(info), _) => {
            let id = info
                .id
                .as_ref()
                .map_or_else(|| "without a manifest".to_owned(), ToString::to_string);
            Ok(format!("{name}, generation {id}"))
        }
        (None, Some(problem)) => Err(problem.reason),
        (None, None) => Err(format!("{name}: nothing is published yet; run materia export")),
    }
}

/// Checks that the rules of tables name what is served: a column that is misspelled is not hidden.
async fn tables(settings: &Settings) -> Result<String, String> {
    let target = settings.target().map_err(|error| error.to_string())?;
    let reader = Reader::open(&target, settings.export.served_schema(), ReaderConfig::small())
        .map_err(|error| error.to_string())?;
    let pin = reader.pin().map_err(|error| error.to_string())?;
    let served = pin.catalog().await.map_err(|error| error.to_string())?.tables;
    match access::unknown_names(&served, &settings.tables).as_slice() {
        [] => Ok(humanize::plural(settings.tables.len(), "rule")),
        unknown => Err(unknown.join("; ")),
    }
}

fn dashboards(settings: &Settings) -> Result<String, String> {
    let dashboards = Dashboards::load(&settings.dashboards).map_err(|error| error.to_string())?;
    match dashboards.problems() {
        [] => Ok(match dashboards.user_defined() {
            Some(files) => format!("{} files", files.len()),
            None => "the built-in overview".to_owned(),
        }),
        [first, ..] => Err(first.to_string()),
    }
}

/// An address in use by a running site is acceptable, since that site is about to be replaced. So
/// is a socket that systemd holds for a site that is stopped: connections to it are not answered.
async fn port(address: SocketAddr) -> (CheckOutcome, String) {
    match TcpListener::bind(address).await {
        Ok(_) => (CheckOutcome::Ok, format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            match timeout(PROBE_TIMEOUT, is_site(address)).await {
                Ok(true) => (CheckOutcome::Ok, format!("{address} is in use by a running site")),
                Ok(false) => {
                    (CheckOutcome::Error, format!("{address} is in use by another process"))
                }
                Err(_) => (
                    CheckOutcome::Warning,
                    format!(
                        "{address} is in use, and nothing answers there: it is held by materia-web.socket or by a process that hangs"
                    ),
                ),
            }
        }
        Err(error) => (CheckOutcome::Error, format!("cannot listen on {address}: {error}")),
    }
}

/// Returns whether `/health` or `/metrics` of an address look like those of a site.
async fn is_site(address: SocketAddr) -> bool {
    for (path, expected) in [("/health", "ok\n"), ("/metrics", "materia_http_requests")] {
        let Ok(mut stream) = TcpStream::connect(address).await else { return false };
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let mut response = String::new();
        let sent = stream.write_all(request.as_bytes()).await;
        if sent.is_ok()
            && stream.read_to_string(&mut response).await.is_ok()
            && response.contains(expected)
        {
            return true;
        }
    }
    false
}
