//! Fixed figures for snapshots: one panel of every kind.

use std::sync::Arc;

use materia::{
    dashboard::{
        Axis, Change, Chart, Choice, Content, DashboardData, FilterData, Findings, Heatmap, HeatmapRow, Mark, OptionData, PanelData, Point,
        Scale, Series, Source, Stat, Table, TableColumn, Tick,
    },
    plan::Plan,
    reader::GenerationInfo,
    target::GenerationId,
};

use super::noon;

fn ticks(places: &[f64]) -> Vec<Tick> {
    places.iter().map(|at| Tick { at: *at, label: format!("{at}") }).collect()
}

fn series(name: &str, values: &[Option<f64>]) -> Series {
    let point = |(x, y): (usize, &Option<f64>)| Point {
        x: 2020.0 + x as f64,
        y: *y,
        x_shown: format!("{}", 2020 + x),
        y_shown: y.map(|y| format!("{y:.1}")).unwrap_or_default(),
        name: None,
    };
    Series { name: name.to_owned(), points: values.iter().enumerate().map(point).collect(), other: false }
}

pub(super) fn chart(mark: Mark) -> Content {
    Content::Chart(Chart {
        mark,
        x: Axis {
            title: "Year".to_owned(),
            scale: Scale::Number,
            min: 2020.0,
            max: 2023.0,
            ticks: ticks(&[2020.0, 2021.0, 2022.0, 2023.0]),
        },
        y: Axis { title: "Production".to_owned(), scale: Scale::Number, min: 0.0, max: 80.0, ticks: ticks(&[0.0, 40.0, 80.0]) },
        series: vec![
            series("Brazil", &[Some(65.0), Some(52.5), Some(62.0), Some(66.4)]),
            series("<script>alert(1)</script>", &[Some(29.5), None, Some(27.1), Some(30.2)]),
        ],
        guides: vec![Tick { at: 60.0, label: "a good year".to_owned() }],
    })
}

fn panel(title: &str, width: u8, unit: Option<&str>, content: Content) -> PanelData {
    PanelData {
        title: title.to_owned(),
        note: None,
        width,
        unit: unit.map(str::to_owned),
        notes: Vec::new(),
        content,
        findings: Findings::default(),
    }
}

pub(super) fn stat() -> PanelData {
    let change = Change { value: 0.12, shown: "+3.2 %".to_owned(), against: "Sep 2026".to_owned() };
    let history = vec![Some(3.1), Some(3.4), None, Some(3.6), Some(3.72)];
    let stat = Stat { value: 3.72, shown: "3.72".to_owned(), at: Some("Oct 2026".to_owned()), change: Some(change), history };
    panel("Arabica", 3, Some("US$/kg"), Content::Stat(stat))
}

/// A panel of every kind, and a filter of every kind. What is locked and what failed stand beside the rest.
pub(super) fn dashboard() -> DashboardData {
    let option = |label: &str, chosen| OptionData { value: label.to_lowercase(), label: label.to_owned(), chosen };
    let filter = |name: &str, label: &str, choice| FilterData {
        name: name.to_owned(),
        label: label.to_owned(),
        choice,
        problem: None,
        limited: None,
        total: 3,
        note: None,
        failed: false,
    };
    let countries = vec![option("Brazil", true), option("Vietnam", true), option("Colombia", false)];
    let mut years = filter("years", "Years", Choice::Years { first: 2019, last: 2023, from: 2020, to: 2023 });
    years.limited = Some("The free plan shows the last 5 years".to_owned());
    let mut measure = filter("measure", "Measure", Choice::One { options: vec![option("Production", true), option("Exports", false)] });
    measure.problem = Some("\"stocks\" is not among Measure".to_owned());
    let cell = |at: f64| Some(Tick { at, label: format!("{at}") });
    let map = Heatmap {
        x_title: "Month".to_owned(),
        y_title: "Region".to_owned(),
        columns: vec!["Jan".to_owned(), "Feb".to_owned()],
        rows: vec![
            HeatmapRow { name: "Cerrado".to_owned(), cells: vec![cell(-12.0), cell(30.0)] },
            HeatmapRow { name: "Huila".to_owned(), cells: vec![None, cell(4.0)] },
        ],
        min: Tick { at: -12.0, label: "-12".to_owned() },
        max: Tick { at: 30.0, label: "30".to_owned() },
    };
    let column = |title: &str, unit: Option<&str>, right| TableColumn { title: title.to_owned(), unit: unit.map(str::to_owned), right };
    let table = Table {
        columns: vec![column("Origin", None, false), column("Imports", Some("t"), true)],
        rows: vec![vec!["Brazil".to_owned(), "412,000".to_owned()], vec!["<b onmouseover=alert(1)>".to_owned(), String::new()]],
        left_out: 12,
    };
    DashboardData {
        slug: "supply".to_owned(),
        title: "Supply".to_owned(),
        description: Some("World balance and production".to_owned()),
        sources: vec![Source {
            name: "USDA".to_owned(),
            url: Some("https://example.com/psd".to_owned()),
            licence: Some("public domain".to_owned()),
        }],
        generation: Arc::new(GenerationInfo {
            sequence: 7,
            snapshot: None,
            id: GenerationId::parse("20261121T115500000Z"),
            exported_at: Some(noon() - jiff::SignedDuration::from_mins(5)),
            confirmed_at: None,
            opened_at: noon(),
            bytes: 4_000_000,
            schema: "serving".to_owned(),
        }),
        filters: vec![
            measure,
            filter("countries", "Countries", Choice::Many { options: countries }),
            years,
            filter("find", "Origin contains", Choice::Search { text: "\"><script>".to_owned() }),
        ],
        panels: vec![
            stat(),
            panel("Production", 8, Some("million bags"), chart(Mark::Line)),
            panel("Stacks", 4, Some("million bags"), chart(Mark::StackedBar)),
            panel("Areas", 6, None, chart(Mark::Area)),
            panel("Ranking", 6, None, chart(Mark::HorizontalBar)),
            panel("Rain", 6, Some("mm"), Content::Heatmap(map)),
            panel("Imports", 6, None, Content::Table(table)),
            panel("Remark", 12, None, Content::Markdown { text: "Stocks are **low**. <script>alert(1)</script>".to_owned() }),
            panel("Nothing", 4, None, Content::Empty { reason: "Nothing fits what was chosen".to_owned() }),
            panel("Positions", 4, None, Content::Locked { plan: Plan::Pro, would_be: "line" }),
            panel("Broken", 4, None, Content::Failed { reason: "a secret reason".to_owned() }),
        ],
    }
}
