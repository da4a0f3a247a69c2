//! What the explorer looks like.

use std::sync::Arc;

use materia::{
    dashboard::title_of,
    plan::Plan,
    reader::TableInfo,
    tables::{Kind, MOST_OFFSET, Operator, Order},
    words,
};
use maud::{Markup, html};

use super::ON_A_PAGE;
use crate::web::{
    data::{Sizes, State, TableRows},
    page::View,
    parts,
};

/// Longer values are cut in cells.
const SHOWN: usize = 120;

/// A table, and the state of the page about it.
pub(crate) struct Frame {
    pub(crate) table: Arc<TableInfo>,
    pub(crate) path: String,
    /// What the plan does not see, in words.
    pub(crate) limited: Option<String>,
    pub(crate) state: State,
}

/// A page of rows.
pub(crate) struct RowsPage {
    pub(crate) frame: Frame,
    /// The rows; nothing where the address makes no sense.
    pub(crate) shown: Option<Shown>,
    /// What is wrong with the address.
    pub(crate) problem: Option<String>,
    /// Whether the plan includes downloads.
    pub(crate) downloads: bool,
}

/// Rows as they are shown.
pub(crate) struct Shown {
    /// The columns, by their places in the table.
    pub(crate) chosen: Vec<usize>,
    /// Which of them are numbers.
    pub(crate) numeric: Vec<bool>,
    pub(crate) order: Vec<Order>,
    pub(crate) rows: TableRows,
    /// How many rows lie before them.
    pub(crate) first: u64,
    /// Whether there may be more behind them.
    pub(crate) full: bool,
    /// How many there are in all, where that could be counted in time.
    pub(crate) total: Option<u64>,
    pub(crate) sizes: Sizes,
}

/// A table that asks for a larger plan.
pub(crate) struct Locked {
    pub(crate) frame: Frame,
    pub(crate) plan: Plan,
}

impl Frame {
    /// The table's name, what it is, and the pages about it.
    pub(super) fn head(&self, current: &str) -> Markup {
        let state = self.state.at(0);
        let tab = |name: &str, title: &str, path: &str| html! { a href=(state.address(path)) aria-current=[(current == name).then_some("page")] { (title) } };
        html! {
            p.crumbs { a href="/tables" { "Tables" } }
            div.title-row {
                h1 { (title_of(&self.table.name)) }
                @if let Some(comment) = &self.table.comment { p.lead { (comment) "." } }
                @if let Some(limited) = &self.limited { p.note { (limited) ". " a href="/settings#plan" { "Plans" } } }
            }
            nav.tabs aria-label="About this table" {
                (tab("rows", "Rows", &self.path))
                (tab("columns", "Columns", &format!("{}/columns", self.path)))
            }
        }
    }

    fn filters(&self) -> Markup {
        let name_of = |operator: Operator| match operator {
            Operator::Eq => "is",
            Operator::Neq => "is not",
            Operator::Gt => "is more than",
            Operator::Gte => "is at least",
            Operator::Lt => "is less than",
            Operator::Lte => "is at most",
            Operator::In => "is one of (a, b)",
            Operator::Contains => "contains",
            Operator::Like => "is like (* is anything)",
            Operator::Ilike => "is like, in any case",
            Operator::Is => "is empty",
        };
        let filters: Vec<_> = self.state.filters().collect();
        html! {
            @if !filters.is_empty() {
                ul.chips aria-label="Filters" {
                    @for (at, name, value) in &filters {
                        li { code { (name) "=" (value) } a href=(self.state.without(*at).address(&self.path)) aria-label={ "Remove the filter " (name) "=" (value) } { "×" } }
                    }
                    li { a href=(self.path) { "Remove all" } }
                }
            }
            form.filters.ask method="get" action={ (self.path) "/change" } {
                input type="hidden" name="what" value="filter";
                input type="hidden" name="state" value=(self.state.query());
                div.filter {
                    label for="filter-column" { "Only rows where" }
                    select #filter-column name="column" { @for column in &self.table.columns { option value=(column.name) { (column.name) } } }
                }
                div.filter {
                    label for="filter-operator" { "Comparison" }
                    select #filter-operator name="operator" {
                        @for operator in Operator::ALL.into_iter().filter(|operator| *operator != Operator::Is) { option value=(operator) { (name_of(operator)) } }
                        option value="null" { "is empty" }
                        option value="not-null" { "is not empty" }
                    }
                }
                div.filter {
                    label for="filter-value" { "Value" }
                    input #filter-value name="value" type="text" maxlength="1000" autocomplete="off";
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
                            label for={ "column-" (at) } { input #{ "column-" (at) } type="checkbox" name="column" value=(column.name) checked[chosen.contains(&at)]; (column.name) }
                        }
                        button.button type="submit" data-kind="plain" { "Show these" }
                    }
                }
            }
        }
    }
}

impl View for Locked {
    fn body(&self) -> Markup {
        let plan = parts::plan_title(self.plan);
        html! {
            (self.frame.head("rows"))
            div.panel data-kind="locked" { div.locked {
                strong { "This table is part of " (plan) }
                p { "Its columns and what they mean stand under " a href="/methodology" { "Methodology" } "." }
                a.button data-kind="primary" href="/settings#plan" { "See plans" }
            } }
        }
    }
}

