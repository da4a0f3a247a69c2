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
        let of_rows =
            panel.visualization.links().into_iter().map(|link| (link, Placeholder::Value));
        let of_title = panel.title_link.clone().map(|link| (link, Placeholder::Selection));
        of_rows.chain(of_title).map(move |(link, placeholder)| (panel, link, placeholder))
    });
    let failures = links.filter_map(|(panel, link, placeholder)| {
        let why = problem(&link, placeholder, &all)?;
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

/// What `$name` stands for in a link.
#[derive(Clone, Copy, PartialEq)]
enum Placeholder {
    /// A value of the row.
    Value,
    /// The selection of a filter, with all the parameters it has in an address.
    Selection,
}

/// Returns why a link leads nowhere. Links to other pages, and parts that depend on a row, are not
/// checked.
fn problem(link: &str, placeholder: Placeholder, all: &[&Dashboard]) -> Option<String> {
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
        let is_selection = placeholder == Placeholder::Selection && value.starts_with('$');
        let is_filter = is_selection && dashboard.filters.iter().any(|filter| filter.name == name);
        (!is_filter && !parameters.iter().any(|known| *known == name)).then(|| {
            let known = parameters.iter().map(String::as_str);
            humanize::unknown_name_message("filter", &name, known)
        })
    })
}
