//! From the TOML of one dashboard to what it means, with every mistake found on the way.

mod file;
mod filters;
mod panels;

use std::{collections::BTreeSet, path::Path};

use self::file::{File, Text};
use super::{
    model::{Dashboard, Filter},
    parameters,
    units::Units,
};
use crate::{
    toml_file::{self, FileError},
    words,
};

/// A dashboard without the parts that are mistaken, and the mistakes.
pub(super) fn dashboard(path: &Path, text: &str, units: &Units) -> (Option<Dashboard>, Vec<FileError>) {
    let file: File = match toml_file::parse(path, text) {
        Ok(file) => file,
        Err(error) => return (None, vec![error]),
    };
    let mut author = Author { path, text, units, problems: Vec::new() };
    let slug = author.slug(file.slug.as_ref());
    let mut filters = Vec::<Filter>::new();
    let mut mistaken = Vec::new();
    for filter in file.filters {
        let name = filter.get_ref().name.get_ref().clone();
        match author.filter(filter, &filters) {
            Some(filter) => filters.push(filter),
            None => mistaken.extend([format!("{name}_from"), format!("{name}_to"), name]),
        }
    }
    let known: Vec<String> = filters.iter().flat_map(Filter::parameters).collect();
    let mut used = BTreeSet::new();
    let mut panels = Vec::new();
    for panel in file.panels {
        let line = author.line(panel.span().start);
        let panel = panel.into_inner();
        // A panel that needs what its author got wrong cannot be answered; the mistake has been told.
        let answerable = author.parameters(panel.sql.as_ref(), &known, &mistaken, &mut used);
        panels.extend(author.panel(panel, line, file.plan).filter(|_| answerable));
    }
    if panels.is_empty() && author.problems.is_empty() {
        author.problem(None, "there is no [[panel]] to show".to_owned());
    }
    for filter in &filters {
        let mine = filter.parameters();
        if !mine.iter().any(|name| used.contains(name)) {
            let names = mine.iter().map(|name| format!("${name}")).collect::<Vec<_>>().join(" and ");
            author
                .problems
                .push(author.error(Some(filter.line), format!("no panel uses the filter {:?} ({names} in its sql)", filter.name)));
        }
    }
    let dashboard = slug.map(|slug| Dashboard {
        file: path.to_path_buf(),
        slug,
        title: file.title,
        order: file.order,
        description: file.description,
        plan: file.plan,
        sources: file.sources,
        filters,
        panels,
    });
    (dashboard, author.problems)
}

/// Collects what the author of a file got wrong.
struct Author<'a> {
    path: &'a Path,
    text: &'a str,
    units: &'a Units,
    problems: Vec<FileError>,
}

impl Author<'_> {
    fn line(&self, start: usize) -> usize {
        self.text.get(..start).unwrap_or(self.text).matches('\n').count() + 1
    }

    fn error(&self, line: Option<usize>, message: String) -> FileError {
        FileError { path: self.path.to_path_buf(), line, message }
    }

    fn problem(&mut self, start: Option<usize>, message: String) {
        let line = start.map(|start| self.line(start));
        self.problems.push(self.error(line, message));
    }

    /// A value that may be mistaken.
    fn take<T>(&mut self, start: usize, value: Result<T, String>) -> Option<T> {
        value.map_err(|message| self.problem(Some(start), message)).ok()
    }

    fn slug(&mut self, given: Option<&Text>) -> Option<String> {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (slug, start) = given.map_or((stem, None), |slug| (slug.get_ref().clone(), Some(slug.span().start)));
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '_');
        if !slug.is_empty() && slug.chars().all(fits) {
            return Some(slug);
        }
        self.problem(start, format!("{slug:?} cannot be an address: use lower-case letters, digits, - and _, as in slug = \"supply\""));
        None
    }

    /// Whether every `$name` in a panel's SQL is a filter's. Those of mistaken filters are passed over.
    fn parameters(&mut self, sql: Option<&Text>, known: &[String], mistaken: &[String], used: &mut BTreeSet<String>) -> bool {
        let Some(sql) = sql else { return true };
        let mut answerable = true;
        for name in parameters::used(sql.get_ref()) {
            if known.iter().any(|filter| filter == name) {
                used.insert(name.to_owned());
                continue;
            }
            answerable = false;
            if mistaken.iter().any(|filter| filter == name) {
                continue;
            }
            let written = &self.text[sql.span()];
            let start = sql.span().start + written.find(&format!("${name}")).unwrap_or_default();
            let known: Vec<String> = known.iter().map(|name| format!("${name}")).collect();
            self.problem(Some(start), words::unknown("filter", &format!("${name}"), known.iter().map(String::as_str)));
        }
        answerable
    }
}
