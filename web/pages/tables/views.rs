//! Views of the explorer.

use std::sync::Arc;

use materia::{
    download::DownloadFormat,
    humanize,
    plan::Plan,
    reader::{ColumnInfo, TableInfo},
    settings::TableView,
    tables::{MAX_OFFSET, Operator, Order, TypeClass, quoted},
    values::format_number,
};
use maud::{Markup, html};

use super::{
    ROWS_PER_PAGE, column_title, encoded,
    facets::{self, Facet},
};
use crate::{
    components,
    data::{ExplorerParams, Sizes, TableRows},
    page::View,
};

/// Longer values are shortened in cells.
const MAX_CELL_CHARS: usize = 120;

/// A table and the state of the page about it.
pub(crate) struct TableFrame {
    pub(crate) title: String,
    pub(crate) table: Arc<TableInfo>,
    pub(crate) view: Arc<TableView>,
    pub(crate) path: String,
    /// A sentence about the rows that the plan does not include.
    pub(crate) access_note: Option<String>,
    pub(crate) state: ExplorerParams,
}

/// A page of rows.
pub(crate) struct RowsPage {
    pub(crate) frame: TableFrame,
    /// The rows; `None` if the parameters are invalid.
    pub(crate) shown: Option<RowsView>,
    /// What is wrong with the parameters.
    pub(crate) problem: Option<String>,
    /// Whether the plan includes downloads.
    pub(crate) downloads: bool,
    /// Suggested values of filters, by column.
    pub(crate) values: Vec<(usize, Vec<String>)>,
    /// The columns with few values.
    pub(crate) facets: Vec<Facet>,
    /// The columns that identify a row for good.
    pub(crate) key: Option<Vec<usize>>,
}

/// The rows of a page.
pub(crate) struct RowsView {
    /// The indexes of the selected columns.
    pub(crate) chosen: Vec<usize>,
    /// Which of them are numeric.
    pub(crate) numeric: Vec<bool>,
    pub(crate) order: Vec<Order>,
    pub(crate) rows: TableRows,
    /// The number of rows on earlier pages.
    pub(crate) first: u64,
    /// Whether there may be more rows after these.
    pub(crate) full: bool,
    /// The number of matching rows, if it could be counted in time.
    pub(crate) total: Option<u64>,
    pub(crate) sizes: Sizes,
}

/// A table that a larger plan includes.
pub(crate) struct LockedPage {
    pub(crate) frame: TableFrame,
    pub(crate) plan: Plan,
}

impl TableFrame {
    /// Returns the unit of a column's values.
    pub(super) fn unit(&self, column: &str) -> Option<&str> {
        self.view.column(column)?.unit.as_deref()
    }

    pub(super) fn column_title(&self, column: &str) -> String {
        column_title(&self.view, column)
    }

    /// Renders the table's title, description and tabs.
    pub(super) fn head(&self, current: &str) -> Markup {
        let state = self.state.at(0);
        let tab = |name: &str, title: &str, path: &str| html! { a href=(state.url(path)) aria-current=[(current == name).then_some("page")] { (title) } };
        html! {
            p.crumbs { a href="/tables" { "Tables" } }
            div.title-row {
                h1 { (self.title) }
                @if let Some(comment) = &self.table.comment { p.lead { (comment) "." } }
                @if let Some(access_note) = &self.access_note { p.note { (access_note) ". " a href="/pricing" { "Plans" } } }
            }
            nav.tabs aria-label="About this table" {
                (tab("rows", "Rows", &self.path))
                (tab("columns", "Columns", &format!("{}/columns", self.path)))
            }
        }
    }

