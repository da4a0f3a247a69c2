//! `/api/v1/openapi.json`: the API's description, made from its types and from the tables that are served.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use materia::{
    download::Format,
    reader::{ColumnInfo, TableInfo},
    tables::{Kind, MOST_OFFSET, quoted},
};
use serde_json::{Map, Value, json};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

use super::{
    Document, Problem,
    answers::{Column, DashboardLine, Generation, Sees, Table},
    handlers,
};
use crate::web::{app::App, cache::revalidates, data, error::WebError, parts::generation_name};

/// What does not depend on the tables.
#[derive(OpenApi)]
#[openapi(
    paths(handlers::tables, handlers::table, handlers::dashboards, handlers::dashboard, handlers::generation),
    components(schemas(Document, Table, Column, Sees, DashboardLine, Generation)),
    modifiers(&Key),
    security(("key" = []))
)]
struct Fixed;

struct Key;

impl Modify for Key {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let key = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("key", key);
    }
}

/// The document.
pub(crate) async fn serve(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let pin = app.reader.pin()?;
    let etag = data::tag(pin.generation(), &["openapi"], false);
    let etag = HeaderValue::try_from(etag).map_err(Problem::internal)?;
    let mut response = if revalidates(&headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let document = document(&app, &pin.catalog().await?.tables).map_err(Problem::internal)?;
        ([(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response()
    };
    let head = response.headers_mut();
    head.insert(header::ETAG, etag);
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(generation) = HeaderValue::try_from(generation_name(pin.generation())) {
        head.insert("x-materia-generation", generation);
    }
    Ok(response)
}

/// The document for these tables.
fn document(app: &App, tables: &[TableInfo]) -> Result<Value, WebError> {
    let mut document = serde_json::to_value(Fixed::openapi()).map_err(WebError::internal)?;
    let brand = &app.settings.brand;
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": format!("{} API", brand.name),
        "version": "1",
        "description": format!(
            "{} Every answer tells the generation it was read from in X-Materia-Generation, and an ETag: sent back in If-None-Match it costs \
             no question. Errors are problem documents (RFC 9457). Rows are in the table's own order unless order says otherwise.",
            brand.about
        ),
    });
    document["servers"] = json!([{ "url": app.settings.web.base_url() }]);
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    if let Some(parameters) = document["paths"]["/api/v1/tables/{table}"]["get"]["parameters"].as_array_mut() {
        for parameter in parameters {
            parameter["schema"]["enum"] = json!(names);
        }
    }
    for table in tables {
        let row = format!("Row of {}", table.name).replace(|char: char| !char.is_ascii_alphanumeric(), "_");
        document["components"]["schemas"][&row] = row_schema(table);
        let path = url::form_urlencoded::byte_serialize(table.name.as_bytes()).collect::<String>().replace('+', "%20");
        document["paths"][format!("/api/v1/tables/{path}/rows")] = json!({ "get": rows(table, &row) });
        document["paths"][format!("/api/v1/tables/{path}/download")] = json!({ "get": download(table) });
    }
    Ok(document)
}

fn rows(table: &TableInfo, row: &str) -> Value {
    let mut parameters = shared(table);
    let names: Vec<_> = std::iter::once("json").chain(Format::ALL.map(Format::name)).collect();
    parameters.push(query("format", "The format; else the Accept header tells it.", &json!({ "type": "string", "enum": names })));
    parameters.push(query(
        "limit",
        "How many rows at most; 100 where nothing is said. The plan says how many there may be.",
        &json!({ "type": "integer", "minimum": 1, "maximum": 100_000 }),
    ));
    parameters.push(query(
        "offset",
        "How many rows to leave out; for rows farther on use cursor.",
        &json!({ "type": "integer", "minimum": 0, "maximum": MOST_OFFSET }),
    ));
    parameters.push(query(
        "cursor",
        "The next rows, as X-Materia-Cursor of the answer before told it. Not together with offset.",
        &json!({ "type": "string" }),
    ));
    let mut content = files();
    content.insert(
        "application/json".to_owned(),
        json!({ "schema": { "type": "array", "items": { "$ref": format!("#/components/schemas/{row}") } } }),
    );
    let headers = json!({
        "X-Materia-Generation": header("The generation that the rows were read from"),
        "X-Materia-Rows": header("How many rows the answer has"),
        "X-Materia-Cursor": header("For the rows behind these; absent at the end"),
        "Link": header("The same as an address, rel=next"),
        "ETag": header("For If-None-Match"),
        "RateLimit": header("What is left of the day's requests"),
    });
    operation(
        table,
        "Rows",
        &format!("rows_{}", table.name),
        &parameters,
        &json!({ "description": "The rows", "headers": headers, "content": content }),
    )
}

fn download(table: &TableInfo) -> Value {
    let mut parameters = shared(table);
    let names = Format::ALL.map(Format::name);
    parameters.push(query(
        "format",
        "The format; else the Accept header tells it, and CSV where neither does.",
        &json!({ "type": "string", "enum": names }),
    ));
    let headers = json!({
        "X-Materia-Generation": header("The generation that the rows were read from"),
        "X-Materia-Rows": header("How many rows the file has"),
        "Accept-Ranges": header("bytes where an interrupted download can be continued with Range and If-Range"),
        "Content-Disposition": header("The file's name"),
    });
    let whole = json!({ "description": "All rows", "headers": headers, "content": files() });
    operation(table, "All rows as a file", &format!("download_{}", table.name), &parameters, &whole)
}

fn operation(table: &TableInfo, summary: &str, id: &str, parameters: &[Value], found: &Value) -> Value {
    let problem = json!({ "description": "A problem", "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } });
    json!({
        "tags": [table.name],
        "summary": format!("{summary}: {}", table.name),
        "description": table.comment.as_deref().unwrap_or_default(),
        "operationId": id,
        "parameters": parameters,
        "responses": { "200": found, "4XX": problem, "5XX": problem },
    })
}

/// What rows and downloads have in common: columns, order, and a filter for each column.
fn shared(table: &TableInfo) -> Vec<Value> {
    let names: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let sortable = table.columns.iter().filter(|column| Kind::of(&column.data_type).sorts()).map(|column| quoted(&column.name));
    let sorted = table.columns.iter().filter(|column| Kind::of(&column.data_type).sorts()).count().max(1);
    let orders: Vec<String> =
        sortable.flat_map(|name| ["", ".asc", ".desc", ".desc.nullsfirst", ".asc.nullsfirst"].map(|end| format!("{name}{end}"))).collect();
    let list = |items: &[String], most: usize| json!({ "type": "array", "items": { "type": "string", "enum": items }, "uniqueItems": true, "minItems": 1, "maxItems": most });
    let mut parameters = vec![
        listed("select", "The columns, in the order they are to come; all where nothing is said.", &list(&names, names.len().max(1))),
        listed("order", "What rows are ordered by; nulls last unless said otherwise.", &list(&orders, sorted)),
    ];
    parameters.extend(table.columns.iter().map(filter));
    parameters
}

fn filter(column: &ColumnInfo) -> Value {
    let kind = Kind::of(&column.data_type);
    let operators: Vec<_> = kind.operators().iter().map(|operator| operator.name()).collect();
    let about = format!(
        "{}Type {}. operator.value, with {}; not. before it turns it round. Values are {}.",
        column.comment.as_ref().map(|comment| format!("{comment}. ")).unwrap_or_default(),
        column.data_type,
        operators.join(", "),
        kind.example()
    );
    let example = match kind {
        Kind::Other => "not.is.null",
        Kind::Time => "gte.2020-01-01",
        Kind::Boolean => "eq.true",
        Kind::Text | Kind::Label => "in.(one,two)",
        Kind::Uuid => "eq.6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        Kind::Whole | Kind::Decimal { .. } | Kind::Float { .. } => "gte.5",
    };
    let mut filter = query(&quoted(&column.name), &about, &json!({ "type": "string" }));
    filter["example"] = json!(example);
    filter
}

fn query(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
}

fn listed(name: &str, description: &str, schema: &Value) -> Value {
    let mut parameter = query(name, description, schema);
    parameter["style"] = json!("form");
    parameter["explode"] = json!(false);
    parameter
}

fn header(description: &str) -> Value {
    json!({ "description": description, "schema": { "type": "string" } })
}

fn files() -> Map<String, Value> {
    let file = |format: Format| (format.media_type().split(';').next().unwrap_or_default().to_owned(), json!({}));
    Format::ALL.into_iter().map(file).collect()
}

/// A row as JSON, column by column: see the library's table of values.
fn row_schema(table: &TableInfo) -> Value {
    let properties: Map<String, Value> = table.columns.iter().map(|column| (column.name.clone(), value_schema(column))).collect();
    json!({ "type": "object", "properties": properties, "description": table.comment })
}

fn value_schema(column: &ColumnInfo) -> Value {
    let types: &[&str] = match (Kind::of(&column.data_type), column.data_type.as_str()) {
        (Kind::Whole, "TINYINT" | "SMALLINT" | "INTEGER" | "UTINYINT" | "USMALLINT" | "UINTEGER") => &["integer", "null"],
        // Beyond 2^53 as text.
        (Kind::Whole, _) => &["integer", "string", "null"],
        // Not a number and infinity as text.
        (Kind::Float { .. }, _) => &["number", "string", "null"],
        (Kind::Boolean, _) => &["boolean", "null"],
        (Kind::Decimal { .. } | Kind::Time | Kind::Text | Kind::Label | Kind::Uuid, _) => &["string", "null"],
        (Kind::Other, _) => return json!({ "description": described(column) }),
    };
    json!({ "type": types, "description": described(column) })
}

fn described(column: &ColumnInfo) -> String {
    let comment = column.comment.as_ref().map(|comment| format!(". {comment}")).unwrap_or_default();
    format!("{}{comment}", column.data_type)
}
