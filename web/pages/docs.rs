//! `/docs/api`: the documentation of the API, with examples that work as written.

mod examples;

use axum::extract::State;
use materia::{
    download::DownloadFormat,
    humanize,
    plan::Plan,
    settings::rule_of,
    tables::{MAX_OFFSET, MAX_ORDER_KEYS, Operator, access},
};
use maud::{Markup, html};

use self::examples::Example;
use crate::{
    accounts::entitlements,
    api::KINDS,
    app::AppState,
    components,
    error::WebError,
    page::{NavItem, Page, View},
};

/// The documentation, with the names of a served table.
pub(crate) struct ApiDocsPage {
    pub(crate) base: String,
    /// The brand's name.
    pub(crate) brand: String,
    /// The name of a table, and below of one of its sortable columns.
    pub(crate) table: String,
    pub(crate) column: String,
}

pub(crate) async fn page(State(app): State<AppState>) -> Result<Page, WebError> {
    let base = app.settings.web.base_url();
    let brand = app.settings.brand.name.clone();
    let pin = app.reader.pin().ok();
    let tables = match &pin {
        Some(pin) => access::visible_catalog(pin, &app.settings.tables).await.ok(),
        None => None,
    };
    // The documentation is complete without data.
    let (Some(pin), Some(tables)) = (pin, tables) else {
        let view =
            ApiDocsPage { base, brand, table: "prices".to_owned(), column: "day".to_owned() };
        return Ok(Page::new("API", NavItem::Docs, &view).with_description("How to read the tables from programs: authentication, filters, formats and limits, with examples."));
    };
    // The table that most plans include.
    let plan =
        |name: &str| rule_of(&app.settings.tables, name).map(|rule| rule.plan).unwrap_or_default();
    let table = tables.iter().min_by_key(|table| plan(&table.name));
    let column = table.and_then(|table| {
        table
            .columns
            .iter()
            .find(|column| materia::tables::TypeClass::of(&column.data_type).is_sortable())
    });
    let view = ApiDocsPage {
        base,
        brand,
        table: table.map_or_else(|| "prices".to_owned(), |table| table.name.clone()),
        column: column.map_or_else(|| "day".to_owned(), |column| column.name.clone()),
    };
    Ok(Page::new("API", NavItem::Docs, &view).with_description("How to read the tables from programs: authentication, filters, formats and limits, with examples.").cacheable(&pin))
}

impl View for ApiDocsPage {
    fn render(&self) -> Markup {
        html! {
            div.title-row {
                h1 { (self.brand) " API" }
                p.lead { "Every table and dashboard for your own programs: the same figures, the same export, no scraping." }
                p { a href="/api/v1/openapi.json" { "OpenAPI description" } ", with every table and column." }
            }
            nav.contents aria-label="On this page" {
                @for (place, title) in CONTENTS { a href={ "#" (place) } { (title) } }
            }
            (self.examples()) (keys()) (self.calls()) (self.filters()) (formats()) (freshness()) (limits()) (problems())
        }
    }
}

/// The sections of the page.
const CONTENTS: [(&str, &str); 8] = [
    ("examples", "Examples"),
    ("keys", "Keys"),
    ("calls", "Calls"),
    ("parameters", "Parameters"),
    ("formats", "Formats"),
    ("freshness-name", "Consistency"),
    ("limits", "Limits"),
    ("problems", "Problems"),
];