    fn filters(&self, values: &[(usize, Vec<String>)]) -> Markup {
        let name_of = |operator: Operator| match operator {
            Operator::In => "is one of (a, b)",
            Operator::Like => "matches (* is any text)",
            operator => in_words(operator),
        };
        let filters: Vec<_> = self.state.filters().collect();
        html! {
            @if !filters.is_empty() {
                ul.chips aria-label="Filters" {
                    @for (at, name, value) in &filters {
                        @let words = filter_in_words(&self.view, name, value);
                        li.chip { span title={ (name) "=" (value) } { (words) } a href=(self.state.remove_filter(*at).url(&self.path)) aria-label={ "Remove the filter " (words) } { "×" } }
                    }
                    li { a href=(self.path) { "Clear all" } }
                }
            }
            form.filters.ask method="get" action={ (self.path) "/change" } {
                input type="hidden" name="what" value="filter";
                input type="hidden" name="state" value=(self.state.query());
                div.filter {
                    label for="filter-column" { "Only rows where" }
                    select #filter-column name="column" { @for column in &self.table.columns { option value=(column.name) { (self.column_title(&column.name)) } } }
                }
                div.filter {
                    label for="filter-operator" { "Comparison" }
                    select #filter-operator name="operator" {
                        @for operator in Operator::ALL.into_iter().filter(|operator| *operator != Operator::Is) { option value=(operator) { (name_of(operator)) } }
                        option value="null" { "is missing" }
                        option value="not-null" { "is not missing" }
                    }
                }
                div.filter {
                    label for="filter-value" { "Value" }
                    input #filter-value name="value" type="text" maxlength="1000" autocomplete="off" list="filter-values";
                    // Without scripts, the values of all columns are suggested, with their columns.
                    datalist #filter-values {
                        @for (at, values) in values { @if let Some(column) = self.table.columns.get(*at) {
                            @for value in values { option value=(value) label={ (value) " (" (self.column_title(&column.name)) ")" } data-column=(column.name) {} }
                        } }
                    }
                }
                div.filter-actions { button.button type="submit" data-kind="primary" { "Filter" } }
            }
        }
    }

    fn column_choice(&self, chosen: &[usize]) -> Markup {
        html! {
            details.choice.columns {
                summary { (if chosen.len() == self.table.columns.len() { "All columns".to_owned() } else { format!("{} of {} columns", chosen.len(), self.table.columns.len()) }) }
                form method="get" action={ (self.path) "/change" } {
                    input type="hidden" name="what" value="columns";
                    input type="hidden" name="all" value=(self.table.columns.len());
                    input type="hidden" name="state" value=(self.state.query());
                    fieldset {
                        legend.unseen { "Columns" }
                        @for (at, column) in self.table.columns.iter().enumerate() {
                            label for={ "column-" (at) } { input #{ "column-" (at) } type="checkbox" name="column" value=(column.name) checked[chosen.contains(&at)]; (self.column_title(&column.name)) }
                        }
                        button.button type="submit" data-kind="plain" { "Apply" }
                    }
                }
            }
        }
    }
}

/// Returns a comparison in words, between a column and a value.
fn in_words(operator: Operator) -> &'static str {
    match operator {
        Operator::Eq => "is",
        Operator::Neq => "is not",
        Operator::Gt => "is more than",
        Operator::Gte => "is at least",
        Operator::Lt => "is less than",
        Operator::Lte => "is at most",
        Operator::In => "is one of",
        Operator::Contains => "contains",
        Operator::Like => "matches",
        Operator::Ilike => "matches (ignoring case)",
        Operator::Is => "is missing",
    }
}

/// Returns a filter of the address in words: `Country is Brazil`.
fn filter_in_words(view: &TableView, name: &str, value: &str) -> String {
    let column = column_title(view, name.trim_matches('"'));
    let (negated, rest) = value.strip_prefix("not.").map_or((false, value), |rest| (true, rest));
    let parsed = rest.split_once('.').and_then(|(word, operand)| {
        let found = Operator::ALL.into_iter().find(|operator| operator.to_string() == word);
        Some((found?, operand))
    });
    let Some((operator, operand)) = parsed else { return format!("{column} {value}") };
    let operand = operand.trim_start_matches('(').trim_end_matches(')').replace('"', "");
    match (operator, negated) {
        (Operator::Is, true) => format!("{column} is not missing"),
        (Operator::Is, false) => format!("{column} is missing"),
        (Operator::In, true) => format!("{column} is none of {}", operand.replace(',', ", ")),
        (Operator::In, false) => format!("{column} is one of {}", operand.replace(',', ", ")),
        (Operator::Eq, true) => format!("{column} is not {operand}"),
        (operator, true) => format!("{column}: not “{} {operand}”", in_words(operator)),
        (operator, false) => format!("{column} {} {operand}", in_words(operator)),
    }
}

impl View for LockedPage {
    fn render(&self) -> Markup {
        let plan = components::plan_title(self.plan);
        html! {
            (self.frame.head("rows"))
            div.panel data-kind="locked" { div.locked {
                strong { "This table is part of " (plan) }
                p { "Its columns are described under " a href="/methodology" { "Methodology" } "." }
                a.button data-kind="primary" href="/pricing" { "See plans" }
            } }
        }
    }
}

