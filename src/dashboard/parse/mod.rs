//! Parses the TOML of one dashboard into its model, with a diagnostic for every error.

mod blocks;
mod filters;
mod panels;
mod queries;
mod raw;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use toml::Spanned;

use self::queries::NamedQuery;
pub(super) use self::raw::RawText;
use super::{
    DataSource, colors, figures,
    kinds::Columns,
    model::{Dashboard, Filter, FilterKind, Panel, SqlText, TAB},
    parameters,
    units::Units,
};
use crate::{humanize, links, plan::Plan, toml_file::FileError};

/// Returns a dashboard without its invalid parts, and the errors.
pub(super) fn dashboard(
    path: &Path,
    text: &str,
    units: &Units,
) -> (Option<Dashboard>, Vec<FileError>) {
    let blocks::Readable { file, text, problems, unread } = match blocks::read(path, text) {
        Ok(read) => read,
        Err(problems) => return (None, problems),
    };
    let is_whole = problems.is_empty();
    let mut context = ParseContext { path, text: &text, units, problems };
    let slug = context.slug(file.slug.as_ref());
    let mut filters = Vec::<Filter>::new();
    let mut invalid: Vec<String> = unread
        .into_iter()
        .flat_map(|name| [format!("{name}_from"), format!("{name}_to"), name])
        .collect();
    for filter in file.filters {
        let name = filter.get_ref().name.get_ref().clone();
        match context.filter(filter, &filters) {
            Some(filter) => filters.push(filter),
            None => invalid.extend([format!("{name}_from"), format!("{name}_to"), name]),
        }
    }
    let public = file.public.as_ref().is_some_and(|public| *public.get_ref());
    if let (Some(given), true) = (&file.public, public && file.plan > Plan::Free) {
        let message = format!(
            "a dashboard that requires the plan {} cannot be public: remove plan or public",
            file.plan
        );
        context.problem(Some(given.span().start), message);
    }
    let queries = context.queries(file.queries);
    let around = panels::Around { plan: file.plan, public, filters: &filters, invalid: &invalid };
    let known: Vec<String> = filters.iter().flat_map(Filter::parameters).collect();
    let mut used = BTreeSet::new();
    let mut colors = BTreeMap::new();
    for given in [&file.colors, &file.colours].into_iter().flatten() {
        context.add_colors(given, &mut colors);
    }
    let mut tabs = Vec::<String>::new();
    for tab in file.panels.iter().filter_map(|panel| panel.get_ref().tab.as_ref()) {
        let name = figures::slug(tab.get_ref());
        if tabs.contains(&name) {
            let message = format!("there is another tab of the name {:?}", tab.get_ref());
            context.problem(Some(tab.span().start), message);
        }
        tabs.push(name);
    }
    if let (false, Some(filter)) = (tabs.is_empty(), filters.iter().find(|one| one.name == TAB)) {
        let message = "a dashboard with tabs cannot have a filter of the name \"tab\", since its addresses name the tab".to_owned();
        let problem = context.error(Some(filter.line), message);
        context.problems.push(problem);
    }
    let mut wanted = context.placeholders(file.description.as_deref(), None, &queries);
    let mut panels = Vec::new();
    for panel in file.panels {
        let line = context.line(panel.span().start);
        let mut panel = panel.into_inner();
        let text = panel.text.as_ref().map(|text| text.get_ref().as_str());
        for text in [Some(panel.title.as_str()), panel.note.as_deref(), text] {
            wanted.extend(context.placeholders(text, Some(line), &queries));
        }
        if let Some(named) = &panel.freshness {
            for name in named.get_ref().clone().list() {
                wanted.extend(context.query_name(&name, line, &queries));
            }
        }
        for name in panel.overlay_queries() {
            wanted.extend(context.query_name(&name, line, &queries));
        }
        let own_sql = panel.sql.clone();
        panel.sql = own_sql
            .clone()
            .map(|sql| Spanned::new(sql.span(), queries::with_queries(sql.get_ref(), &queries)));
        // A panel that needs an invalid filter cannot be evaluated; the filter has already been
        // reported.
        let has_filters = context.parameters(
            panel.sql.as_ref().zip(own_sql.as_ref()),
            &queries,
            &known,
            &invalid,
            &mut used,
        );
        let own_colors = [panel.colors.clone(), panel.colours.clone()];
        let texts = context.sql_texts(own_sql.as_ref(), &queries);
        let panel = context.panel(panel, line, &around).filter(|_| has_filters);
        panels.extend(panel.map(|panel| Panel { texts, ..panel }));
        for given in own_colors.into_iter().flatten() {
            context.add_colors(&given, &mut colors);
        }
    }
    let values = queries::value_queries(&queries, &wanted);
    for query in &values {
        let used_here = parameters::used(&query.sql).into_iter();
        used.extend(used_here.filter(|name| known.iter().any(|k| k == name)).map(str::to_owned));
    }
    if panels.is_empty() && context.problems.is_empty() {
        context.problem(None, "there is no [[panel]] to show".to_owned());
    }
    // A panel that could not be read may use any of them.
    for filter in filters.iter().filter(|_| is_whole) {
        let mine = filter.parameters();
        if !mine.iter().any(|name| used.contains(name)) {
            let names =
                mine.iter().map(|name| format!("${name}")).collect::<Vec<_>>().join(" and ");
            context.problems.push(context.error(
                Some(filter.line),
                format!("no panel uses the filter {:?} ({names} in its sql)", filter.name),
            ));
        }
    }
    let sources = file.sources.into_iter().map(|source| context.source(source)).collect();
    offer_all(&mut filters, &panels);
    // Without any panel there is nothing to show.
    let slug = slug.filter(|_| is_whole || !panels.is_empty());
    let dashboard = slug.map(|slug| Dashboard {
        digest: String::new(),
        file: path.to_path_buf(),
        slug,
        title: file.title,
        order: file.order,
        description: file.description,
        group: file.group,
        plan: file.plan,
        sources,
        filters,
        panels,
        colors,
        values,
        draft: file.draft,
        public: public && file.plan == Plan::Free,
    });
    (dashboard, context.problems)
}

