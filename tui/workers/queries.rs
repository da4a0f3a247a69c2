//! Converts requests to SQL, and results to text for cells.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use materia::{
    dashboard::{self, Dashboard, Dashboards},
    humanize,
    plan::Plan,
    reader::{ColumnInfo, Param, Pin, Query, QueryLimits, ReaderError},
    settings::DashboardSettings,
    sql,
    values::{self, Field},
};

use super::{SharedReader, statistics};
use crate::{
    grid::{Filter, FilterPredicate, GridColumn, Page, PageRequest, RowSource, Sort},
    message::{Profile, Request, Response},
};

/// In larger tables, the distribution of values is computed from a sample.
const MAX_UNSAMPLED_ROWS: u64 = 1_000_000;
/// Number of ranges into which the values of a column are divided.
const PARTS: usize = 16;
/// Interval at which batches of sizes are sent.
const SIZES_INTERVAL: Duration = Duration::from_millis(100);

/// Runs a request, and sends its result, possibly in parts.
pub(super) async fn run(
    reader: &SharedReader,
    request: Request,
    respond: &impl Fn(Result<Response, String>),
) {
    let pin = match reader.pin_database(request.database()) {
        Ok(pin) => pin,
        Err(error) => return respond(Err(error)),
    };
    match request {
        Request::Catalog => {
            let catalog = pin.catalog().await;
            respond(
                catalog.map(|catalog| Response::Catalog(Arc::new(catalog))).map_err(error_text),
            );
        }
        Request::TableSizes(tables) => bytes(&pin, tables, respond).await,
        Request::Page(page) => {
            let page = match page.source {
                RowSource::Table { .. } => page_of_table(&pin, &page).await.map_err(error_text),
                RowSource::Sql(_) => page_of_query(&pin, &page).await.map_err(query_error),
            };
            respond(page.map(Response::Page));
        }
        Request::Statistics { page, column } => {
            let statistics = statistics::collect(&pin, &page, &column).await.map_err(error_text);
            respond(statistics.map(|found| Response::Statistics(Box::new(found))));
        }
        Request::Dashboards(settings) => respond(dashboards(&settings)),
        Request::Dashboard { settings, slug, filters } => {
            respond(dashboard(&pin, &settings, slug.as_deref(), &filters).await);
        }
        Request::Profile { table, rows, columns } => {
            for (index, column) in columns.iter().enumerate() {
                let profile = profile(&pin, &table, rows, column).await.map_err(error_text);
                respond(Ok(Response::Profile {
                    index,
                    profile: Box::new(profile),
                    last: index + 1 == columns.len(),
                }));
            }
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "to be handed to map_err by its name")]
fn error_text(error: ReaderError) -> String {
    error.to_string()
}

/// Describes the error of a query in the prompt, with the key that helps.
#[allow(clippy::needless_pass_by_value, reason = "to be passed to map_err by its name")]
fn query_error(error: ReaderError) -> String {
    match &error {
        ReaderError::TimedOut { limit } => {
            format!("stopped after {}; Ctrl-T raises the limit", humanize::duration(*limit))
        }
        _ => error.to_string(),
    }
}

/// Lists the dashboards that have files. Generating the default one would require reading all
/// tables.
fn dashboards(settings: &DashboardSettings) -> Result<Response, String> {
    let dashboards = Dashboards::load(settings).map_err(|error| error.to_string())?;
    Ok(Response::Dashboards(titles(dashboards.user_defined().unwrap_or_default())))
}

fn titles(dashboards: &[Arc<Dashboard>]) -> Vec<(String, String)> {
    dashboards.iter().map(|dashboard| (dashboard.slug.clone(), dashboard.title.clone())).collect()
}

async fn dashboard(
    pin: &Pin,
    settings: &DashboardSettings,
    slug: Option<&str>,
    filters: &[(String, String)],
) -> Result<Response, String> {
    let dashboards = Dashboards::load(settings).map_err(|error| error.to_string())?;
    let all = dashboards.all(pin).await.map_err(error_text)?;
    let wanted =
        all.iter().find(|dashboard| Some(dashboard.slug.as_str()) == slug).or_else(|| all.first());
    let diagnostics: Vec<_> = dashboards.problems().iter().map(ToString::to_string).collect();
    let Some(wanted) = wanted else {
        return Err(diagnostics
            .first()
            .cloned()
            .unwrap_or_else(|| "there is no dashboard".to_owned()));
    };
    // Operators may see everything.
    let data = dashboard::evaluate(wanted, pin, filters, Plan::Pro).await;
    let queries = dashboard::panel_queries(wanted, pin, filters, Plan::Pro).await;
    Ok(Response::Dashboard { list: titles(&all), data: Arc::new(data), queries, diagnostics })
}

async fn bytes(pin: &Pin, names: Vec<String>, respond: &impl Fn(Result<Response, String>)) {
    let (mut tables, mut output) = (Vec::new(), Instant::now());
    let last = names.len();
    for (index, name) in names.into_iter().enumerate() {
        match pin.table_bytes(&name).await {
            Ok(bytes) => tables.push((name, bytes)),
            Err(error) => return respond(Err(error_text(error))),
        }
        if index + 1 == last || output.elapsed() > SIZES_INTERVAL {
            respond(Ok(Response::TableSizes {
                tables: std::mem::take(&mut tables),
                last: index + 1 == last,
            }));
            output = Instant::now();
        }
    }
}

/// Loads a window of a table's rows.
async fn page_of_table(pin: &Pin, request: &PageRequest) -> Result<Page, ReaderError> {
    let started = Instant::now();
    let limits = QueryLimits { timeout: request.timeout, ..QueryLimits::for_page() };
    let total = match request.total {
        Some(total) => total,
        None => count(pin, request, limits).await?,
    };
    let count = request.count.min(total.saturating_sub(request.first));
    let in_order = request.sort.is_empty() && request.filters.is_empty();
    if in_order {
        // The rows of a file that was written once have consecutive numbers, so earlier rows need
        // not be read.
        let sql = format!(
            "SELECT * FROM {} WHERE rowid BETWEEN $first AND $last",
            source_sql(&request.source)
        );
        let query = Query::new(&sql)
            .bind("first", int(request.first))
            .bind("last", int(request.first + count) - 1);
        let page = page(pin, query, limits, request.first, total, started).await?;
        if page.rows.len() == count {
            return Ok(page);
        }
    }
    // Rows in the second half of a sorted view are faster to read from its end.
    let from_end = !request.sort.is_empty() && request.first + count > total / 2;
    let offset = if from_end { total.saturating_sub(request.first + count) } else { request.first };
    let sql = format!("{} LIMIT $count OFFSET $offset", select("*", request, from_end));
    let query =
        bound(Query::new(&sql), request).bind("count", int(count)).bind("offset", int(offset));
    let mut page = page(pin, query, limits, request.first, total, started).await?;
    if from_end {
        page.rows.reverse();
    }
    Ok(page)
}

async fn count(
    pin: &Pin,
    request: &PageRequest,
    limits: QueryLimits,
) -> Result<usize, ReaderError> {
    let unsorted = PageRequest { sort: Vec::new(), ..request.clone() };
    let query = bound(Query::new(&select("count(*)", &unsorted, false)), request);
    let response = pin.query(query, limits).await?;
    let cell = response.batches.first().and_then(|batch| {
        Some(values::columns(&response.fields, batch).first()?.text(0)?.into_owned())
    });
    Ok(cell.and_then(|text| text.parse().ok()).unwrap_or_default())
}

async fn page(
    pin: &Pin,
    query: Query,
    limits: QueryLimits,
    first: usize,
    total: usize,
    started: Instant,
) -> Result<Page, ReaderError> {
    let response = pin.query(query, limits).await?;
    let rows = response.batches.iter().flat_map(|batch| cells(&response.fields, batch)).collect();
    Ok(Page {
        columns: columns(&response.fields),
        first,
        rows,
        total,
        truncated: false,
        elapsed: started.elapsed(),
    })
}

/// Loads the first rows of a query's result.
async fn page_of_query(pin: &Pin, request: &PageRequest) -> Result<Page, ReaderError> {
    let started = Instant::now();
    let plain = request.sort.is_empty() && request.filters.is_empty();
    let sql = match &request.source {
        // Passed on unchanged, so that its own order and the positions in its errors are preserved.
        RowSource::Sql(text) if plain => text.clone(),
        _ => select("*", request, false),
    };
    let limits = QueryLimits { timeout: request.timeout, ..QueryLimits::for_download() };
    let mut stream = pin.stream(bound(Query::new(&sql), request), limits)?;
    let (mut fields, mut rows) = (Vec::<Field>::new(), Vec::new());
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        if fields.is_empty() {
            fields = values::fields_of(&batch.schema());
        }
        rows.extend(cells(&fields, &batch));
        if rows.len() > request.count {
            break;
        }
    }
    let truncated = rows.len() > request.count;
    rows.truncate(request.count);
    Ok(Page {
        columns: columns(&fields),
        first: 0,
        total: rows.len(),
        rows,
        truncated,
        elapsed: started.elapsed(),
    })
}

