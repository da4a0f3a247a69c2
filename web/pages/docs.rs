//! `/docs/api`: the API for people, with examples that work as they stand.

mod examples;

use axum::extract::State;
use materia::{
    download::Format,
    plan::Plan,
    tables::{MOST_OFFSET, Operator},
    words,
};
use maud::{Markup, html};

use self::examples::Example;
use crate::web::{
    accounts::entitlements,
    api::KINDS,
    app::App,
    error::WebError,
    page::{Page, Place, View},
    parts,
};

/// The documentation, with the names of a table that is served.
pub(crate) struct Docs {
    pub(crate) base: String,
    /// A table's name and one of its columns that can be compared.
    pub(crate) table: String,
    pub(crate) column: String,
}

pub(crate) async fn page(State(app): State<App>) -> Result<Page, WebError> {
    let base = app.settings.web.base_url();
    let Ok(pin) = app.reader.pin() else {
        let view = Docs { base, table: "prices".to_owned(), column: "day".to_owned() };
        return Ok(Page::new("API", Place::None, &view));
    };
    let tables = pin.catalog().await?.tables;
    // One that is open to as many as possible.
    let plan = |name: &str| materia::tables::access::rule(&app.settings.tables, name).map(|rule| rule.plan).unwrap_or_default();
    let table = tables.iter().min_by_key(|table| plan(&table.name));
    let column = table.and_then(|table| table.columns.iter().find(|column| materia::tables::Kind::of(&column.data_type).sorts()));
    let view = Docs {
        base,
        table: table.map_or_else(|| "prices".to_owned(), |table| table.name.clone()),
        column: column.map_or_else(|| "day".to_owned(), |column| column.name.clone()),
    };
    Ok(Page::new("API", Place::None, &view).shared(&pin))
}

impl View for Docs {
    fn body(&self) -> Markup {
        html! {
            div.title-row {
                h1 { "API" }
                p.lead { "Every table and dashboard for your own programs: the same figures, the same export, no scraping." }
                p { a href="/api/v1/openapi.json" { "OpenAPI description" } ", with every table and column." }
            }
            (keys()) (self.calls()) (self.filters()) (formats()) (freshness()) (limits()) (problems()) (self.examples())
        }
    }
}

impl Docs {
    fn calls(&self) -> Markup {
        let calls = [
            ("/api/v1/tables".to_owned(), "Every table with its columns, types and meanings"),
            (format!("/api/v1/tables/{}", self.table), "One table"),
            (format!("/api/v1/tables/{}/rows", self.table), "Rows: filtered, ordered, page by page"),
            (format!("/api/v1/tables/{}/download", self.table), "All rows as a file, in one stream"),
            ("/api/v1/dashboards".to_owned(), "Every dashboard"),
            ("/api/v1/dashboards/{slug}".to_owned(), "A dashboard's panels with their figures; its filters are the parameters"),
            ("/api/v1/generation".to_owned(), "Which export is being served"),
        ];
        html! {
            section.sheet aria-labelledby="calls" {
                h2 #calls { "Calls" }
                (parts::scroll("Calls, scrollable", &html! { table {
                    thead { tr { th scope="col" { "Address" } th scope="col" { "Answer" } } }
                    tbody { @for (path, about) in calls { tr { th scope="row" { code { "GET " (path) } } td { (about) } } } }
                } }))
            }
        }
    }

    fn filters(&self) -> Markup {
        let about = |operator: Operator| match operator {
            Operator::Eq => "is",
            Operator::Neq => "is not",
            Operator::Gt => "is more than",
            Operator::Gte => "is at least",
            Operator::Lt => "is less than",
            Operator::Lte => "is at most",
            Operator::In => "is one of: in.(Brazil,\"a name, with a comma\")",
            Operator::Contains => "holds a text, in any case",
            Operator::Like => "is like a pattern in which * is anything",
            Operator::Ilike => "the same in any case",
            Operator::Is => "is.null and not.is.null",
        };
        html! {
            section.sheet aria-labelledby="parameters" {
                h2 #parameters { "Parameters" }
                p { "As in PostgREST. A filter is a column's name, an operator and a value; several must all hold; " code { "not." } " before the operator turns it round. A column called like another parameter is written in double quotes." }
                pre { code { "?select=" (self.column) "&" (self.column) "=not.is.null&order=" (self.column) ".desc&limit=20" } }
                (parts::scroll("Operators, scrollable", &html! { table {
                    thead { tr { th scope="col" { "Operator" } th scope="col" { "Rows in which the column" } } }
                    tbody { @for operator in Operator::ALL { tr { th scope="row" { code { (operator) } } td { (about(operator)) } } } }
                } }))
                p { code { "order=a.desc,b.asc.nullsfirst" } ", " code { "limit" } ", " code { "offset" } " (up to " (words::count(MOST_OFFSET)) "), " code { "cursor" }
                    ": the rows behind an answer are told by its header " code { "X-Materia-Cursor" } ", and as an address by " code { "Link" } ". A cursor belongs to one export; once the data is renewed it gives 410, and you begin again." }
            }
        }
    }