impl ApiDocsPage {
    fn calls(&self) -> Markup {
        let calls = [
            ("/api/v1/tables".to_owned(), "Every table with its columns, types and meanings"),
            (format!("/api/v1/tables/{}", self.table), "One table"),
            (
                format!("/api/v1/tables/{}/rows", self.table),
                "Rows: filtered, ordered, page by page",
            ),
            (
                format!("/api/v1/tables/{}/download", self.table),
                "All rows as a file, in one stream",
            ),
            ("/api/v1/dashboards".to_owned(), "Every dashboard"),
            (
                "/api/v1/dashboards/{slug}".to_owned(),
                "A dashboard's panels with their figures; its filters are the parameters",
            ),
            ("/api/v1/generation".to_owned(), "Which export is being served"),
        ];
        html! {
            section.sheet aria-labelledby="calls" {
                h2 #calls { "Calls" }
                (components::scroll("Calls, scrollable", &html! { table {
                    thead { tr { th scope="col" { "Address" } th scope="col" { "Response" } } }
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
            Operator::Contains => "contains a text (ignoring case)",
            Operator::Like => "matches a pattern in which * is any text",
            Operator::Ilike => "matches a pattern (ignoring case)",
            Operator::Is => "is.null and not.is.null",
        };
        html! {
            section.sheet aria-labelledby="parameters" {
                h2 #parameters { "Parameters" }
                p { "As in PostgREST. A filter is a column's name, an operator and a value; several must all hold; " code { "not." } " before the operator negates it. A column with the name of another parameter is written in double quotes." }
                pre { code { "?select=" (self.column) "&" (self.column) "=not.is.null&order=" (self.column) ".desc&limit=20" } }
                (components::scroll("Operators, scrollable", &html! { table {
                    thead { tr { th scope="col" { "Operator" } th scope="col" { "Rows in which the column" } } }
                    tbody { @for operator in Operator::ALL { tr { th scope="row" { code { (operator) } } td { (about(operator)) } } } }
                } }))
                p { code { "order=a.desc,b.asc.nullsfirst" } " (up to " (MAX_ORDER_KEYS) " columns), " code { "limit" } ", " code { "offset" } " (up to " (humanize::count(MAX_OFFSET)) "), " code { "cursor" }
                    ": the next page is identified by the header " code { "X-Materia-Cursor" } ", and as an address by " code { "Link" } ". A cursor belongs to one export; once the data is updated it returns 410, and you start again." }
            }
        }
    }

    fn examples(&self) -> Markup {
        html! {
            section.sheet aria-labelledby="examples" {
                h2 #examples { "Examples" }
                p { "The examples read the key from the environment variable " code { (examples::key_variable(&self.brand)) } "." }
                @let all = examples::all(&self.base, &self.table, &self.brand);
                // Without scripts, too: the selected option shows its example. Browsers without
                // `:has()` show all of them.
                div.languages {
                    fieldset {
                        legend.unseen { "Language" }
                        @for (at, example) in all.iter().enumerate() {
                            label { input type="radio" name="language" value=(at) checked[at == 0]; span { (example.title) } }
                        }
                    }
                    @for (at, Example { name, title, code }) in all.iter().enumerate() {
                        div.language data-at=(at) {
                            h3 { (title) }
                            pre tabindex="0" { code #{ "example-" (name) } data-example=(name) { (code) } }
                            button.button.live-only type="button" data-kind="plain" data-copy-text={ "example-" (name) } data-copied="Copied" { "Copy" span.unseen { " the example for " (title) } }
                        }
                    }
                }
            }
        }
    }
}

fn keys() -> Markup {
    html! {
        section.sheet aria-labelledby="keys" {
            h2 #keys { "Keys" }
            p { "Create a key under " a href="/settings#keys" { "Settings" } ". It is shown once, gives access to what your plan includes (or only to tables that you select), and is sent in a header, never in the URL:" }
            pre { code #key-header { "Authorization: Bearer materia_..." } }
        }
    }
}

/// How formats represent types that not all of them support.
const TYPE_MAPPINGS: [(&str, &str, &str); 16] = [
    ("JSON, JSON Lines", "integers up to BIGINT", "number"),
    (
        "JSON, JSON Lines",
        "UBIGINT, HUGEINT, UHUGEINT, BIGNUM",
        "number; text if one value has more than 64 bits with sign",
    ),
    ("JSON, JSON Lines", "FLOAT, DOUBLE", "number; text if one value is nan, inf or -inf"),
    ("JSON, JSON Lines", "DECIMAL", "text, with all its decimals"),
    (
        "JSON, JSON Lines",
        "JSON",
        "the document; text if documents are of several kinds (object, array, text, number, boolean)",
    ),
    ("JSON, JSON Lines", "DATE, TIMESTAMP", "ISO 8601 text; infinity and -infinity unchanged"),
    (
        "Parquet, Arrow",
        "HUGEINT, UHUGEINT",
        "DECIMAL(38,0); text if one value has more than 38 digits",
    ),
    (
        "Parquet, Arrow",
        "DATE, TIMESTAMP",
        "the same; text if one value is infinite or outside the years 1 to 9999",
    ),
    ("Parquet, Arrow", "TIME", "the same; text if one value is 24:00"),
    ("Parquet, Arrow", "ENUM", "a dictionary in the declared order; text inside nested types"),
    ("Parquet, Arrow", "UUID, BIT, BIGNUM, INTERVAL, UNION, TIME WITH TIME ZONE, GEOMETRY", "text"),
    (
        "Excel",
        "BIGINT and larger, DECIMAL",
        "number; text if one value has more than 15 significant digits",
    ),
    ("Excel", "FLOAT, DOUBLE", "number; text if one value is nan, inf or -inf"),
    (
        "Excel",
        "DATE, TIMESTAMP",
        "date, to the millisecond; text if one value is infinite or outside the years 1900 to 9999",
    ),
    ("Excel", "nested types, TIME, UUID, BLOB and others", "text"),
    ("CSV", "every type", "DuckDB's text: infinity, nan and inf unchanged"),
];

fn formats() -> Markup {
    html! {
        section.sheet aria-labelledby="formats" {
            h2 #formats { "Formats" }
            p { "By " code { "format=" } " or by the header " code { "Accept" } ". The default for rows is JSON: an array of objects." }
            (components::scroll("Formats, scrollable", &html! { table {
                thead { tr { th scope="col" { "format" } th scope="col" { "Accept" } th scope="col" { "Can be resumed" } } }
                tbody { @for format in DownloadFormat::ALL { tr {
                    th scope="row" { code { (format.name()) } }
                    td { code { (format.media_type().split(';').next().unwrap_or_default()) } }
                    td { (if format.is_reproducible() { "yes, with Range and If-Range" } else { "no: the same rows may be encoded differently" }) }
                } } }
            } }))
            p { "CSV follows RFC 4180 in UTF-8; a null is an empty field, an empty text is " code { "\"\"" } ". With " code { "safe=true" } ", which the button on a table's page uses, it is made for spreadsheets: it starts with a byte order mark, and texts that a spreadsheet would interpret as formulas start with an apostrophe." }
            p { "In every format a column has one type, which depends on the whole table and not on the requested rows. " code { "X-Materia-Text-Columns" } " lists the columns that are text in a response but not in the table:" }
            (components::scroll("Types in each format, scrollable", &html! { table.grid {
                thead { tr { th scope="col" { "format" } th scope="col" { "type" } th scope="col" { "in the format" } } }
                tbody { @for (format, data_type, form) in TYPE_MAPPINGS { tr { th scope="row" { (format) } td { (data_type) } td { (form) } } } }
            } }))
            p { "JavaScript reads numbers beyond 2" sup { "53" } " as the nearest one that it can represent; if such integers matter, read CSV, or use a JSON parser that preserves them." }
        }
    }
}

fn freshness() -> Markup {
    html! {
        section.sheet aria-labelledby="freshness-name" {
            h2 #freshness-name { "Consistency" }
            p { "Every response is read from one complete export, identified by " code { "X-Materia-Generation" } ". Its " code { "ETag" } ", sent back in " code { "If-None-Match" } ", returns 304 until the data is updated, so you can poll as often as you like. "
                "A download comes from one export from its first byte to its last, even if the next one is published in the meantime, and has its number of rows in " code { "X-Materia-Rows" } "; if it fails, the connection is closed." }
        }
    }
}

fn limits() -> Markup {
    let number =
        |number: u32| if number == 0 { "none".to_owned() } else { humanize::count(number.into()) };
    html! {
        section.sheet aria-labelledby="limits" {
            h2 #limits { "Limits" }
            (components::scroll("Limits, scrollable", &html! { table {
                thead { tr { th scope="col" { "Plan" } th.right scope="col" { "Requests a day" } th.right scope="col" { "Rows in a response" } th.right scope="col" { "Concurrent downloads" } } }
                tbody { @for plan in Plan::ALL { @let allowed = entitlements(plan); tr {
                    th scope="row" { (components::plan_title(plan)) }
                    td.right { (number(allowed.api_requests_a_day)) }
                    td.right { (if allowed.api_requests_a_day == 0 { "none".to_owned() } else { number(allowed.answer_rows) }) }
                    td.right { (number(allowed.downloads_at_once)) }
                } } }
            } }))
            p { "The remaining daily quota (UTC) is in " code { "RateLimit" } " and " code { "RateLimit-Policy" } ". A download counts as one request and has all rows." }
        }
    }
}

fn problems() -> Markup {
    html! {
        section.sheet aria-labelledby="problems" {
            h2 #problems { "Problems" }
            p { "Errors are returned as problem documents (RFC 9457): " code { "type" } ", " code { "title" } ", " code { "status" } ", " code { "detail" } ", and for invalid parameters " code { "parameter" } ", " code { "value" } " and " code { "allowed" } "." }
            (components::scroll("Problems, scrollable", &html! { table {
                thead { tr { th scope="col" { "Status" } th scope="col" { "Kind" } th scope="col" { "Meaning" } } }
                tbody { @for (kind, status, title) in KINDS { tr #{ "problem-" (kind) } { th scope="row" { (status) } td { code { (kind) } } td { (title) } } } }
            } }))
        }
    }
}
