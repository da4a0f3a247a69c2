//! A dashboard's panel: a card with a title, its content and notes.

use materia::{
    dashboard::{CellStyle, Change, Content, Decoration, PanelData, Stat, Table, Tone},
    plan::Plan,
};
use maud::{Markup, html};

use super::{PanelLinks, chart, markdown, panel_menu::panel_menu, scroll};

/// Returns, for each of the panels on a page, the columns of the widest one with a chart in its row.
pub(crate) fn widest_chart_in_row<'a>(panels: impl Iterator<Item = &'a PanelData>) -> Vec<u8> {
    const COLUMNS: u8 = 12;
    let (mut rows, mut used): (Vec<Vec<(u8, bool)>>, u8) = (Vec::new(), COLUMNS);
    for panel in panels {
        let width = panel.width.clamp(1, COLUMNS);
        if used + width > COLUMNS || panel.section.is_some() {
            rows.push(Vec::new());
            used = 0;
        }
        used += width;
        if let Some(row) = rows.last_mut() {
            row.push((width, matches!(panel.content, Content::Chart(_))));
        }
    }
    let widest = |row: Vec<(u8, bool)>| {
        let charts = row.iter().filter(|(_, is_chart)| *is_chart);
        let widest = charts.map(|(width, _)| *width).max().unwrap_or_default();
        vec![widest; row.len()]
    };
    rows.into_iter().flat_map(widest).collect()
}

/// Renders a panel. `id` is unique in the page.
pub(crate) fn panel(id: &str, panel: &PanelData) -> Markup {
    panel_in_row(id, (panel, panel.width), None, false)
}

/// Works like [`panel`], with a menu of downloads, and as high as the widest chart in its row, which
/// has `widest` columns ([`widest_chart_in_row`]).
pub(crate) fn panel_in_row(
    id: &str,
    (panel, widest): (&PanelData, u8),
    links: Option<&PanelLinks>,
    is_operator: bool,
) -> Markup {
    let kind = kind(&panel.content);
    html! {
        section.panel #(id) data-kind=(kind) data-long[is_long(&panel.content)] data-filters=[(!panel.filters.is_empty()).then(|| panel.filters.join(" "))] data-width=(panel.width.clamp(1, 12)) aria-labelledby={ (id) "-name" } {
            header {
                h2 #{ (id) "-name" } { @match &panel.link { Some(link) => a href=(link) { (panel.title) }, None => (panel.title) } }
                @if let (Some(unit), false) = (&panel.unit, kind == "stat" || says_unit(&panel.content)) { p.unit { (unit) } }
                @if let Some(links) = links { (panel_menu(id, &panel.title, links)) }
            }
            @match &panel.content {
                Content::Stat(figure) => (stat(figure, panel.unit.as_deref())),
                Content::Chart(drawing) => {
                    (chart::chart(id, &panel.title, (panel.unit.as_deref(), panel.short_unit.as_deref()), drawing, (panel.width, widest)))
                    (cut(&panel.notes))
                    @if let Some(note) = &panel.note { p.note { (note) } }
                    (origin(panel))
                    (chart::data_table(id, &panel.title, drawing))
                },
                Content::Facets { charts } => {
                    div.facets {
                        @for (at, facet) in charts.iter().enumerate() {
                            @let name = format!("{}, {}", panel.title, facet.name);
                            @let id = format!("{id}-{}", at + 1);
                            div.facet {
                                h3 { (facet.name) }
                                (chart::chart(&id, &name, (panel.unit.as_deref(), panel.short_unit.as_deref()), &facet.chart, (4, 4)))
                                (chart::data_table(&id, &name, &facet.chart))
                            }
                        }
                    }
                },
                Content::Map(map) => {
                    (chart::map(id, &panel.title, panel.unit.as_deref(), map))
                    (cut(&panel.notes))
                    @if let Some(note) = &panel.note { p.note { (note) } }
                    (origin(panel))
                    (chart::map_table(id, &panel.title, panel.short_unit.as_deref(), map))
                },
                Content::Heatmap(map) => (chart::heatmap(&panel.title, panel.unit.as_deref(), map)),
                Content::Table(rows) => (table(&panel.title, rows, links)),
                Content::Markdown { text } => div.prose { (markdown::markdown(text)) },
                Content::Empty { reason } => p.empty { (reason) "." },
                Content::Locked { plan, would_be } => (locked(*plan, would_be)),
                Content::Failed { reason } => (failed(reason, panel.findings.by_amount, is_operator)),
            }
            @if !matches!(kind, "chart" | "map") {
                (cut(&panel.notes))
                @if let Some(note) = &panel.note { p.note { (note) } }
                (origin(panel))
            }
        }
    }
}