impl View for RowsPage {
    fn render(&self) -> Markup {
        html! {
            (self.frame.head("rows"))
            @if let Some(problem) = &self.problem { (components::notice("bad", problem)) }
            (self.frame.filters(&self.values))
            (facets::render(&self.frame, &self.facets))
            @if let Some(shown) = &self.shown {
                div.ask-row {
                    p.note role="status" { (shown.counted()) }
                    div.tools {
                        @let raw = self.frame.state.is_raw();
                        a href=(self.frame.state.raw(!raw).url(&self.frame.path)) { (if raw { "Readable numbers" } else { "Raw numbers" }) }
                        a href=(self.frame.state.url(&self.frame.path)) data-copy="Link copied" { "Copy link" }
                        (self.frame.column_choice(&shown.chosen))
                    }
                }
                (self.rows(shown))
                (self.pager(shown))
                (self.downloads(shown))
            }
        }
    }
}

impl RowsView {
    fn counted(&self) -> String {
        let last = self.first + self.rows.cells.len() as u64;
        match self.total {
            Some(0) => "No rows".to_owned(),
            Some(total) if last > self.first => {
                format!(
                    "Rows {} to {} of {}",
                    humanize::count(self.first + 1),
                    humanize::count(last),
                    humanize::count(total)
                )
            }
            Some(total) => format!("No rows on this page; {} match", humanize::rows(total)),
            None => {
                format!(
                    "Rows {} to {} of many",
                    humanize::count(self.first + 1),
                    humanize::count(last)
                )
            }
        }
    }
}

impl RowsView {
    fn downloadable(&self) -> String {
        let rows = match self.total {
            Some(0) => return "0 matching rows (downloads disabled).".to_owned(),
            Some(total) => format!("{} matching rows", humanize::count(total)),
            None => "All matching rows".to_owned(),
        };
        format!("{rows}, with the columns shown, from one export.")
    }
}

impl RowsPage {
    fn rows(&self, shown: &RowsView) -> Markup {
        let columns: Vec<_> = shown
            .chosen
            .iter()
            .filter_map(|at| Some((*at, self.frame.table.columns.get(*at)?)))
            .collect();
        html! {
            section.sheet.rows aria-label="Rows" {
                (components::scroll("Rows, scrollable", &html! {
                    table {
                        thead { tr { th scope="col" { span.unseen { "Row" } } @for ((at, column), numeric) in columns.iter().zip(&shown.numeric) {
                            @let about = column.comment.as_ref().map_or_else(|| column.name.clone(), |comment| format!("{}: {comment}", column.name));
                            @let sorted = shown.order.iter().find(|order| order.column == *at);
                            th scope="col" .right[*numeric] aria-sort=[sorted.map(|order| if order.descending { "descending" } else { "ascending" })] title=(about) {
                                @if TypeClass::of(&column.data_type).is_sortable() {
                                    a href=(self.sort(&column.name, sorted, *numeric || TypeClass::of(&column.data_type) == TypeClass::Temporal)) { (self.frame.column_title(&column.name)) @if let Some(order) = sorted { span aria-hidden="true" { (if order.descending { " ▼" } else { " ▲" }) } } }
                                } @else { (self.frame.column_title(&column.name)) }
                                @let title = self.frame.column_title(&column.name);
                                " " a.chart-link href=(self.frame.state.at(0).url(&format!("{}/columns/{}", self.frame.path, encoded(&column.name)))) aria-label={ "Chart of " (title) } title={ "Chart of " (title) } { svg viewBox="0 0 12 12" aria-hidden="true" { path d="M1 11V6h2v5zM5 11V1h2v10zM9 11V4h2v7z" {} } }
                                @if let Some(unit) = self.frame.unit(&column.name) { span.unit { (unit) } }
                            }
                        } } }
                        @let forms: Vec<Option<NumberForm>> = columns.iter().enumerate().map(|(place, (_, column))| {
                            NumberForm::of(&column.name, shown.rows.cells.iter().filter_map(|row| row.get(place)?.as_deref()))
                        }).collect();
                        tbody { @for (line, row) in shown.rows.cells.iter().enumerate() { tr {
                            td { a.row-link href=(self.row_address(shown, line)) aria-label={ "Row " (humanize::count(shown.first + line as u64 + 1)) } { "›" } }
                            @for (((cell, numeric), (_, column)), form) in row.iter().zip(&shown.numeric).zip(&columns).zip(&forms) {
                                @let readable = if self.frame.state.is_raw() || !numeric { None } else { shown_value(cell.as_deref(), column, &self.frame.view, *form) };
                                @match (readable, cell) {
                                    (Some(readable), Some(raw)) => td.right title=(raw) { (readable) },
                                    _ => td .right[*numeric] { (cell_text(cell.as_deref())) },
                                }
                            }
                        } } }
                    }
                }))
                @if shown.rows.cells.is_empty() { p.empty { "No rows match the filters." } }
            }
        }
    }