    fn examples(&self) -> Markup {
        html! {
            section.sheet aria-labelledby="examples" {
                h2 #examples { "Examples" }
                p { "They read the key from the environment variable " code { "MATERIA_KEY" } "." }
                @for Example { name, title, code } in examples::all(&self.base, &self.table) {
                    h3 { (title) }
                    pre { code data-example=(name) { (code) } }
                }
            }
        }
    }
}

fn keys() -> Markup {
    html! {
        section.sheet aria-labelledby="keys" {
            h2 #keys { "Keys" }
            p { "Make a key under " a href="/settings#keys" { "Settings" } ". It is shown once, opens what your plan does (or only the tables that you choose), and travels in a header, never in an address:" }
            pre { code { "Authorization: Bearer materia_..." } }
        }
    }
}

fn formats() -> Markup {
    html! {
        section.sheet aria-labelledby="formats" {
            h2 #formats { "Formats" }
            p { "By " code { "format=" } " or by the header " code { "Accept" } ". Rows are JSON unless another is asked for: an array of objects." }
            (parts::scroll("Formats, scrollable", &html! { table {
                thead { tr { th scope="col" { "format" } th scope="col" { "Accept" } th scope="col" { "Continues where it was interrupted" } } }
                tbody { @for format in Format::ALL { tr {
                    th scope="row" { code { (format.name()) } }
                    td { code { (format.media_type().split(';').next().unwrap_or_default()) } }
                    td { (if format.is_reproducible() { "yes, with Range and If-Range" } else { "no: the same rows may give other bytes" }) }
                } } }
            } }))
            p { "CSV follows RFC 4180 in UTF-8; nothing is an empty field, an empty text is " code { "\"\"" } ". With " code { "safe=true" } " texts that a spreadsheet would take for formulas begin with an apostrophe. "
                "In JSON, whole numbers beyond 2" sup { "53" } " and decimals are texts. In Parquet and Arrow, HUGEINT, UUID, BIT, INTERVAL, UNION and TIME WITH TIME ZONE are texts." }
        }
    }
}

fn freshness() -> Markup {
    html! {
        section.sheet aria-labelledby="freshness-name" {
            h2 #freshness-name { "Which data" }
            p { "Every answer is read from one export as a whole, named in " code { "X-Materia-Generation" } ". Its " code { "ETag" } ", sent back in " code { "If-None-Match" } ", gives 304 until the data is renewed: ask as often as you like. "
                "A download is one export from its first byte to its last, also when the next one is published meanwhile, and tells its number of rows in " code { "X-Materia-Rows" } "; where it breaks off, the connection does too." }
        }
    }
}

fn limits() -> Markup {
    let number = |number: u32| if number == 0 { "none".to_owned() } else { words::count(number.into()) };
    html! {
        section.sheet aria-labelledby="limits" {
            h2 #limits { "Limits" }
            (parts::scroll("Limits, scrollable", &html! { table {
                thead { tr { th scope="col" { "Plan" } th.right scope="col" { "Requests a day" } th.right scope="col" { "Rows of an answer" } th.right scope="col" { "Downloads at once" } } }
                tbody { @for plan in Plan::ALL { @let allowed = entitlements(plan); tr {
                    th scope="row" { (parts::plan_title(plan)) }
                    td.right { (number(allowed.api_requests_a_day)) }
                    td.right { (if allowed.api_requests_a_day == 0 { "none".to_owned() } else { number(allowed.answer_rows) }) }
                    td.right { (number(allowed.downloads_at_once)) }
                } } }
            } }))
            p { "What is left of the day (UTC) stands in " code { "RateLimit" } " and " code { "RateLimit-Policy" } ". Downloads count as one request, and have all rows." }
        }
    }
}

fn problems() -> Markup {
    html! {
        section.sheet aria-labelledby="problems" {
            h2 #problems { "Problems" }
            p { "What cannot be answered is told as a problem document (RFC 9457): " code { "type" } ", " code { "title" } ", " code { "status" } ", " code { "detail" } ", and where a parameter is wrong " code { "parameter" } ", " code { "value" } " and " code { "allowed" } "." }
            (parts::scroll("Problems, scrollable", &html! { table {
                thead { tr { th scope="col" { "Status" } th scope="col" { "Kind" } th scope="col" { "Meaning" } } }
                tbody { @for (kind, status, title) in KINDS { tr #{ "problem-" (kind) } { th scope="row" { (status) } td { code { (kind) } } td { (title) } } } }
            } }))
        }
    }
}