fn columns(fields: &[Field]) -> Vec<GridColumn> {
    let column = |field: &Field| GridColumn {
        name: field.name.clone(),
        data_type: field.data_type.to_string(),
        numeric: field.data_type.is_numeric(),
        width: 0,
    };
    fields.iter().map(column).collect()
}

pub(super) fn cells(
    fields: &[Field],
    batch: &duckdb::arrow::record_batch::RecordBatch,
) -> Vec<Vec<Option<String>>> {
    let columns = values::columns(fields, batch);
    let row = |row| {
        columns.iter().map(|column| column.text(row).map(std::borrow::Cow::into_owned)).collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn source_sql(source: &RowSource) -> String {
    match source {
        RowSource::Table { name, .. } => sql::ident(name),
        // On separate lines, because the query may end with a comment.
        RowSource::Sql(text) => format!("(\n{text}\n) AS result"),
    }
}

/// Returns the query for the filtered and sorted view without limits, from its end if `backwards`.
pub(super) fn select(what: &str, request: &PageRequest, backwards: bool) -> String {
    let mut text = format!("SELECT {what} FROM {}", source_sql(&request.source));
    let conditions: Vec<_> = request
        .filters
        .iter()
        .enumerate()
        .map(|(index, filter)| condition(index, filter))
        .collect();
    if !conditions.is_empty() {
        text = format!("{text} WHERE {}", conditions.join(" AND "));
    }
    let nulls = if backwards { "FIRST" } else { "LAST" };
    let term = |sort: &Sort| {
        let order = if sort.descending == backwards { "ASC" } else { "DESC" };
        format!("{} {order} NULLS {nulls}", sql::ident(&sort.column))
    };
    let mut order: Vec<_> = request.sort.iter().map(term).collect();
    if !order.is_empty() {
        // Equal values need a defined order as well, or rows would appear twice while scrolling.
        if matches!(request.source, RowSource::Table { .. }) {
            order.push(if backwards { "rowid DESC" } else { "rowid" }.to_owned());
        }
        text = format!("{text} ORDER BY {}", order.join(", "));
    }
    text
}

fn condition(index: usize, filter: &Filter) -> String {
    let column = sql::ident(&filter.column);
    match &filter.predicate {
        FilterPredicate::Equals(None) => format!("{column} IS NULL"),
        // A comparison in the column's own type can skip whole blocks.
        FilterPredicate::Equals(Some(_)) if is_plain(&filter.data_type) => {
            format!("{column} = CAST($filter{index} AS {})", filter.data_type)
        }
        FilterPredicate::Equals(Some(_)) => format!("CAST({column} AS VARCHAR) = $filter{index}"),
        FilterPredicate::Contains(_) => {
            format!("contains(lower(CAST({column} AS VARCHAR)), $filter{index})")
        }
    }
}

/// Returns whether the type's name alone is sufficient for a cast.
pub(super) fn is_plain(data_type: &str) -> bool {
    const PLAIN: [&str; 19] = [
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "UHUGEINT",
        "FLOAT",
        "DOUBLE",
        "DATE",
        "TIMESTAMP",
        "TIMESTAMP WITH TIME ZONE",
        "TIME",
        "UUID",
        "VARCHAR",
    ];
    PLAIN.contains(&data_type) || (data_type.starts_with("DECIMAL(") && !data_type.ends_with(']'))
}

pub(super) fn bound(query: Query, request: &PageRequest) -> Query {
    request.filters.iter().enumerate().fold(query, |query, (index, filter)| {
        let value = match &filter.predicate {
            FilterPredicate::Equals(value) => value.clone().map_or(Param::Null, Param::Text),
            FilterPredicate::Contains(part) => Param::Text(part.to_lowercase()),
        };
        query.bind(&format!("filter{index}"), value)
    })
}

async fn profile(
    pin: &Pin,
    table: &str,
    rows: u64,
    column: &ColumnInfo,
) -> Result<Profile, ReaderError> {
    let summary = pin.summarize(table, &column.name).await?;
    let response =
        pin.query(Query::new(&spread(table, rows, column)), QueryLimits::for_page()).await?;
    let mut spread = Vec::new();
    for (index, cell) in
        response.batches.iter().flat_map(|batch| cells(&response.fields, batch)).enumerate()
    {
        let number = |at: usize| cell.get(at)?.as_deref()?.parse::<u64>().ok();
        let part =
            number(0).and_then(|part| usize::try_from(part).ok()).unwrap_or(index).min(PARTS - 1);
        spread.resize(spread.len().max(part + 1), 0);
        spread[part] = number(1).unwrap_or_default();
    }
    Ok(Profile { summary, spread })
}

/// Returns whether the values are points in time.
pub(super) fn is_time(data_type: &str) -> bool {
    matches!(
        data_type,
        "DATE"
            | "TIMESTAMP"
            | "TIMESTAMP WITH TIME ZONE"
            | "TIMESTAMP_S"
            | "TIMESTAMP_MS"
            | "TIMESTAMP_NS"
    )
}

/// Returns the finite values of a number or a time as `DOUBLE`, times in seconds since 1970;
/// `None` for other types.
pub(super) fn number_sql(data_type: &str, column: &str) -> Option<String> {
    if is_time(data_type) {
        return Some(format!("CASE WHEN isfinite({column}) THEN epoch({column}) END"));
    }
    let is_number =
        is_plain(data_type) && !matches!(data_type, "BOOLEAN" | "UUID" | "VARCHAR" | "TIME");
    let double = format!("CAST({column} AS DOUBLE)");
    is_number.then(|| format!("CASE WHEN isfinite({double}) THEN {double} END"))
}

/// Returns the query for rows in equal ranges of a number or a time, or of the most frequent values
/// of other types.
fn spread(table: &str, rows: u64, column: &ColumnInfo) -> String {
    let (table, name) = (sql::ident(table), sql::ident(&column.name));
    let sample = if rows > MAX_UNSAMPLED_ROWS {
        format!(
            " TABLESAMPLE system({:.4} PERCENT)",
            50.0 * MAX_UNSAMPLED_ROWS as f64 / rows as f64
        )
    } else {
        String::new()
    };
    let Some(number) = number_sql(&column.data_type, &name) else {
        return format!(
            "SELECT CAST(row_number() OVER (ORDER BY rows DESC) - 1 AS BIGINT) AS part, rows
             FROM (SELECT count(*) AS rows FROM {table}{sample} GROUP BY {name} ORDER BY rows DESC LIMIT {PARTS}) ORDER BY part"
        );
    };
    format!(
        "WITH numbers AS (SELECT {number} AS x FROM {table}{sample}), bounds AS (SELECT min(x) AS lo, max(x) AS hi FROM numbers)
         SELECT CAST(least({PARTS} - 1, floor((x - lo) / nullif(hi - lo, 0) * {PARTS})) AS BIGINT) AS part, count(*) AS rows
         FROM numbers, bounds WHERE x IS NOT NULL GROUP BY part ORDER BY part"
    )
}
