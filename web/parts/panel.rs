//! A dashboard's panel: a card with a title, what is drawn, and what to know about it.

use materia::{
    dashboard::{Change, Content, PanelData, Stat, Table},
    plan::Plan,
};
use maud::{Markup, html};

use super::{chart, markdown, scroll};

/// A panel. `id` is unique in the page; `upgrade` is where a larger plan is to be had.
pub(crate) fn panel(id: &str, panel: &PanelData, upgrade: &str) -> Markup {
    let kind = kind(&panel.content);
    html! {
        section.panel #(id) data-kind=(kind) data-width=(panel.width.clamp(1, 12)) aria-labelledby={ (id) "-name" } {
            header {
                h2 #{ (id) "-name" } { (panel.title) }
                @if let (Some(unit), false) = (&panel.unit, kind == "stat") { p.unit { (unit) } }
            }
            @match &panel.content {
                Content::Stat(figure) => (stat(figure, panel.unit.as_deref())),
                Content::Chart(drawing) => {
                    (chart::chart(id, &panel.title, panel.unit.as_deref(), drawing, panel.width))
                    (cut(&panel.notes))
                    @if let Some(note) = &panel.note { p.note { (note) } }
                    (chart::data_table(id, &panel.title, drawing))
                },
                Content::Heatmap(map) => (chart::heatmap(id, &panel.title, panel.unit.as_deref(), map)),
                Content::Table(rows) => (table(&panel.title, rows)),
                Content::Markdown { text } => div.prose { (markdown::markdown(text)) },
                Content::Empty { reason } => p.empty { (reason) "." },
                Content::Locked { plan, would_be } => (locked(*plan, would_be, upgrade)),
                Content::Failed { .. } => p.empty role="status" { "This panel cannot be shown right now. We have been told, and look into it; the others are not affected." },
            }
            @if kind != "chart" { (cut(&panel.notes)) }
            @if let (Some(note), false) = (&panel.note, kind == "chart") { p.note { (note) } }
        }
    }
}

/// What is not drawn because there is too much of it.
fn cut(notes: &[String]) -> Markup {
    html! { @if !notes.is_empty() { p.note.cut { (notes.join(" ")) } } }
}

fn kind(content: &Content) -> &'static str {
    match content {
        Content::Stat(_) => "stat",
        Content::Chart(_) => "chart",
        Content::Heatmap(_) => "heatmap",
        Content::Table(_) => "table",
        Content::Markdown { .. } => "text",
        Content::Empty { .. } => "empty",
        Content::Locked { .. } => "locked",
        Content::Failed { .. } => "failed",
    }
}

/// One figure, how it changed, and its history.
fn stat(stat: &Stat, unit: Option<&str>) -> Markup {
    html! {
        p.figure { span.value { (stat.shown) } @if let Some(unit) = unit { " " span.unit { (unit) } } }
        p.change {
            @if let Some(change) = &stat.change { (changed(change)) }
            @if let Some(at) = &stat.at { span.at { (at) } }
        }
        (chart::sparkline(&stat.history))
    }
}

fn changed(change: &Change) -> Markup {
    let (direction, sign) = if change.value > 0.0 {
        ("up", "▲")
    } else if change.value < 0.0 {
        ("down", "▼")
    } else {
        ("same", "")
    };
    html! {
        span.delta data-direction=(direction) { span aria-hidden="true" { (sign) } " " (change.shown) }
        " " span.against { "vs " (change.against) } " "
    }
}

/// A table that scrolls inside its panel where it does not fit.
pub(crate) fn table(title: &str, rows: &Table) -> Markup {
    let side = |at: usize| rows.columns.get(at).filter(|column| column.right).map(|_| "right");
    html! {
        (scroll(&format!("{title}, scrollable"), &html! {
            table.grid {
                thead { tr { @for (at, column) in rows.columns.iter().enumerate() {
                    th scope="col" class=[side(at)] { (column.title) @if let Some(unit) = &column.unit { " " span.unit { (unit) } } }
                } } }
                tbody { @for row in &rows.rows { tr { @for (at, cell) in row.iter().enumerate() {
                    @if at == 0 { th scope="row" class=[side(at)] { (cell) } } @else { td class=[side(at)] { (cell) } }
                } } } }
            }
        }))
        @if rows.left_out > 0 { p.note { (materia::words::rows(rows.left_out as u64)) " more" } }
    }
}

/// What a larger plan would show here.
fn locked(plan: Plan, would_be: &str, upgrade: &str) -> Markup {
    let what = match would_be {
        "stat" => "A key figure",
        "table" | "changes" => "A table",
        "heatmap" => "A heatmap",
        "markdown" => "A commentary",
        "scatter" => "A scatter plot",
        "bar" => "A bar chart",
        "area" => "An area chart",
        _ => "A chart",
    };
    html! {
        div.locked {
            (sketch(would_be))
            p { (what) " in the " strong { (super::plan_title(plan)) } " plan." }
            a.button data-kind="plain" href=(upgrade) { "See plans" }
        }
    }
}

/// The idea of a drawing, without a figure in it.
fn sketch(would_be: &str) -> Markup {
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
                "scatter" => {
                    @for (x, y) in [(20, 52), (48, 44), (70, 50), (96, 36), (124, 40), (150, 26), (176, 30), (206, 14)] { circle cx=(x) cy=(y) r="5" {} }
                },
                _ => path d="M6 56L40 44L74 50L108 30L142 36L176 18L234 10" fill="none" {},
            }
        }
    }
}
