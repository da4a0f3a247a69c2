//! `/api/v1/openapi.json`: the description of the API, generated from its types and the served
//! tables.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use materia::{
    download::DownloadFormat,
    reader::{ColumnInfo, TableInfo},
    tables::{MAX_OFFSET, MAX_ORDER_KEYS, TypeClass, access, quoted},
};
use serde_json::{Map, Value, json};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

use super::{
    Problem, ProblemDetails, handlers,
    schema::{AccessInfo, Column, DashboardSummary, Generation, Table},
};
use crate::{
    app::AppState,
    components::{generation_name, type_without_values},
    data,
    error::WebError,
    page_cache::is_not_modified,
};

/// The part that does not depend on the served tables.
#[derive(OpenApi)]
#[openapi(
    paths(handlers::tables, handlers::table, handlers::dashboards, handlers::dashboard, handlers::generation),
    components(schemas(ProblemDetails, Table, Column, AccessInfo, DashboardSummary, Generation)),
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

/// Serves the description. While nothing is served, it has no tables and must not be cached.
pub(crate) async fn serve(
    State(app): State<AppState>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let pin = app.reader.pin().ok();
    let served = match &pin {
        Some(pin) => access::visible_catalog(pin, &app.settings.tables)
            .await
            .ok()
            .map(|tables| (pin, tables)),
        None => None,
    };
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let Some((pin, tables)) = served else {
        let document = document(&app, &[]).map_err(Problem::internal)?;
        return Ok((
            [json, (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))],
            document.to_string(),
        )
            .into_response());
    };
    let etag = data::tag(pin.generation(), &["openapi"], false);
    let etag = HeaderValue::try_from(etag).map_err(Problem::internal)?;
    let mut response = if is_not_modified(&headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let document = document(&app, &tables).map_err(Problem::internal)?;
        ([json], document.to_string()).into_response()
    };
    let head = response.headers_mut();
    head.insert(header::ETAG, etag);
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(generation) = HeaderValue::try_from(generation_name(pin.generation())) {
        head.insert("x-materia-generation", generation);
    }
    Ok(response)
}

/// Builds the description for these tables.
fn document(app: &AppState, tables: &[TableInfo]) -> Result<Value, WebError> {
    let mut document = serde_json::to_value(Fixed::openapi()).map_err(WebError::internal)?;
    let brand = &app.settings.brand;
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": format!("{} API", brand.name),
        "version": "1",
        "description": format!(
            "{} Every response has the generation it was read from in X-Materia-Generation, and an ETag: sent back in If-None-Match it costs \
             no query. Errors are problem documents (RFC 9457). Rows are in the table's own order unless order says otherwise.",
            brand.about
        ),
    });
    document["servers"] = json!([{ "url": app.settings.web.base_url() }]);
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    if !names.is_empty()
        && let Some(parameters) =
            document["paths"]["/api/v1/tables/{table}"]["get"]["parameters"].as_array_mut()
    {
        for parameter in parameters {
            parameter["schema"]["enum"] = json!(names);
        }
    }
    for table in tables {
        let row = format!("Row of {}", table.name)
            .replace(|char: char| !char.is_ascii_alphanumeric(), "_");
        document["components"]["schemas"][&row] = row_schema(table);
        let path = url::form_urlencoded::byte_serialize(table.name.as_bytes())
            .collect::<String>()
            .replace('+', "%20");
        document["paths"][format!("/api/v1/tables/{path}/rows")] =
            json!({ "get": rows(table, &row) });
        document["paths"][format!("/api/v1/tables/{path}/download")] =
            json!({ "get": download(table) });
    }
    Ok(document)
}

const TEXT_COLUMNS: &str = "The columns that are text here but not in the table, because the format cannot represent one of their values or has \
                            no such type; comma-separated and percent-encoded, absent where there are none";

