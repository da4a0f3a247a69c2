//! The state of the explorer as it stands in its address.

use materia::{
    download::Format,
    tables::{OTHERS, quoted},
};

/// The parameters of an address, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State(pub(crate) Vec<(String, String)>);

/// Parameters that are no filter.
const NO_FILTERS: [&str; 5] = ["select", "order", "limit", "offset", "cursor"];

impl State {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// With `name` set to `value`, or without it. What was shown from further on begins again.
    pub(crate) fn with(&self, name: &str, value: Option<&str>) -> Self {
        let mut changed = self.at_start();
        changed.0.retain(|(known, _)| known != name);
        changed.0.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        changed
    }

    /// With one filter more; one that is there already is not added twice.
    pub(crate) fn with_filter(&self, column: &str, value: &str) -> Self {
        let mut changed = self.at_start();
        let filter = (quoted(column), value.to_owned());
        if !changed.0.contains(&filter) {
            changed.0.push(filter);
        }
        changed
    }

    /// Without the filter at this place among all parameters.
    pub(crate) fn without(&self, at: usize) -> Self {
        let rest = self.0.iter().enumerate().filter(|(place, _)| *place != at).map(|(_, one)| one.clone());
        Self(rest.collect()).at_start()
    }

    /// At another offset.
    pub(crate) fn at(&self, offset: u64) -> Self {
        let mut changed = self.at_start();
        changed.0.extend((offset > 0).then(|| ("offset".to_owned(), offset.to_string())));
        changed
    }

    fn at_start(&self) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "offset" | "cursor" | "limit") && !OTHERS.contains(&name.as_str()))
                .cloned()
                .collect(),
        )
    }

    /// The filters, with their places among all parameters.
    pub(crate) fn filters(&self) -> impl Iterator<Item = (usize, &str, &str)> {
        let is_filter = |name: &str| !NO_FILTERS.contains(&name) && !OTHERS.contains(&name);
        self.0
            .iter()
            .enumerate()
            .filter(move |(_, (name, _))| is_filter(name))
            .map(|(at, (name, value))| (at, name.as_str(), value.as_str()))
    }

    /// An address at which this is shown.
    pub(crate) fn address(&self, path: &str) -> String {
        if self.0.is_empty() { path.to_owned() } else { format!("{path}?{}", self.query()) }
    }

    /// As it stands behind the `?`.
    pub(crate) fn query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// From what stands behind the `?`.
    pub(crate) fn parse(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The address of a file of all rows.
    pub(crate) fn download(&self, path: &str, format: Format) -> String {
        let mut changed = self.at_start();
        changed.0.push(("format".to_owned(), format.name().to_owned()));
        changed.address(&format!("{path}/download"))
    }
}