    /// Returns the address of a row's page: by its key if there is one, else by its place.
    fn row_address(&self, shown: &RowsView, line: usize) -> String {
        let path = format!("{}/row", self.frame.path);
        let value = |at: &usize| {
            let place = shown.chosen.iter().position(|chosen| chosen == at)?;
            let text = shown.rows.cells.get(line)?.get(place)?.as_ref()?;
            let column = self.frame.table.columns.get(*at)?;
            Some((quoted(&column.name), format!("eq.{text}")))
        };
        let by_key = self.key.as_ref().and_then(|key| key.iter().map(value).collect());
        match by_key {
            Some(key) => ExplorerParams(key).url(&path),
            None => self.frame.state.at(shown.first + line as u64).url(&path),
        }
    }

    /// Returns the address that sorts by a column: first one way, then the other, then not at all.
    /// Of numbers and dates the largest are wanted first.
    fn sort(&self, column: &str, sorted: Option<&Order>, largest_first: bool) -> String {
        let name = quoted(column);
        let by = |descending: bool| if descending { format!("{name}.desc") } else { name.clone() };
        let order = match sorted {
            None => Some(by(largest_first)),
            // The order that applies where the address says none.
            Some(order) if self.frame.state.get("order").is_none() => Some(by(!order.descending)),
            Some(order) if order.descending == largest_first => Some(by(!largest_first)),
            Some(_) => None,
        };
        self.frame.state.with("order", order.as_deref()).url(&self.frame.path)
    }

    fn pager(&self, shown: &RowsView) -> Markup {
        let before = shown.first.saturating_sub(ROWS_PER_PAGE);
        let next = shown.first + ROWS_PER_PAGE;
        let more = shown.full && shown.total.is_none_or(|total| next < total);
        html! {
            @if shown.first > 0 || more {
                nav.pager aria-label="Pages" {
                    @if shown.first > 0 { a rel="prev" href=(self.frame.state.at(before).url(&self.frame.path)) { "Previous rows" } }
                    @if more && next <= MAX_OFFSET { a rel="next" href=(self.frame.state.at(next).url(&self.frame.path)) { "Next rows" } }
                    @if more && next > MAX_OFFSET { span { "To see more rows, filter or sort them, or download them all." } }
                }
            }
        }
    }

    /// Returns the address of a download for people: CSV is made safe for spreadsheets.
    fn file(&self, format: DownloadFormat) -> String {
        let address = self.frame.state.download(&self.frame.path, format);
        if format == DownloadFormat::Csv { format!("{address}&safe=true") } else { address }
    }

    fn downloads(&self, shown: &RowsView) -> Markup {
        html! {
            section.sheet aria-labelledby="download" {
                h2 #download { "Download" }
                @if self.downloads {
                    p { (shown.downloadable()) }
                    ul.formats {
                        @for (format, bytes) in shown.sizes.iter().filter(|_| shown.total != Some(0)) {
                            li { a.button data-kind="plain" download href=(self.file(*format)) { (format.title()) } span.note { "about " (humanize::bytes(*bytes)) } }
                        }
                    }
                    p.note { "CSV and JSON Lines downloads can be resumed. The CSV button escapes formulas for spreadsheets; programs can request "
                        a download href=(self.frame.state.download(&self.frame.path, DownloadFormat::Csv)) { "plain CSV" } ". "
                        a href="/docs/api#formats" { "Column types in each format" } "." }
                } @else {
                    p { "Full downloads are included from Starter. " a href="/pricing" { "Plans" } }
                }
                p.note { "For programs: " a href="/docs/api" { "the API" } " accepts the same parameters as this page's address." }
            }
        }
    }
}

