//! Fixed figures for snapshots: one panel of every kind.

use std::sync::Arc;

use materia::{
    dashboard::{
        Axis, Change, Chart, Content, CountryValue, DashboardData, DataSource, FilterData,
        FilterValue, Findings, Heatmap, HeatmapRow, Map, Mark, OptionData, PanelData, Point, Scale,
        Series, Stat, Table, TableColumn, Tick, Tone, world::Frame,
    },
    plan::Plan,
    reader::GenerationInfo,
    store::GenerationId,
};

use super::noon;
use crate::components;

fn ticks(places: &[f64]) -> Vec<Tick> {
    places.iter().map(|at| Tick { at: *at, label: format!("{at}") }).collect()
}

/// A small part of the world, since outlines are long.
fn countries_on_map() -> Map {
    let value = |code, name: &str, at: f64| CountryValue {
        code,
        name: name.to_owned(),
        value: Tick { at, label: format!("{at}") },
        href: None,
    };
    Map {
        frame: Frame { west: 5.0, south: 49.0, east: 8.0, north: 51.0 },
        title: "Production".to_owned(),
        countries: vec![
            value("LUX", "Luxembourg", 40.0),
            value("BEL", "<b>Belgium", 5.0),
            value("SGP", "Singapore", -3.0),
        ],
        dots: Chart { mark: Mark::Scatter, ..Chart::default() },
        limits: ticks(&[-10.0, 0.0, 20.0, 40.0]),
    }
}

fn series(name: &str, values: &[Option<f64>]) -> Series {
    let point = |(x, y): (usize, &Option<f64>)| Point {
        x: 2020.0 + x as f64,
        y: *y,
        x_shown: format!("{}", 2020 + x),
        y_shown: y.map(|y| format!("{y:.1}")).unwrap_or_default(),
        ..Point::default()
    };
    Series {
        name: name.to_owned(),
        points: values.iter().enumerate().map(point).collect(),
        ..Series::default()
    }
}

fn colored(mut series: Vec<Series>) -> Vec<Series> {
    for (color, one) in (0..).zip(&mut series) {
        one.color = Some(color);
    }
    series
}

pub(super) fn chart(mark: Mark) -> Content {
    Content::Chart(Chart {
        mark,
        x: Axis {
            title: "Year".to_owned(),
            has_title: false,
            log: false,
            scale: Scale::Number,
            min: 2020.0,
            max: 2023.0,
            ticks: ticks(&[2020.0, 2021.0, 2022.0, 2023.0]),
        },
        y: Axis {
            title: "Production".to_owned(),
            has_title: false,
            log: false,
            scale: Scale::Number,
            min: 0.0,
            max: 80.0,
            ticks: ticks(&[0.0, 40.0, 80.0]),
        },
        series: colored(vec![
            series("Brazil", &[Some(65.0), Some(52.5), Some(62.0), Some(66.4)]),
            series("<script>alert(1)</script>", &[Some(29.5), None, Some(27.1), Some(30.2)]),
        ]),
        guides: vec![Tick { at: 60.0, label: "a good year".to_owned() }],
        ..Chart::default()
    })
}

fn panel(title: &str, width: u8, unit: Option<&str>, content: Content) -> PanelData {
    PanelData {
        title: title.to_owned(),
        note: None,
        width,
        unit: unit.map(str::to_owned),
        tab: None,
        link: None,
        section: None,
        filters: Vec::new(),
        short_unit: None,
        notes: Vec::new(),
        freshness: Vec::new(),
        formulas: Vec::new(),
        content,
        findings: Findings::default(),
    }
}

pub(super) fn stat() -> PanelData {
    let change = Change {
        value: 0.12,
        shown: "+3.2%".to_owned(),
        tone: Tone::Good,
        against: "Sep 2026".to_owned(),
    };
    let history = vec![Some(3.1), Some(3.4), None, Some(3.6), Some(3.72)];
    let stat = Stat {
        value: 3.72,
        shown: "3.72".to_owned(),
        tone: None,
        at: Some("Oct 2026".to_owned()),
        change: Some(change),
        target: None,
        history,
    };
    panel("Arabica", 3, Some("US$/kg"), Content::Stat(stat))
}

