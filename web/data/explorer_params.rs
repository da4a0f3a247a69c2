//! The explorer's state as query parameters.

use materia::{
    download::DownloadFormat,
    tables::{IGNORED_PARAMS, quoted},
};

/// The parameters of an address in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ExplorerParams(pub(crate) Vec<(String, String)>);

/// The value of `format` with which pages show numbers as they are stored.
const RAW: &str = "raw";

/// Parameters that do not filter.
const NOT_FILTERS: [&str; 5] = ["select", "order", "limit", "offset", "cursor"];

fn is_filter(parameter: &str) -> bool {
    !NOT_FILTERS.contains(&parameter) && !IGNORED_PARAMS.contains(&parameter)
}

/// Returns whether a parameter is a filter of a column.
fn is_filter_of(parameter: &str, column: &str) -> bool {
    is_filter(parameter) && (parameter == column || parameter == quoted(column))
}

impl ExplorerParams {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Sets or removes a parameter and returns to the first page.
    pub(crate) fn with(&self, name: &str, value: Option<&str>) -> Self {
        let mut changed = self.at_start();
        changed.0.retain(|(known, _)| known != name);
        changed.0.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        changed
    }

    /// Adds a filter, unless it exists already.
    pub(crate) fn with_filter(&self, column: &str, value: &str) -> Self {
        let mut changed = self.at_start();
        let filter = (quoted(column), value.to_owned());
        if !changed.0.contains(&filter) {
            changed.0.push(filter);
        }
        changed
    }

    /// Replaces all filters of a column with one, or with none.
    pub(crate) fn with_only_filter(&self, column: &str, value: Option<&str>) -> Self {
        let mut changed = self.at_start();
        changed.0.retain(|(name, _)| !is_filter_of(name, column));
        changed.0.extend(value.map(|value| (quoted(column), value.to_owned())));
        changed
    }

    /// Returns whether there is this filter.
    pub(crate) fn has_filter(&self, column: &str, value: &str) -> bool {
        self.0.iter().any(|(name, given)| is_filter_of(name, column) && given == value)
    }

    /// Returns whether a column is filtered.
    pub(crate) fn filters_column(&self, column: &str) -> bool {
        self.0.iter().any(|(name, _)| is_filter_of(name, column))
    }

    /// Removes the filter at this position among all parameters.
    pub(crate) fn remove_filter(&self, at: usize) -> Self {
        let rest =
            self.0.iter().enumerate().filter(|(place, _)| *place != at).map(|(_, one)| one.clone());
        Self(rest.collect()).at_start()
    }

    /// Moves to another offset.
    pub(crate) fn at(&self, offset: u64) -> Self {
        let mut changed = self.at_start();
        changed.0.extend((offset > 0).then(|| ("offset".to_owned(), offset.to_string())));
        changed
    }

    fn at_start(&self) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, value)| {
                    // Numbers as they are stored, which is a way to look at rows and not a file.
                    let raw = name == "format" && value == RAW;
                    let here = matches!(name.as_str(), "offset" | "cursor" | "limit");
                    raw || !here && !IGNORED_PARAMS.contains(&name.as_str())
                })
                .cloned()
                .collect(),
        )
    }

    /// Returns the filters with their positions among all parameters.
    pub(crate) fn filters(&self) -> impl Iterator<Item = (usize, &str, &str)> {
        self.0
            .iter()
            .enumerate()
            .filter(|(_, (name, _))| is_filter(name))
            .map(|(at, (name, value))| (at, name.as_str(), value.as_str()))
    }

    /// Returns whether numbers are shown as they are stored.
    pub(crate) fn is_raw(&self) -> bool {
        self.get("format") == Some(RAW)
    }

    /// Shows numbers as they are stored, or as people read them.
    pub(crate) fn raw(&self, raw: bool) -> Self {
        let mut changed = self.at_start();
        changed.0.retain(|(name, _)| name != "format");
        changed.0.extend(raw.then(|| ("format".to_owned(), RAW.to_owned())));
        changed
    }

    /// Returns the address of this state.
    pub(crate) fn url(&self, path: &str) -> String {
        if self.0.is_empty() { path.to_owned() } else { format!("{path}?{}", self.query()) }
    }

    /// Returns the query string.
    pub(crate) fn query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// Parses a query string.
    pub(crate) fn parse(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Returns the address of a download of all rows.
    pub(crate) fn download(&self, path: &str, format: DownloadFormat) -> String {
        let mut changed = self.raw(false);
        changed.0.push(("format".to_owned(), format.name().to_owned()));
        changed.url(&format!("{path}/download"))
    }
}
