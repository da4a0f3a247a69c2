//! Questions as SQL, and answers as text for cells.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use materia::{
    dashboard::{self, Dashboard, Dashboards},
    plan::Plan,
    reader::{ColumnInfo, Limits, Param, Pin, Query, ReaderError},
    settings::DashboardSettings,
    sql,
    values::{self, Field},
};

use super::Served;
use crate::tui::{
    message::{Answer, Profile, Question},
    state::grid::{Filter, From, GridColumn, Page, PageAsk, Wanted},
};

/// Tables beyond this many rows are sampled for the spread of their values.
const SAMPLED: u64 = 1_000_000;
/// Parts in which the spread of a column's values is told.
const PARTS: usize = 16;
/// Sizes of tables are told together when this much time has passed.
const TOGETHER: Duration = Duration::from_millis(100);

/// Answers a question, in parts where it has some.
pub(super) async fn answer(served: &Served, question: Question, say: &impl Fn(Result<Answer, String>)) {
    let pin = match served.pin() {
        Ok(pin) => pin,
        Err(problem) => return say(Err(problem)),
    };
    match question {
        Question::Catalog => {
            let catalog = pin.catalog().await;
            say(catalog.map(|catalog| Answer::Catalog(Arc::new(catalog))).map_err(words));
        }
        Question::Bytes(tables) => bytes(&pin, tables, say).await,
        Question::Page(ask) => {
            let page = match ask.from {
                From::Table { .. } => window(&pin, &ask).await,
                From::Sql(_) => whole(&pin, &ask).await,
            };
            say(page.map(Answer::Page).map_err(words));
        }
        Question::Dashboards(settings) => say(dashboards(&settings)),
        Question::Dashboard { settings, slug, asked } => say(dashboard(&pin, &settings, slug.as_deref(), &asked).await),
        Question::Profile { table, rows, columns } => {
            for (index, column) in columns.iter().enumerate() {
                let profile = profile(&pin, &table, rows, column).await.map_err(words);
                say(Ok(Answer::Profile { index, profile: Box::new(profile), last: index + 1 == columns.len() }));
            }
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "to be handed to map_err by its name")]
fn words(error: ReaderError) -> String {
    error.to_string()
}

/// Those that somebody wrote: what is drawn of itself where there are none is the screen's only one, and takes reading all tables.
fn dashboards(settings: &DashboardSettings) -> Result<Answer, String> {
    let dashboards = Dashboards::load(settings).map_err(|error| error.to_string())?;
    Ok(Answer::Dashboards(titles(dashboards.written().unwrap_or_default())))
}

/// Slugs and titles.
fn titles(dashboards: &[Arc<Dashboard>]) -> Vec<(String, String)> {
    dashboards.iter().map(|dashboard| (dashboard.slug.clone(), dashboard.title.clone())).collect()
}

async fn dashboard(pin: &Pin, settings: &DashboardSettings, slug: Option<&str>, asked: &[(String, String)]) -> Result<Answer, String> {
    let dashboards = Dashboards::load(settings).map_err(|error| error.to_string())?;
    let all = dashboards.all(pin).await.map_err(words)?;
    let wanted = all.iter().find(|dashboard| Some(dashboard.slug.as_str()) == slug).or_else(|| all.first());
    let mistakes: Vec<_> = dashboards.problems().iter().map(ToString::to_string).collect();
    let Some(wanted) = wanted else { return Err(mistakes.first().cloned().unwrap_or_else(|| "there is no dashboard".to_owned())) };
    // Operators see what the largest plan sees.
    let data = dashboard::answer(wanted, pin, asked, Plan::Pro).await;
    Ok(Answer::Dashboard { list: titles(&all), data: Arc::new(data), mistakes })
}

async fn bytes(pin: &Pin, names: Vec<String>, say: &impl Fn(Result<Answer, String>)) {
    let (mut tables, mut said) = (Vec::new(), Instant::now());
    let last = names.len();
    for (index, name) in names.into_iter().enumerate() {
        match pin.table_bytes(&name).await {
            Ok(bytes) => tables.push((name, bytes)),
            Err(error) => return say(Err(words(error))),
        }
        if index + 1 == last || said.elapsed() > TOGETHER {
            say(Ok(Answer::Bytes { tables: std::mem::take(&mut tables), last: index + 1 == last }));
            said = Instant::now();
        }
    }
}

/// A window of a table's rows.
async fn window(pin: &Pin, ask: &PageAsk) -> Result<Page, ReaderError> {
    let begun = Instant::now();
    let limits = Limits { time: ask.time, ..Limits::page() };
    let total = match ask.total {
        Some(total) => total,
        None => count(pin, ask, limits).await?,
    };
    let count = ask.count.min(total.saturating_sub(ask.first));
    let in_order = ask.sort.is_none() && ask.filters.is_empty();
    if in_order {
        // Rows of a file that was written in one go are numbered through: no row before the window is looked at.
        let sql = format!("SELECT * FROM {} WHERE rowid BETWEEN $first AND $last", source(&ask.from));
        let query = Query::new(&sql).bind("first", int(ask.first)).bind("last", int(ask.first + count) - 1);
        let page = page(pin, query, limits, ask.first, total, begun).await?;
        if page.rows.len() == count {
            return Ok(page);
        }
    }
    // The further half of a sorted view is nearer from its end.
    let from_end = ask.sort.is_some() && ask.first + count > total / 2;
    let offset = if from_end { total.saturating_sub(ask.first + count) } else { ask.first };
    let sql = format!("{} LIMIT $count OFFSET $offset", select("*", ask, from_end));
    let query = bound(Query::new(&sql), ask).bind("count", int(count)).bind("offset", int(offset));
    let mut page = page(pin, query, limits, ask.first, total, begun).await?;
    if from_end {
        page.rows.reverse();
    }
    Ok(page)
}

async fn count(pin: &Pin, ask: &PageAsk, limits: Limits) -> Result<usize, ReaderError> {
    let unsorted = PageAsk { sort: None, ..ask.clone() };
    let query = bound(Query::new(&select("count(*)", &unsorted, false)), ask);
    let answer = pin.ask(query, limits).await?;
    let cell = answer.batches.first().and_then(|batch| Some(values::columns(&answer.fields, batch).first()?.text(0)?.into_owned()));
    Ok(cell.and_then(|text| text.parse().ok()).unwrap_or_default())
}

async fn page(pin: &Pin, query: Query, limits: Limits, first: usize, total: usize, begun: Instant) -> Result<Page, ReaderError> {
    let answer = pin.ask(query, limits).await?;
    let rows = answer.batches.iter().flat_map(|batch| cells(&answer.fields, batch)).collect();
    Ok(Page { columns: columns(&answer.fields), first, rows, total, cut: false, took: begun.elapsed() })
}

/// The first rows of a query's answer.
async fn whole(pin: &Pin, ask: &PageAsk) -> Result<Page, ReaderError> {
    let begun = Instant::now();
    let plain = ask.sort.is_none() && ask.filters.is_empty();
    let sql = match &ask.from {
        // As it was typed, so that its own order and its mistakes are its own.
        From::Sql(text) if plain => text.clone(),
        _ => select("*", ask, false),
    };
    let limits = Limits { time: ask.time, ..Limits::download() };
    let mut stream = pin.stream(bound(Query::new(&sql), ask), limits)?;
    let (mut fields, mut rows) = (Vec::<Field>::new(), Vec::new());
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        if fields.is_empty() {
            fields = values::fields_of(&batch.schema());
        }
        rows.extend(cells(&fields, &batch));
        if rows.len() > ask.count {
            break;
        }
    }
    let cut = rows.len() > ask.count;
    rows.truncate(ask.count);
    Ok(Page { columns: columns(&fields), first: 0, total: rows.len(), rows, cut, took: begun.elapsed() })
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

fn cells(fields: &[Field], batch: &duckdb::arrow::record_batch::RecordBatch) -> Vec<Vec<Option<String>>> {
    let columns = values::columns(fields, batch);
    let row = |row| columns.iter().map(|column| column.text(row).map(std::borrow::Cow::into_owned)).collect();
    (0..batch.num_rows()).map(row).collect()
}

fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn source(from: &From) -> String {
    match from {
        From::Table { name, .. } => sql::ident(name),
        // On lines of its own: the query may end with a comment.
        From::Sql(text) => format!("(\n{text}\n) AS answer"),
    }
}

/// The view as it is filtered and sorted, `backwards` from its end; without bounds.
pub(super) fn select(what: &str, ask: &PageAsk, backwards: bool) -> String {
    let mut text = format!("SELECT {what} FROM {}", source(&ask.from));
    let wanted: Vec<_> = ask.filters.iter().enumerate().map(|(index, filter)| condition(index, filter)).collect();
    if !wanted.is_empty() {
        text = format!("{text} WHERE {}", wanted.join(" AND "));
    }
    if let Some(sort) = &ask.sort {
        let (order, nulls, rows) = match (sort.descending != backwards, backwards) {
            (true, true) => ("DESC", "FIRST", " DESC"),
            (true, false) => ("DESC", "LAST", ""),
            (false, true) => ("ASC", "FIRST", " DESC"),
            (false, false) => ("ASC", "LAST", ""),
        };
        text = format!("{text} ORDER BY {} {order} NULLS {nulls}", sql::ident(&sort.column));
        // Equal values need an order too, or rows would appear twice while one scrolls.
        if matches!(ask.from, From::Table { .. }) {
            text = format!("{text}, rowid{rows}");
        }
    }
    text
}

fn condition(index: usize, filter: &Filter) -> String {
    let column = sql::ident(&filter.column);
    match &filter.wanted {
        Wanted::Value(None) => format!("{column} IS NULL"),
        // As the column's own type, which lets whole blocks be skipped.
        Wanted::Value(Some(_)) if is_plain(&filter.data_type) => format!("{column} = CAST($filter{index} AS {})", filter.data_type),
        Wanted::Value(Some(_)) => format!("CAST({column} AS VARCHAR) = $filter{index}"),
        Wanted::Part(_) => format!("contains(lower(CAST({column} AS VARCHAR)), $filter{index})"),
    }
}

/// Types whose name alone is enough to cast to.
fn is_plain(data_type: &str) -> bool {
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

pub(super) fn bound(query: Query, ask: &PageAsk) -> Query {
    ask.filters.iter().enumerate().fold(query, |query, (index, filter)| {
        let value = match &filter.wanted {
            Wanted::Value(value) => value.clone().map_or(Param::Null, Param::Text),
            Wanted::Part(part) => Param::Text(part.to_lowercase()),
        };
        query.bind(&format!("filter{index}"), value)
    })
}

async fn profile(pin: &Pin, table: &str, rows: u64, column: &ColumnInfo) -> Result<Profile, ReaderError> {
    let summary = pin.summarize(table, &column.name).await?;
    let answer = pin.ask(Query::new(&spread(table, rows, column)), Limits::page()).await?;
    let mut spread = Vec::new();
    for (index, cell) in answer.batches.iter().flat_map(|batch| cells(&answer.fields, batch)).enumerate() {
        let number = |at: usize| cell.get(at)?.as_deref()?.parse::<u64>().ok();
        let part = number(0).and_then(|part| usize::try_from(part).ok()).unwrap_or(index).min(PARTS - 1);
        spread.resize(spread.len().max(part + 1), 0);
        spread[part] = number(1).unwrap_or_default();
    }
    Ok(Profile { summary, spread })
}

/// Rows in equal ranges of a number or a time; rows of the most frequent values of anything else.
fn spread(table: &str, rows: u64, column: &ColumnInfo) -> String {
    let (table, name) = (sql::ident(table), sql::ident(&column.name));
    let sample =
        if rows > SAMPLED { format!(" TABLESAMPLE system({:.4} PERCENT)", 50.0 * SAMPLED as f64 / rows as f64) } else { String::new() };
    let number = match column.data_type.as_str() {
        "DATE" | "TIMESTAMP" | "TIMESTAMP WITH TIME ZONE" | "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP_NS" => {
            format!("CASE WHEN isfinite({name}) THEN epoch({name}) END")
        }
        numeric if numeric != "BOOLEAN" && is_plain(numeric) && !matches!(numeric, "UUID" | "VARCHAR" | "TIME") => {
            format!("CASE WHEN isfinite(CAST({name} AS DOUBLE)) THEN CAST({name} AS DOUBLE) END")
        }
        _ => {
            return format!(
                "SELECT CAST(row_number() OVER (ORDER BY rows DESC) - 1 AS BIGINT) AS part, rows
                 FROM (SELECT count(*) AS rows FROM {table}{sample} GROUP BY {name} ORDER BY rows DESC LIMIT {PARTS}) ORDER BY part"
            );
        }
    };
    format!(
        "WITH numbers AS (SELECT {number} AS x FROM {table}{sample}), bounds AS (SELECT min(x) AS lo, max(x) AS hi FROM numbers)
         SELECT CAST(least({PARTS} - 1, floor((x - lo) / nullif(hi - lo, 0) * {PARTS})) AS BIGINT) AS part, count(*) AS rows
         FROM numbers, bounds WHERE x IS NOT NULL GROUP BY part ORDER BY part"
    )
}
