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
    for filter in file.filters {
        if let Some(filter) = author.filter(filter, &filters) {
            filters.push(filter);
        }
    }
    let known: Vec<String> = filters.iter().flat_map(Filter::parameters).collect();
    let mut used = BTreeSet::new();
    let mut panels = Vec::new();
    for panel in file.panels {
        let line = author.line(panel.span().start);
        let panel = panel.into_inner();
        author.parameters(panel.sql.as_ref(), &known, &mut used);
        panels.extend(author.panel(panel, line, file.plan));
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

    /// Every `$name` in a panel's SQL is a filter's.
    fn parameters(&mut self, sql: Option<&Text>, known: &[String], used: &mut BTreeSet<String>) {
        let Some(sql) = sql else { return };
        for name in parameters::used(sql.get_ref()) {
            if known.iter().any(|filter| filter == name) {
                used.insert(name.to_owned());
                continue;
            }
            let written = &self.text[sql.span()];
            let start = sql.span().start + written.find(&format!("${name}")).unwrap_or_default();
            let known: Vec<String> = known.iter().map(|name| format!("${name}")).collect();
            self.problem(Some(start), words::unknown("filter", &format!("${name}"), known.iter().map(String::as_str)));
        }
    }
}