/// Returns a panel and a filter of every kind, including locked and failed panels.
pub(super) fn dashboard() -> DashboardData {
    let option = |label: &str, chosen| OptionData {
        value: label.to_lowercase(),
        label: label.to_owned(),
        chosen,
    };
    let filter = |name: &str, label: &str, value| FilterData {
        name: name.to_owned(),
        label: label.to_owned(),
        value,
        problem: None,
        limited: None,
        total: 3,
        note: None,
        failed: false,
        can_be_emptied: false,
        hidden: false,
    };
    let countries =
        vec![option("Brazil", true), option("Vietnam", true), option("Colombia", false)];
    let mut years = filter(
        "years",
        "Years",
        FilterValue::Years { first: 2019, last: 2023, from: 2020, to: 2023, seasons: false },
    );
    years.limited = Some("The free plan shows the last 5 years".to_owned());
    let mut measure = filter(
        "measure",
        "Measure",
        FilterValue::One { options: vec![option("Production", true), option("Exports", false)] },
    );
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
        ascends: false,
    };
    let column = |title: &str, unit: Option<&str>, right| TableColumn {
        title: title.to_owned(),
        unit: unit.map(str::to_owned),
        right,
        group: None,
    };
    let table = Table {
        ranks: Vec::new(),
        columns: vec![column("Origin", None, false), column("Imports", Some("t"), true)],
        rows: vec![
            vec!["Brazil".to_owned(), "412,000".to_owned()],
            vec!["<b onmouseover=alert(1)>".to_owned(), String::new()],
        ],
        decorations: Vec::new(),
        totals: None,
        page: 1,
        pages: 7,
        skipped: 0,
        left_out: 12,
    };
    DashboardData {
        slug: "supply".to_owned(),
        title: "Supply".to_owned(),
        description: Some("World balance and production".to_owned()),
        sources: vec![DataSource {
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
            filter("countries", "Countries", FilterValue::Many { options: countries }),
            years,
            filter(
                "find",
                "Origin contains",
                FilterValue::Search { text: "\"><script>".to_owned() },
            ),
        ],
        panels: vec![
            stat(),
            panel("Production", 8, Some("million bags"), chart(Mark::Line)),
            panel("Stacks", 4, Some("million bags"), chart(Mark::StackedBar)),
            panel("Areas", 6, None, chart(Mark::Area)),
            panel("Ranking", 6, None, chart(Mark::HorizontalBar)),
            panel("Rain", 6, Some("mm"), Content::Heatmap(map)),
            panel("Growing", 6, Some("bags"), Content::Map(countries_on_map())),
            panel("Imports", 6, None, Content::Table(table)),
            panel(
                "Remark",
                12,
                None,
                Content::Markdown {
                    text: "Stocks are **low**. <script>alert(1)</script>".to_owned(),
                },
            ),
            panel(
                "Nothing",
                4,
                None,
                Content::Empty { reason: "No data matches the selected filters".to_owned() },
            ),
            panel("Positions", 4, None, Content::Locked { plan: Plan::Pro, would_be: "line" }),
            panel("Broken", 4, None, Content::Failed { reason: "a secret reason".to_owned() }),
        ],
    }
}

#[test]
fn a_narrow_chart_is_as_high_as_the_wide_one_beside_it() {
    let wide = panel("Wide", 8, None, chart(Mark::Line));
    let narrow = panel("Narrow", 4, None, chart(Mark::Bar));
    let text = panel("Text", 4, None, Content::Markdown { text: "Words".to_owned() });
    let next = PanelData { section: Some("Next".to_owned()), ..narrow.clone() };
    let panels = [&wide, &narrow, &narrow, &text, &next, &text, &narrow];
    assert_eq!(components::widest_chart_in_row(panels.into_iter()), [8, 8, 4, 4, 4, 4, 4]);
    // Drawings fill the widths of their panels: their heights as parts of a column's width.
    let height = |panel: &PanelData, beside: u8| {
        let html = components::panel_in_row("x", (panel, beside), None, false).into_string();
        let largest = html.rsplit("viewBox=\"0 0 ").next().unwrap();
        let (width, rest) = largest.split_once(' ').unwrap();
        let height: f64 = rest.split('"').next().unwrap().parse().unwrap();
        height / width.parse::<f64>().unwrap() * f64::from(panel.width)
    };
    assert!((height(&narrow, 8) / height(&wide, 8) - 1.0).abs() < 0.01);
    assert!(height(&narrow, 4) < 0.8 * height(&wide, 8), "alone, it is lower");
}