fn cell_text(text: Option<&str>) -> Markup {
    match text {
        None => html! { span.null { "missing" } },
        Some(text) if text.chars().count() > MAX_CELL_CHARS => {
            html! { span title=(text.chars().take(2_000).collect::<String>()) { (text.chars().take(MAX_CELL_CHARS).collect::<String>()) "…" } }
        }
        Some(text) => html! { (text) },
    }
}

/// Returns a value as people read it: in the format of its column, else a number with separators
/// and, if given, in the form of the other values of its column. Nothing if that is the stored
/// text.
pub(super) fn shown_value(
    text: Option<&str>,
    column: &ColumnInfo,
    view: &TableView,
    form: Option<NumberForm>,
) -> Option<String> {
    let text = text?;
    if !TypeClass::of(&column.data_type).is_number() {
        return None;
    }
    let format = view.column(&column.name).and_then(|own| own.format);
    match format.zip(text.parse::<f64>().ok()) {
        Some((format, number)) => Some(format_number(number, format)).filter(|shown| shown != text),
        None => match form.and_then(|form| form.shown(text)) {
            Some(aligned) => Some(aligned).filter(|shown| shown != text),
            None => readable_number(text, &column.name),
        },
    }
}

/// Returns whether a number has more digits than it is shown with, or another form.
pub(super) fn is_shortened(text: &str, column: &str, view: &TableView) -> bool {
    let has_format = view.column(column).is_some_and(|own| own.format.is_some());
    has_format
        || parts(text).is_some_and(|(_, whole, fraction)| {
            fraction.len() > worthwhile_decimals(whole, fraction)
        })
}

/// Returns whether numbers of a column are years, codes or ids.
fn is_name(column: &str) -> bool {
    const NAMES: [&str; 6] = ["id", "code", "year", "zip", "number", "key"];
    let column = column.to_lowercase();
    column.split(|letter: char| !letter.is_alphanumeric()).any(|word| NAMES.contains(&word))
}

/// Splits a decimal number into whole and fraction without trailing zeros; nothing for other texts.
fn parts(text: &str) -> Option<(bool, &str, &str)> {
    let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = !whole.is_empty() && is_plain(whole) && is_plain(fraction);
    is_number.then(|| (is_negative, whole, fraction.trim_end_matches('0')))
}

/// Returns how many decimals of a number are worth reading: three, or below 1 the first three
/// significant ones.
fn worthwhile_decimals(whole: &str, fraction: &str) -> usize {
    let zeros = fraction.len() - fraction.trim_start_matches('0').len();
    fraction.len().min(if whole == "0" { zeros + 3 } else { 3 })
}

/// The form in which all numbers of a column are shown, so that they align.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberForm {
    decimals: usize,
    /// Whether thousands are separated.
    has_groups: bool,
}

impl NumberForm {
    /// Returns the form of these values; nothing if they are no decimal numbers.
    fn of<'c>(column: &str, cells: impl Iterator<Item = &'c str>) -> Option<Self> {
        if is_name(column) {
            return None;
        }
        let (mut decimals, mut digits) = (0, 0);
        for cell in cells {
            let (_, whole, fraction) = parts(cell)?;
            digits = digits.max(if whole == "0" { 0 } else { whole.len() });
            decimals = decimals.max(worthwhile_decimals(whole, fraction));
        }
        let decimals = decimals.min(if digits > 0 { 3 } else { 6 });
        Some(Self { decimals, has_groups: digits >= MIN_DIGITS_OF_GROUPS })
    }

    /// Returns a number in this form; nothing if it would be shown as zero although it is not, or
    /// has more digits than can be rounded.
    fn shown(self, text: &str) -> Option<String> {
        let Self { decimals, has_groups } = self;
        let (is_negative, whole, fraction) = parts(text)?;
        let rounded = if fraction.len() > decimals {
            if whole.len() > 12 {
                return None;
            }
            format!("{:.decimals$}", text.parse::<f64>().ok()?.abs())
        } else {
            let point = if decimals > 0 { "." } else { "" };
            format!("{whole}{point}{fraction:0<decimals$}")
        };
        let is_zero = |number: &str| number.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        if is_zero(&rounded) && !(is_zero(whole) && fraction.is_empty()) {
            return None;
        }
        let sign = if is_negative && !is_zero(&rounded) { "\u{2212}" } else { "" };
        let (whole, fraction) = rounded.split_once('.').unwrap_or((&rounded, ""));
        let point = if fraction.is_empty() { "" } else { "." };
        let whole =
            if has_groups { humanize::thousands_separated(whole) } else { whole.to_owned() };
        Some(materia::locale::current().number(format!("{sign}{whole}{point}{fraction}")))
    }
}

