//! Rendered pages about tables, from fixed figures.

use std::sync::Arc;

use materia::{
    download::DownloadFormat,
    plan::Plan,
    reader::{ColumnInfo, TableInfo},
    settings::{ColumnView, TableView},
    tables::{
        FromYear, Nulls, Order,
        access::{Access, AccessibleTable},
    },
    values::Format,
};

use super::{assert_page, html::assert_valid};
use crate::{
    data::{ExplorerParams, TableRows},
    page::View,
    pages::{
        docs::ApiDocsPage,
        tables::{Facet, LockedPage, RowsPage, RowsView, TableFrame, TablesPage},
    },
};

fn table() -> Arc<TableInfo> {
    let column = |name: &str, data_type: &str, comment: Option<&str>| ColumnInfo {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        nullable: true,
        comment: comment.map(str::to_owned),
    };
    let columns = vec![
        column("market_year", "INTEGER", Some("USDA market year")),
        column("country <b>", "VARCHAR", None),
        column("production", "DECIMAL(18,3)", Some("Thousand 60 kg bags")),
        column("tags", "VARCHAR[]", None),
    ];
    Arc::new(TableInfo {
        name: "supply".to_owned(),
        rows: 2_975,
        comment: Some("Supply by country".to_owned()),
        columns,
    })
}

fn view() -> Arc<TableView> {
    let production = ColumnView {
        label: Some("Harvest".to_owned()),
        unit: Some("k bags".to_owned()),
        format: Some(Format::Integer),
    };
    Arc::new(TableView {
        label: Some("World supply".to_owned()),
        columns: [("production".to_owned(), production)].into(),
        ..TableView::default()
    })
}

fn table_frame(query: &str, access_note: Option<&str>) -> TableFrame {
    TableFrame {
        title: "Supply".to_owned(),
        table: table(),
        view: view(),
        path: "/tables/supply".to_owned(),
        access_note: access_note.map(str::to_owned),
        state: ExplorerParams::parse(query),
    }
}

fn whole(body: &str) -> String {
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><title>t</title></head><body><main>{body}</main></body></html>"
    )
}

fn assert_drawn(name: &str, view: &impl View) -> String {
    let drawn = view.render().into_string();
    assert_valid(name, &whole(&drawn));
    assert_page(name, &drawn);
    drawn
}

#[test]
fn rows_are_shown_with_filters_order_columns_and_what_a_download_weighs() {
    let cells = vec![
        vec![
            Some("2025".to_owned()),
            Some("<script>alert(1)</script>".to_owned()),
            Some("69693.000".to_owned()),
        ],
        vec![Some("2024".to_owned()), None, Some(String::new())],
    ];
    let shown = RowsView {
        chosen: vec![0, 1, 2],
        numeric: vec![true, false, true],
        order: vec![Order { column: 0, descending: true, nulls: Nulls::Last }],
        rows: TableRows { cells },
        first: 50,
        full: true,
        total: Some(2_900),
        sizes: DownloadFormat::ALL.into_iter().zip([653, 2_100, 5_730, 1_670, 2_280]).collect(),
    };
    let query = "market_year=gte.2020&country+%3Cb%3E=in.%28%22a%26b%22%2CVietnam%29&order=market_year.desc&offset=50&select=market_year";
    let page = RowsPage {
        frame: table_frame(query, Some("The free plan shows the last 5 years")),
        shown: Some(shown),
        problem: None,
        downloads: true,
        values: vec![(1, vec!["Brazil".to_owned(), "\"a&b\"".to_owned()])],
        facets: vec![Facet {
            column: 1,
            values: vec![
                (Some("Brazil".to_owned()), 2_000),
                (Some("<b>".to_owned()), 897),
                (Some(String::new()), 2),
                (None, 1),
            ],
        }],
        key: Some(vec![0, 1]),
    };
    let drawn = assert_drawn("tables_rows", &page);
    assert!(
        !drawn.contains("<script>") && !drawn.contains("<b>"),
        "what stands in a table is text"
    );
}

#[test]
fn a_mistake_in_the_address_and_a_locked_table_say_so() {
    let problem = Some("nothing=eq.1: supply has no such column.".to_owned());
    assert_drawn(
        "tables_mistake",
        &RowsPage {
            frame: table_frame("nothing=eq.1", None),
            shown: None,
            problem,
            downloads: false,
            values: Vec::new(),
            facets: Vec::new(),
            key: None,
        },
    );
    assert_drawn(
        "tables_locked",
        &LockedPage { frame: table_frame("", None), plan: Plan::Starter },
    );
}

#[test]
fn the_list_says_what_a_plan_sees() {
    let since = FromYear { column: 0, year: 2022 };
    let tables = vec![
        AccessibleTable { table: table(), access: Access::All, view: view() },
        AccessibleTable {
            table: table(),
            access: Access::RecentYears { years: 5, since },
            view: Arc::default(),
        },
        AccessibleTable { table: table(), access: Access::Locked(Plan::Pro), view: Arc::default() },
    ];
    assert_drawn("tables_list", &TablesPage { tables, plan: Plan::Free, is_visitor: false });
}

#[test]
fn the_api_is_described_with_examples_of_a_table_that_is_served() {
    let docs = ApiDocsPage {
        base: "https://example.com".to_owned(),
        brand: "Bean Flows".to_owned(),
        table: "supply".to_owned(),
        column: "market_year".to_owned(),
    };
    let drawn = assert_drawn("docs_api", &docs);
    assert!(drawn.contains("https://example.com/api/v1/tables/supply/download?format=parquet"));
}