impl View for RowsPage {
    fn body(&self) -> Markup {
        html! {
            (self.frame.head("rows"))
            @if let Some(problem) = &self.problem { (parts::notice("bad", problem)) }
            (self.frame.filters())
            @if let Some(shown) = &self.shown {
                div.ask-row {
                    p.note role="status" { (shown.counted()) }
                    (self.frame.column_choice(&shown.chosen))
                }
                (self.rows(shown))
                (self.pager(shown))
                (self.downloads(shown))
            }
        }
    }
}

impl Shown {
    fn counted(&self) -> String {
        let last = self.first + self.rows.cells.len() as u64;
        match self.total {
            Some(0) => "No rows".to_owned(),
            Some(total) if last > self.first => {
                format!("Rows {} to {} of {}", words::count(self.first + 1), words::count(last), words::count(total))
            }
            Some(total) => format!("No rows here; there are {}", words::count(total)),
            None => format!("Rows {} to {} of very many", words::count(self.first + 1), words::count(last)),
        }
    }
}

impl RowsPage {
    fn rows(&self, shown: &Shown) -> Markup {
        let columns: Vec<_> = shown.chosen.iter().filter_map(|at| Some((*at, self.frame.table.columns.get(*at)?))).collect();
        html! {
            section.sheet.rows aria-label="Rows" {
                (parts::scroll("Rows, scrollable", &html! {
                    table {
                        thead { tr { @for ((at, column), numeric) in columns.iter().zip(&shown.numeric) {
                            @let sorted = shown.order.iter().find(|order| order.column == *at);
                            th scope="col" .right[*numeric] aria-sort=[sorted.map(|order| if order.descending { "descending" } else { "ascending" })] title=[column.comment.as_deref()] {
                                @if Kind::of(&column.data_type).sorts() {
                                    a href=(self.sort(&column.name, sorted)) { (column.name) @if let Some(order) = sorted { span aria-hidden="true" { (if order.descending { " ▼" } else { " ▲" }) } } }
                                } @else { (column.name) }
                            }
                        } } }
                        tbody { @for row in &shown.rows.cells { tr {
                            @for (cell, numeric) in row.iter().zip(&shown.numeric) { td .right[*numeric] { (value(cell.as_deref())) } }
                        } } }
                    }
                }))
                @if shown.rows.cells.is_empty() { p.empty { "No row is like that." } }
            }
        }
    }

    /// The address that sorts by a column: up, then down, then not.
    fn sort(&self, column: &str, sorted: Option<&Order>) -> String {
        let name = materia::tables::quoted(column);
        let order = match sorted {
            None => Some(name),
            Some(order) if !order.descending => Some(format!("{name}.desc")),
            Some(_) => None,
        };
        self.frame.state.with("order", order.as_deref()).address(&self.frame.path)
    }

    fn pager(&self, shown: &Shown) -> Markup {
        let before = shown.first.saturating_sub(ON_A_PAGE);
        let next = shown.first + ON_A_PAGE;
        let more = shown.full && shown.total.is_none_or(|total| next < total);
        html! {
            @if shown.first > 0 || more {
                nav.pager aria-label="Pages" {
                    @if shown.first > 0 { a rel="prev" href=(self.frame.state.at(before).address(&self.frame.path)) { "Previous rows" } }
                    @if more && next <= MOST_OFFSET { a rel="next" href=(self.frame.state.at(next).address(&self.frame.path)) { "Next rows" } }
                    @if more && next > MOST_OFFSET { span { "To see rows further on, filter or sort, or download them all." } }
                }
            }
        }
    }

    fn downloads(&self, shown: &Shown) -> Markup {
        html! {
            section.sheet aria-labelledby="download" {
                h2 #download { "Download" }
                @if self.downloads {
                    p { (match shown.total { Some(total) => format!("All {} that your filters leave, with the columns shown, from one export.", words::rows(total)), None => "All rows that your filters leave, with the columns shown, from one export.".to_owned() }) }
                    ul.formats {
                        @for (format, bytes) in &shown.sizes {
                            li { a.button data-kind="plain" download href=(self.frame.state.download(&self.frame.path, *format)) { (format.title()) } span.note { "about " (words::bytes(*bytes)) } }
                        }
                    }
                    p.note { "CSV and JSON Lines can be continued where they were interrupted; the bytes of the others are not the same twice. For CSV that spreadsheets cannot take for formulas, "
                        a download href={ (self.frame.state.download(&self.frame.path, materia::download::Format::Csv)) "&safe=true" } { "take this one" } "." }
                } @else {
                    p { "Files of all rows come with the plan Starter. " a href="/settings#plan" { "Plans" } }
                }
                p.note { "For programs: " a href="/docs/api" { "the API" } " takes the same parameters as this page's address." }
            }
        }
    }
}

fn value(text: Option<&str>) -> Markup {
    match text {
        None => html! { span.null { "empty" } },
        Some(text) if text.chars().count() > SHOWN => {
            html! { span title=(text.chars().take(2_000).collect::<String>()) { (text.chars().take(SHOWN).collect::<String>()) "…" } }
        }
        Some(text) => html! { (text) },
    }
}