/// Renders what customers can do, and the reason for those who can change the file.
fn failed(reason: &str, by_amount: bool, is_operator: bool) -> Markup {
    html! {
        div.empty role="status" {
            @if is_operator {
                p { "This panel cannot be shown: " (reason) }
            } @else if by_amount {
                p { "There is too much data to draw it at once. Select a shorter period or fewer options." }
            } @else {
                p { "This panel cannot be shown right now. It has been logged; the others are not affected." }
            }
        }
    }
}

/// Says once for a page what the viewer's plan leaves out, and which plan has all of it; nothing
/// where nothing is left out.
pub(crate) fn locked_banner(panels: &[PanelData]) -> Markup {
    let plans = panels.iter().filter_map(|panel| match panel.content {
        Content::Locked { plan, .. } => Some(plan),
        _ => None,
    });
    let plans: Vec<Plan> = plans.collect();
    let Some(needed) = plans.iter().max().copied() else { return html! {} };
    let what = match (plans.len(), panels.len()) {
        (all, total) if all == total => "This dashboard is".to_owned(),
        (1, total) => format!("1 of {total} panels is"),
        (some, total) => format!("{some} of {total} panels are"),
    };
    html! {
        aside.banner aria-label="Your plan" {
            p { (what) " included in the " strong { (super::plan_title(needed)) } " plan." }
            a.button data-kind="primary" href="/pricing" { "See plans" }
        }
    }
}

/// Renders how far the sources reach, and links to the formulas.
fn origin(panel: &PanelData) -> Markup {
    html! {
        @for source in &panel.freshness {
            p.note.reach data-late=[source.is_late.then_some("")] {
                (capitalized(&source.text)) @if source.is_late { " " strong { "Late" } }
            }
        }
        @if !panel.formulas.is_empty() {
            p.note.formulas {
                "Formula: "
                @for (at, formula) in panel.formulas.iter().enumerate() {
                    @if at > 0 { ", " }
                    a href={ "/methodology#" (formula_id(&formula.name)) } title=(formula.text) { (formula.name) }
                }
            }
        }
    }
}

/// Returns the id of a formula on the page of methodology.
pub(crate) fn formula_id(name: &str) -> String {
    let letters = name.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '-' });
    format!("formula-{}", letters.collect::<String>().to_lowercase())
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

/// Renders notes about omitted data.
fn cut(notes: &[String]) -> Markup {
    html! { @if !notes.is_empty() { p.note.cut { (notes.join(" ")) } } }
}

/// Whether the drawing itself says what is counted.
fn says_unit(content: &Content) -> bool {
    matches!(content, Content::Chart(chart) if chart.y.has_title)
}

/// Whether it is a table that may be cut to the height of the panels beside it, since it scrolls.
fn is_long(content: &Content) -> bool {
    const ROWS: usize = 12;
    matches!(content, Content::Table(table) if table.rows.len() > ROWS)
}

fn kind(content: &Content) -> &'static str {
    match content {
        Content::Stat(_) => "stat",
        Content::Chart(_) => "chart",
        Content::Facets { .. } => "facets",
        Content::Map(_) => "map",
        Content::Heatmap(_) => "heatmap",
        Content::Table(_) => "table",
        Content::Markdown { .. } => "text",
        Content::Empty { .. } => "empty",
        Content::Locked { .. } => "locked",
        Content::Failed { .. } => "failed",
    }
}