fn rows(table: &TableInfo, row: &str) -> Value {
    let mut parameters = shared(table);
    let names: Vec<_> =
        std::iter::once("json").chain(DownloadFormat::ALL.map(DownloadFormat::name)).collect();
    parameters.push(query(
        "format",
        "The format; by default that of the Accept header.",
        &json!({ "type": "string", "enum": names }),
    ));
    parameters.push(query(
        "limit",
        "The maximum number of rows; 100 by default. The plan limits it.",
        &json!({ "type": "integer", "minimum": 1, "maximum": 100_000 }),
    ));
    parameters.push(query(
        "offset",
        "The number of rows to skip; use cursor beyond the maximum.",
        &json!({ "type": "integer", "minimum": 0, "maximum": MAX_OFFSET }),
    ));
    parameters.push(query(
        "cursor",
        "Continues after a page: its X-Materia-Cursor. Cannot be combined with offset.",
        &json!({ "type": "string" }),
    ));
    let mut content = files();
    content.insert(
        "application/json".to_owned(),
        json!({ "schema": { "type": "array", "items": { "$ref": format!("#/components/schemas/{row}") } } }),
    );
    let headers = json!({
        "X-Materia-Generation": header("The generation that the rows were read from"),
        "X-Materia-Rows": header("The number of rows in the response"),
        "X-Materia-Text-Columns": header(TEXT_COLUMNS),
        "X-Materia-Cursor": header("The cursor of the next page; absent on the last one"),
        "Link": header("The address of the next page, rel=next"),
        "ETag": header("For If-None-Match"),
        "RateLimit": header("What remains of the daily quota"),
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
    let names = DownloadFormat::ALL.map(DownloadFormat::name);
    parameters.push(query(
        "format",
        "The format; by default that of the Accept header, or CSV.",
        &json!({ "type": "string", "enum": names }),
    ));
    let headers = json!({
        "X-Materia-Generation": header("The generation that the rows were read from"),
        "X-Materia-Rows": header("The number of rows in the file"),
        "X-Materia-Text-Columns": header(TEXT_COLUMNS),
        "Accept-Ranges": header("bytes if an interrupted download can be resumed with Range and If-Range"),
        "Content-Disposition": header("The file's name"),
    });
    let whole = json!({ "description": "All rows", "headers": headers, "content": files() });
    operation(table, "All rows as a file", &format!("download_{}", table.name), &parameters, &whole)
}

fn operation(
    table: &TableInfo,
    summary: &str,
    id: &str,
    parameters: &[Value],
    found: &Value,
) -> Value {
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

/// Returns the parameters that rows and downloads share: columns, order, and a filter for each
/// column.
fn shared(table: &TableInfo) -> Vec<Value> {
    let names: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let sortable = table
        .columns
        .iter()
        .filter(|column| TypeClass::of(&column.data_type).is_sortable())
        .map(|column| quoted(&column.name));
    let sorted = table
        .columns
        .iter()
        .filter(|column| TypeClass::of(&column.data_type).is_sortable())
        .count()
        .clamp(1, MAX_ORDER_KEYS);
    let orders: Vec<String> = sortable
        .flat_map(|name| {
            ["", ".asc", ".desc", ".desc.nullsfirst", ".asc.nullsfirst"]
                .map(|end| format!("{name}{end}"))
        })
        .collect();
    let list = |items: &[String], max_items: usize| json!({ "type": "array", "items": { "type": "string", "enum": items }, "uniqueItems": true, "minItems": 1, "maxItems": max_items });
    let mut parameters = vec![
        listed(
            "select",
            "The columns and their order; all by default.",
            &list(&names, names.len().max(1)),
        ),
        listed(
            "order",
            "The order of the rows, by at most 8 columns; nulls come last by default.",
            &list(&orders, sorted),
        ),
    ];
    parameters.extend(table.columns.iter().map(filter));
    parameters
}

fn filter(column: &ColumnInfo) -> Value {
    let kind = TypeClass::of(&column.data_type);
    let operators: Vec<_> = kind.operators().iter().map(|operator| operator.name()).collect();
    let about = format!(
        "{}Type {}. operator.value, with {}; a leading not. negates it. Values are {}.",
        column.comment.as_ref().map(|comment| format!("{comment}. ")).unwrap_or_default(),
        type_without_values(&column.data_type),
        operators.join(", "),
        kind.example()
    );
    let example = match kind {
        TypeClass::Other => "not.is.null",
        TypeClass::Temporal => "gte.2020-01-01",
        TypeClass::Boolean => "eq.true",
        TypeClass::Text | TypeClass::Label => "in.(one,two)",
        TypeClass::Uuid => "eq.6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        TypeClass::Integer | TypeClass::Decimal { .. } | TypeClass::Float { .. } => "gte.5",
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
    let file = |format: DownloadFormat| {
        (format.media_type().split(';').next().unwrap_or_default().to_owned(), json!({}))
    };
    DownloadFormat::ALL.into_iter().map(file).collect()
}

/// Returns the schema of a row in JSON, as the library encodes values.
fn row_schema(table: &TableInfo) -> Value {
    let properties: Map<String, Value> =
        table.columns.iter().map(|column| (column.name.clone(), value_schema(column))).collect();
    json!({ "type": "object", "properties": properties, "description": table.comment })
}

fn value_schema(column: &ColumnInfo) -> Value {
    let types: &[&str] = match (TypeClass::of(&column.data_type), column.data_type.as_str()) {
        (
            TypeClass::Integer,
            "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "UTINYINT" | "USMALLINT" | "UINTEGER",
        ) => &["integer", "null"],
        // The whole column is text if one value has more than 64 bits.
        (TypeClass::Integer, _) => &["integer", "string", "null"],
        // The whole column is text if one value is infinite or not a number.
        (TypeClass::Float { .. }, _) => &["number", "string", "null"],
        (TypeClass::Boolean, _) => &["boolean", "null"],
        (
            TypeClass::Decimal { .. }
            | TypeClass::Temporal
            | TypeClass::Text
            | TypeClass::Label
            | TypeClass::Uuid,
            _,
        ) => &["string", "null"],
        (TypeClass::Other, _) => return json!({ "description": described(column) }),
    };
    json!({ "type": types, "description": described(column) })
}

fn described(column: &ColumnInfo) -> String {
    let comment = column.comment.as_ref().map(|comment| format!(". {comment}")).unwrap_or_default();
    let text = match column.data_type.as_str() {
        "FLOAT" | "DOUBLE" => "; text in every row if one value of the table is nan, inf or -inf",
        "UBIGINT" | "HUGEINT" | "UHUGEINT" | "BIGNUM" => {
            "; text in every row if one value of the table has more than 64 bits with sign"
        }
        _ => "",
    };
    format!("{}{text}{comment}", type_without_values(&column.data_type))
}