/// Collects diagnostics while a file is parsed.
pub(super) struct ParseContext<'a> {
    path: &'a Path,
    text: &'a str,
    pub(super) units: &'a Units,
    pub(super) problems: Vec<FileError>,
}

impl ParseContext<'_> {
    pub(super) fn line(&self, start: usize) -> usize {
        self.text.get(..start).unwrap_or(self.text).matches('\n').count() + 1
    }

    pub(super) fn error(&self, line: Option<usize>, message: String) -> FileError {
        FileError { path: self.path.to_path_buf(), line, message }
    }

    pub(super) fn problem(&mut self, start: Option<usize>, message: String) {
        let line = start.map(|start| self.line(start));
        self.problems.push(self.error(line, message));
    }

    /// Returns a valid value, or reports the error.
    pub(super) fn ok_or_report<T>(&mut self, start: usize, value: Result<T, String>) -> Option<T> {
        value.map_err(|message| self.problem(Some(start), message)).ok()
    }

    /// Returns the SQL of a panel and of the named queries, as they are written in the file.
    fn sql_texts(&self, own: Option<&RawText>, queries: &[NamedQuery]) -> Vec<SqlText> {
        let spans = own.map(Spanned::span).into_iter();
        let spans = spans.chain(queries.iter().map(|query| query.span.clone()));
        let text = |span: std::ops::Range<usize>| {
            let before = self.text.get(..span.start)?;
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            Some(SqlText {
                line: self.line(span.start),
                column: before[line_start..].chars().count() + 1,
                text: self.text.get(span)?.to_owned(),
            })
        };
        spans.filter_map(text).collect()
    }

    /// Returns a source, without its URL if that could be harmful.
    fn source(&mut self, source: Spanned<DataSource>) -> DataSource {
        let start = source.span().start;
        let source = source.into_inner();
        let url =
            source.url.and_then(|url| self.ok_or_report(start, links::check(&url).map(|()| url)));
        DataSource { url, ..source }
    }

    fn slug(&mut self, given: Option<&RawText>) -> Option<String> {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (slug, start) =
            given.map_or((stem, None), |slug| (slug.get_ref().clone(), Some(slug.span().start)));
        let fits = |letter: char| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '_')
        };
        if !slug.is_empty() && slug.chars().all(fits) {
            return Some(slug);
        }
        self.problem(start, format!("{slug:?} cannot be an address: use lower-case letters, digits, - and _, as in slug = \"supply\""));
        None
    }

    /// Returns whether every `$name` in a panel's SQL is a filter's. Those of invalid filters are
    /// ignored.
    fn parameters(
        &mut self,
        sql: Option<(&RawText, &RawText)>,
        queries: &[NamedQuery],
        known: &[String],
        invalid: &[String],
        used: &mut BTreeSet<String>,
    ) -> bool {
        let Some((sql, own)) = sql else { return true };
        let mut is_complete = true;
        for name in parameters::used(sql.get_ref()) {
            if known.iter().any(|filter| filter == name) {
                used.insert(name.to_owned());
                continue;
            }
            is_complete = false;
            if invalid.iter().any(|filter| filter == name) {
                continue;
            }
            let parameter = format!("${name}");
            let own_place = self.text[own.span()].find(&parameter);
            // Otherwise the parameter is in a query that it uses.
            let place = own_place.map(|at| own.span().start + at).or_else(|| {
                queries.iter().find_map(|query| {
                    Some(query.start + self.text.get(query.start..)?.find(&parameter)?)
                })
            });
            let known: Vec<String> = known.iter().map(|name| format!("${name}")).collect();
            let message = humanize::unknown_name_message(
                "filter",
                &parameter,
                known.iter().map(String::as_str),
            );
            let line = place.map(|place| self.line(place));
            let problem = self.error(line, message);
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
        is_complete
    }

    /// Adds the colors of series by name.
    fn add_colors(
        &mut self,
        given: &Spanned<BTreeMap<String, String>>,
        colors: &mut BTreeMap<String, Option<u8>>,
    ) {
        let start = given.span().start;
        for (name, color) in given.get_ref() {
            let Some(color) = self.ok_or_report(start, colors::parse(color)) else { continue };
            if colors.insert(name.clone(), color).is_some_and(|other| other != color) {
                self.problem(Some(start), format!("{name:?} has two colors on this dashboard"));
            }
        }
    }

    /// Returns the column in a key, in lower case as in results.
    pub(super) fn required_column(
        &mut self,
        key: &str,
        value: Option<RawText>,
        title: &str,
        line: usize,
    ) -> Option<String> {
        self.required(key, value, title, line).map(|name| name.to_lowercase())
    }

    /// Returns the columns in a key, in lower case as in results.
    pub(super) fn required_columns(
        &mut self,
        key: &str,
        value: Option<Spanned<Columns>>,
        title: &str,
        line: usize,
    ) -> Option<Vec<String>> {
        self.required(key, value, title, line).map(Columns::list)
    }

    /// Returns the value of a required key.
    pub(super) fn required<T>(
        &mut self,
        key: &str,
        value: Option<Spanned<T>>,
        title: &str,
        line: usize,
    ) -> Option<T> {
        if value.is_none() {
            let message = format!("the panel {title:?} needs {key}");
            self.problems.push(self.error(Some(line), message));
        }
        value.map(Spanned::into_inner)
    }
}

/// Offers "All" in each `choice` without a default whose panels handle it.
fn offer_all(filters: &mut [Filter], panels: &[Panel]) {
    for filter in filters {
        let is_handled = panels.iter().any(|panel| {
            panel.visualization.sql().is_some_and(|sql| parameters::handles_all(sql, &filter.name))
        });
        if let FilterKind::Choice { all, default: None, .. } = &mut filter.kind {
            *all = is_handled;
        }
    }
}