/// Renders a figure, its change and its history.
fn stat(stat: &Stat, unit: Option<&str>) -> Markup {
    html! {
        p.figure data-tone=[stat.tone.map(tone_name)] { span.value { (stat.shown) } @if let Some(tone) = stat.tone.filter(|tone| *tone != Tone::Neutral) { span.unseen { " (" (tone_name(tone)) ")" } } @if let Some(unit) = unit { " " span.unit { (unit) } } }
        p.change {
            @if let Some(change) = &stat.change { (delta(change)) }
            @if let Some(at) = &stat.at { span.at { (at) } }
        }
        (chart::sparkline(&stat.history))
        @if let Some(target) = &stat.target {
            p.target {
                svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                    rect.whole width="100" height="6" {}
                    rect.reached[target.is_reached] width=(format!("{:.1}", target.share.min(1.0) * 100.0)) height="6" {}
                }
                (target.share_shown) " of " (target.shown) @if let Some(unit) = unit { " " (unit) }
            }
        }
    }
}

/// Returns the name of a tone in the style sheet, and for screen readers.
fn tone_name(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Neutral => "neutral",
    }
}

fn delta(change: &Change) -> Markup {
    let tone = tone_name(change.tone);
    let (direction, sign) = if change.value > 0.0 {
        ("up", "▲")
    } else if change.value < 0.0 {
        ("down", "▼")
    } else {
        ("same", "")
    };
    html! {
        span.delta data-direction=(direction) data-tone=(tone) { span aria-hidden="true" { (sign) } " " (change.shown) }
        " " span.against { "vs " (change.against) } " "
    }
}

/// Renders a table that scrolls inside its panel if it is too wide.
fn table(title: &str, rows: &Table, links: Option<&PanelLinks>) -> Markup {
    let groups = rows.groups();
    let (first, last) = (rows.skipped + 1, rows.skipped + rows.rows.len());
    let page = |label: &str, rel: &str, href: &str| html! { a href=(href) rel=(rel) aria-label={ (label) " rows of " (title) } { (label) } };
    let side = |at: usize| rows.columns.get(at).filter(|column| column.right).map(|_| "right");
    html! {
        (scroll(&format!("{title}, scrollable"), &html! {
            table.grid {
                thead {
                    @if !groups.is_empty() { tr.groups { @for group in &groups {
                        @match group.title {
                            Some(title) => th scope="colgroup" colspan=(group.columns) { span { (title) } },
                            None => td colspan=(group.columns) {},
                        }
                    } } }
                    tr { @for (at, column) in rows.columns.iter().enumerate() {
                    th scope="col" class=[side(at)] data-ranks=[rows.ranks.get(at).filter(|ranks| ranks.len() > 1).map(|ranks| places(ranks))] { (column.title) @if let Some(unit) = &column.unit { " " span.unit { (unit) } } }
                    } }
                }
                tbody { @for (line, row) in rows.rows.iter().enumerate() { tr { @for (at, cell) in row.iter().enumerate() {
                    @let cell = cell_content(cell, rows.decorations.get(line).and_then(|row| row.get(at)));
                    @if at == 0 { th scope="row" class=[side(at)] { (cell) } } @else { td class=[side(at)] { (cell) } }
                } } } }
                @if let Some(totals) = &rows.totals { tfoot { tr { @for (at, cell) in totals.iter().enumerate() {
                    @if at == 0 { th scope="row" class=[side(at)] { (cell) } } @else { td class=[side(at)] { (cell) } }
                } } } }
            }
        }))
        p.more {
            @if rows.skipped > 0 { (materia::humanize::count(first as u64)) " to " (materia::humanize::count(last as u64)) " of " (materia::humanize::rows(rows.all_rows() as u64)) }
            @else {
                (materia::humanize::rows(rows.rows.len() as u64))
                @if rows.left_out > 0 { " of " (materia::humanize::count(rows.all_rows() as u64)) }
            }
            " · " (materia::humanize::plural(rows.columns.len(), "column"))
            @if let Some(previous) = links.and_then(|links| links.previous_rows.as_deref()) { " · " (page("Previous", "prev", previous)) }
            @if let Some(next) = links.and_then(|links| links.next_rows.as_deref()) { " · " (page("Next", "next", next)) }
        }
    }
}