/// Returns a number with separators and at most three decimals (more below 1), if that differs from
/// the stored one. Years, codes and ids are left alone.
fn readable_number(text: &str, column: &str) -> Option<String> {
    if is_name(column) {
        return None;
    }
    let (is_negative, whole, fraction) = parts(text)?;
    let sign = if is_negative { "\u{2212}" } else { "" };
    let decimals = worthwhile_decimals(whole, fraction);
    let readable = if fraction.len() > decimals {
        let number: f64 = text.parse().ok()?;
        let rounded = format!("{:.decimals$}", number.abs());
        let (whole, fraction) = rounded.split_once('.').unwrap_or((&rounded, ""));
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{}{point}{fraction}", grouped(whole))
    } else {
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{}{point}{fraction}", grouped(whole))
    };
    let readable = materia::locale::current().number(readable);
    (readable != text).then_some(readable)
}

/// Thousands are separated from 10,000 on.
const MIN_DIGITS_OF_GROUPS: usize = 5;

/// Separates thousands.
fn grouped(digits: &str) -> String {
    if digits.len() < MIN_DIGITS_OF_GROUPS {
        digits.to_owned()
    } else {
        humanize::thousands_separated(digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable_and_years_and_ids_stay_as_they_are() {
        let readable = |text: &str| readable_number(text, "production");
        assert_eq!(readable("1234567"), Some("1,234,567".to_owned()));
        assert_eq!(readable("-65432.123456"), Some("\u{2212}65,432.123".to_owned()));
        assert_eq!(readable("0.000123456"), Some("0.000123".to_owned()));
        assert_eq!(readable("2.9999999"), Some("3".to_owned()));
        for same in ["1234", "12.5", "0.25", "1e300", "NaN", "inf", ""] {
            assert_eq!(readable(same), None, "{same}");
        }
        for name in ["market_year", "country_id", "zip code"] {
            assert_eq!(readable_number("1234567", name), None, "{name}");
        }
    }

    #[test]
    fn numbers_of_a_column_have_the_same_form_and_none_is_shown_as_zero() {
        let shown = |cells: &[&str]| {
            let form = NumberForm::of("price", cells.iter().copied());
            let column = ColumnInfo {
                name: "price".to_owned(),
                data_type: "DOUBLE".to_owned(),
                nullable: true,
                comment: None,
            };
            cells
                .iter()
                .map(|cell| {
                    let shown = shown_value(Some(cell), &column, &TableView::default(), form);
                    shown.unwrap_or_else(|| (*cell).to_owned())
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(&["4.28", "4.014", "12345"]), ["4.280", "4.014", "12,345.000"]);
        assert_eq!(shown(&["108.000", "0.000", "-3.000"]), ["108", "0", "\u{2212}3"]);
        assert_eq!(shown(&["0.5", "0.25", "-0.0648123"]), ["0.5000", "0.2500", "\u{2212}0.0648"]);
        assert_eq!(shown(&["7.5", "0.00012345"]), ["7.500", "0.000123"]);
        assert_eq!(shown(&["7.5", "NaN"]), ["7.5", "NaN"]);
        assert_eq!(
            shown(&["12345678901234567890.125", "1"]),
            ["12,345,678,901,234,567,890.125", "1.000"]
        );
        assert_eq!(shown(&["2855", "15351"]), ["2,855", "15,351"]);
        assert_eq!(shown(&["2855", "1535"]), ["2855", "1535"]);
        assert_eq!(NumberForm::of("market_year", ["2026"].into_iter()), None);
    }

    #[test]
    fn a_filter_is_said_in_words() {
        let cases = [
            ("country", "eq.Brazil", "Country is Brazil"),
            ("country", "not.in.(Brazil,Vietnam)", "Country is none of Brazil, Vietnam"),
            ("bags", "gte.5", "Bags is at least 5"),
            ("bags", "not.is.null", "Bags is not missing"),
            ("note", "like.a*", "Note matches a*"),
            ("note", "soon", "Note soon"),
        ];
        for (name, value, words) in cases {
            assert_eq!(filter_in_words(&TableView::default(), name, value), words);
        }
    }
}
