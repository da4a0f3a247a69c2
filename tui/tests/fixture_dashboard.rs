//! A dashboard with a panel of every kind.

use materia::{
    dashboard::{
        Axis, Change, Chart, Content, CountryValue, DashboardData, DataSource, FilterData,
        FilterValue, Findings, Heatmap, HeatmapRow, Map, Mark, OptionData, PanelData, Point, Scale,
        Series, Stat, Table, TableColumn, Tick, Tone, world::Frame,
    },
    plan::Plan,
};

use super::fixture::generation_info;

fn tick(at: f64, label: &str) -> Tick {
    Tick { at, label: label.to_owned() }
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

fn option(value: &str, label: &str, chosen: bool) -> OptionData {
    OptionData { value: value.to_owned(), label: label.to_owned(), chosen }
}

fn number_axis(max: f64) -> Axis {
    Axis {
        title: String::new(),
        has_title: false,
        log: false,
        scale: Scale::Number,
        min: 0.0,
        max,
        ticks: vec![
            tick(0.0, "0"),
            tick(max / 2.0, &format!("{}", max / 2.0)),
            tick(max, &format!("{max}")),
        ],
    }
}

fn names(names: &[&str]) -> Axis {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Axis {
        title: String::new(),
        has_title: false,
        log: false,
        max: names.len() as f64 - 0.5,
        scale: Scale::Category { names },
        min: -0.5,
        ticks: Vec::new(),
    }
}

fn series(name: &str, values: &[Option<f64>]) -> Series {
    let point = |(index, y): (usize, &Option<f64>)| Point {
        x: index as f64,
        y: *y,
        x_shown: index.to_string(),
        y_shown: y.map(|y| y.to_string()).unwrap_or_default(),
        ..Point::default()
    };
    Series {
        name: name.to_owned(),
        points: values.iter().enumerate().map(point).collect(),
        ..Series::default()
    }
}

fn chart(mark: Mark, x: Axis, top: f64, mut series: Vec<Series>) -> Content {
    for (color, one) in (0..).zip(&mut series) {
        one.color = Some(color);
    }
    Content::Chart(Chart { mark, x, y: number_axis(top), series, ..Chart::default() })
}

fn map(countries: Vec<CountryValue>, series: Vec<Series>, limits: Vec<Tick>) -> Content {
    Content::Map(Map {
        frame: Frame::WORLD,
        title: "Production".to_owned(),
        countries,
        dots: Chart { mark: Mark::Scatter, series, ..Chart::default() },
        limits,
    })
}

fn growing() -> Content {
    let value = |code, at: f64| CountryValue {
        code,
        name: code.to_owned(),
        value: tick(at, &format!("{at}")),
        href: None,
    };
    let countries = vec![value("BRA", 66.0), value("VNM", 30.0), value("SGP", 1.0)];
    map(countries, Vec::new(), vec![tick(0.0, "0"), tick(40.0, "40"), tick(80.0, "80")])
}

fn ports() -> Content {
    let port = |x: f64, y: f64, color| Series {
        name: format!("Port {color}"),
        points: vec![Point { x, y: Some(y), ..Point::default() }],
        color: Some(color),
        ..Series::default()
    };
    map(Vec::new(), vec![port(-46.3, -23.9, 0), port(106.7, 10.8, 1)], Vec::new())
}

pub(crate) fn dashboard() -> DashboardData {
    let wave: Vec<Option<f64>> = (0..25).map(|x| Some(f64::from((x * 7) % 25))).collect();
    let slope: Vec<Option<f64>> = (0..25).map(|x| (x != 12).then_some(f64::from(x))).collect();
    let origins = ["Brazil", "Vietnam", "Colombia"];
    let years = || Axis { max: 24.0, ..number_axis(24.0) };
    let two = |one: &[Option<f64>], other: &[Option<f64>]| {
        vec![series("Arabica", one), series("Robusta", other)]
    };
    let three = || two(&[Some(30.0), Some(12.0), Some(9.0)], &[Some(10.0), Some(20.0), None]);
    let stat = Stat {
        value: 7.43,
        shown: "7.43".to_owned(),
        tone: None,
        at: Some("Oct 2026".to_owned()),
        change: Some(Change {
            value: -0.2,
            shown: "−2.5%".to_owned(),
            tone: Tone::Bad,
            against: "Sep 2026".to_owned(),
        }),
        target: None,
        history: wave.clone(),
    };
    let heatmap = Heatmap {
        x_title: "Month".to_owned(),
        y_title: "Year".to_owned(),
        columns: ["Jan", "Feb", "Mar", "Apr"].map(str::to_owned).to_vec(),
        rows: (0..3)
            .map(|row| HeatmapRow {
                name: format!("202{row}"),
                cells: (0..4)
                    .map(|cell| {
                        (row != 1 || cell != 2).then(|| tick(f64::from(row * 4 + cell), ""))
                    })
                    .collect(),
            })
            .collect(),
        min: tick(0.0, "0 mm"),
        max: tick(11.0, "11 mm"),
        ascends: true,
    };
    let table = Table {
        ranks: Vec::new(),
        columns: vec![
            TableColumn { title: "Origin".to_owned(), unit: None, right: false, group: None },
            TableColumn {
                title: "Production".to_owned(),
                unit: Some("t".to_owned()),
                right: true,
                group: None,
            },
        ],
        rows: vec![
            vec!["Brazil".to_owned(), "3,990,000".to_owned()],
            vec!["コロンビア".to_owned(), "792,000".to_owned()],
        ],
        decorations: Vec::new(),
        totals: None,
        page: 1,
        pages: 2,
        skipped: 0,
        left_out: 5,
    };
    DashboardData {
        slug: "pulse".to_owned(),
        title: "Pulse".to_owned(),
        description: None,
        sources: vec![DataSource {
            name: "World Bank, Pink Sheet".to_owned(),
            url: None,
            licence: None,
        }],
        generation: generation_info(),
        filters: vec![
            FilterData {
                name: "country".to_owned(),
                label: "Country".to_owned(),
                value: FilterValue::One {
                    options: vec![option("BR", "Brazil", true), option("CO", "Colombia", false)],
                },
                problem: None,
                limited: None,
                total: 2,
                note: None,
                failed: false,
                can_be_emptied: false,
                hidden: false,
            },
            FilterData {
                name: "kind".to_owned(),
                label: "Kind".to_owned(),
                value: FilterValue::Many {
                    options: vec![option("a", "Arabica", true), option("r", "Robusta", true)],
                },
                problem: None,
                limited: None,
                total: 2,
                note: None,
                failed: false,
                can_be_emptied: false,
                hidden: false,
            },
            FilterData {
                name: "year".to_owned(),
                label: "Years".to_owned(),
                value: FilterValue::Years {
                    first: 1960,
                    last: 2026,
                    from: 2000,
                    to: 2026,
                    seasons: false,
                },
                problem: None,
                limited: None,
                total: 2,
                note: None,
                failed: false,
                can_be_emptied: false,
                hidden: false,
            },
        ],
        panels: vec![
            PanelData {
                link: Some("/dashboard/supply?country=BR".to_owned()),
                ..panel("Price", 3, Some("USD/kg"), Content::Stat(stat))
            },
            panel(
                "Note",
                3,
                None,
                Content::Markdown { text: "## Sample\nFigures are **samples**.".to_owned() },
            ),
            panel("Paid", 3, None, Content::Locked { plan: Plan::Pro, would_be: "table" }),
            panel(
                "Broken",
                3,
                None,
                Content::Failed { reason: "no result within 10 s; reduce the query".to_owned() },
            ),
            panel(
                "Prices",
                6,
                Some("USD/kg"),
                chart(Mark::Line, years(), 24.0, two(&wave, &slope)),
            ),
            panel("Stocks", 6, None, chart(Mark::Area, years(), 48.0, two(&wave, &slope))),
            panel("Production", 6, Some("t"), chart(Mark::Bar, names(&origins), 40.0, three())),
            panel("Use", 6, Some("t"), chart(Mark::StackedBar, names(&origins), 40.0, three())),
            panel("Rank", 6, None, chart(Mark::HorizontalBar, names(&origins), 40.0, three())),
            panel(
                "Scatter",
                6,
                None,
                chart(Mark::Scatter, years(), 24.0, vec![series("all", &wave)]),
            ),
            panel("Rain", 6, Some("mm"), Content::Heatmap(heatmap)),
            panel("Growing", 6, None, growing()),
            panel("Ports", 6, None, ports()),
            panel("Origins", 6, None, Content::Table(table)),
            panel(
                "Nothing",
                6,
                None,
                Content::Empty { reason: "no row fits the filters".to_owned() },
            ),
        ],
    }
}