/// Writes the places of rows for the script that sorts them.
fn places(ranks: &[Option<u32>]) -> String {
    let place = |rank: &Option<u32>| rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
    ranks.iter().map(place).collect::<Vec<_>>().join(" ")
}

/// Renders a cell's text with the decoration of its column.
fn cell_content(text: &str, decoration: Option<&Decoration>) -> Markup {
    let Some(decoration) = decoration else { return clamp(text) };
    let tone = decoration.tone.map(tone_name);
    let inner = html! {
        @match (decoration.style, decoration.fraction) {
            (Some(CellStyle::Bar), Some(fraction)) => span.cell-with-bar {
                svg.cell-bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" { rect.below[fraction < 0.0] width=(format!("{:.1}", fraction.abs() * 100.0)) height="8" {} }
                span { (text) }
            },
            (Some(CellStyle::Scale), Some(fraction)) => span.cell-scale data-heat=(chart::heat_step(fraction)) { (text) },
            (Some(CellStyle::Delta), _) if !text.is_empty() => { span.delta data-tone=[tone] { span aria-hidden="true" { (match tone { Some("good") => "▲", Some("bad") => "▼", _ => "" }) } " " (text) } },
            (Some(CellStyle::Spark), _) => (chart::sparkline(&decoration.spark)),
            (Some(CellStyle::Badge), _) if !text.is_empty() => span.badge { (text) },
            _ => (clamp(text)),
        }
    };
    html! {
        @match (&decoration.href, tone) {
            (Some(href), _) => a href=(href) rel="noreferrer" { (inner) },
            (None, Some(tone)) if decoration.style != Some(CellStyle::Delta) => span.cell-tone data-tone=(tone) { (inner) },
            _ => (inner),
        }
    }
}

/// Limits a text to a few lines: the full text is in the table's download.
fn clamp(text: &str) -> Markup {
    const MAX_CHARS: usize = 300;
    const MANY: usize = 60;
    html! {
        @if text.chars().count() <= MANY { (text) }
        @else if text.chars().count() <= MAX_CHARS { span.clamp { (text) } }
        @else { span.clamp { (text.chars().take(MAX_CHARS).collect::<String>()) "…" } }
    }
}

/// Renders a placeholder for a panel that a larger plan includes.
fn locked(plan: Plan, would_be: &str) -> Markup {
    let what = match would_be {
        "stat" => "A key figure",
        "table" | "changes" => "A table",
        "heatmap" => "A heatmap",
        "map" => "A map",
        "markdown" => "A commentary",
        "scatter" => "A scatter plot",
        "bar" => "A bar chart",
        "area" => "An area chart",
        "histogram" => "A histogram",
        "box" => "A box plot",
        _ => "A chart",
    };
    html! {
        div.locked {
            (placeholder(would_be))
            p { (what) " in the " strong { (super::plan_title(plan)) } " plan." }
        }
    }
}

/// Draws the outline of a kind of panel, without any data.
fn placeholder(would_be: &str) -> Markup {
    html! {
        svg.sketch viewBox="0 0 240 70" aria-hidden="true" {
            @match would_be {
                "bar" | "stat" => {
                    @for (at, height) in [22, 34, 28, 46, 40, 56, 50, 62].iter().enumerate() {
                        rect x=(12 + at * 28) y=(66 - height) width="18" height=(height) rx="2" {}
                    }
                },
                "table" | "changes" | "markdown" | "heatmap" => {
                    @for row in 0..4 { @for column in 0..4 { rect x=(8 + column * 58) y=(6 + row * 16) width=(if column == 0 { 46 } else { 34 }) height="8" rx="2" {} } }
                },
                "scatter" | "map" => {
                    @for (x, y) in [(20, 52), (48, 44), (70, 50), (96, 36), (124, 40), (150, 26), (176, 30), (206, 14)] { circle cx=(x) cy=(y) r="5" {} }
                },
                _ => path d="M6 56L40 44L74 50L108 30L142 36L176 18L234 10" fill="none" {},
            }
        }
    }
}
