//! Finds links to dashboards, filters and tabs that do not exist.

use url::form_urlencoded;

use super::{
    PanelFailure,
    figures::slug,
    model::{Dashboard, Filter, TAB},
};
use crate::{humanize, settings::Severity, toml_file::FileError};

/// Returns a warning for each link of a dashboard that leads nowhere.
pub(super) fn find<'d>(
    dashboard: &'d Dashboard,
    all: impl Iterator<Item = &'d Dashboard>,
) -> Vec<PanelFailure> {
    let all: Vec<_> = all.collect();
    let links = dashboard.panels.iter().flat_map(|panel| {
        let links = panel.visualization.links().into_iter().chain(panel.title_link.clone());
        links.map(move |link| (panel, link))
    });
    let failures = links.filter_map(|(panel, link)| {
        let why = problem(&link, &all)?;
        Some(PanelFailure {
            dashboard: dashboard.slug.clone(),
            part: format!("panel {:?}", panel.title),
            severity: Severity::Warn,
            error: FileError {
                path: dashboard.file.clone(),
                line: Some(panel.line),
                message: format!("the link {link:?} leads nowhere: {why}"),
            },
        })
    });
    failures.collect()
}

/// Returns why a link leads nowhere. Links to other pages, and parts that depend on a row, are not
/// checked.
fn problem(link: &str, all: &[&Dashboard]) -> Option<String> {
    let link = link.split('#').next().unwrap_or_default();
    let (path, query) = link.split_once('?').unwrap_or((link, ""));
    let name = path.strip_prefix("/dashboard/")?.split('/').next()?;
    if name.is_empty() || name.contains('$') {
        return None;
    }
    let Some(dashboard) = all.iter().find(|dashboard| dashboard.slug == name) else {
        let known = all.iter().map(|dashboard| dashboard.slug.as_str());
        return Some(humanize::unknown_name_message("dashboard", name, known));
    };
    let parameters: Vec<String> = dashboard.filters.iter().flat_map(Filter::parameters).collect();
    // Placeholders are values, never names of parameters.
    form_urlencoded::parse(query.as_bytes()).find_map(|(name, value)| {
        if name == TAB {
            let tabs: Vec<String> = dashboard.tabs().map(slug).collect();
            let is_known = value.contains('$') || tabs.iter().any(|tab| *tab == value);
            let message = || {
                let known = tabs.iter().map(String::as_str);
                humanize::unknown_name_message("tab", &value, known)
            };
            return (!is_known).then(message);
        }
        (!parameters.iter().any(|known| *known == name)).then(|| {
            let known = parameters.iter().map(String::as_str);
            humanize::unknown_name_message("filter", &name, known)
        })
    })
}
