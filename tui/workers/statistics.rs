//! Statistics of one column: its most frequent values, and a histogram.

use jiff::Timestamp;
use materia::{
    humanize,
    reader::{Pin, Query, QueryLimits, ReaderError},
    sql,
};

use super::queries::{bound, cells, is_time, number_sql, select};
use crate::{
    grid::{GridColumn, PageRequest},
    message::ColumnStatistics,
};

/// Number of the most frequent values.
const TOP_VALUES: usize = 40;
/// Number of ranges of the histogram.
const RANGES: u32 = 16;
const DAY_SECONDS: f64 = 86_400.0;

/// Computes the statistics over all rows of the view, exactly except for the median.
pub(super) async fn collect(
    pin: &Pin,
    page: &PageRequest,
    column: &GridColumn,
) -> Result<ColumnStatistics, ReaderError> {
    let unsorted = PageRequest { sort: Vec::new(), ..page.clone() };
    let values = select(&format!("{} AS value", sql::ident(&column.name)), &unsorted, false);
    let rows = rows(pin, page, &top_sql(&values)).await?;
    let text = |at: usize| rows.first().and_then(|row| row.get(at)?.clone());
    let mut statistics = ColumnStatistics {
        distinct: number(text(2)),
        rows: number(text(3)),
        nulls: number(text(4)),
        range: text(5).zip(text(6)),
        top: rows.iter().map(|row| (row[0].clone(), number(row[1].clone()))).collect(),
        ..ColumnStatistics::default()
    };
    if let Some(x) = number_sql(&column.data_type, "value") {
        histogram(pin, page, (&values, &x), column, &mut statistics).await?;
    }
    Ok(statistics)
}

/// Returns the most frequent values; every row also has the totals.
fn top_sql(values: &str) -> String {
    format!(
        "SELECT CAST(value AS VARCHAR), rows, count(value) OVER (), CAST(sum(rows) OVER () AS BIGINT),
                CAST(coalesce(sum(rows) FILTER (WHERE value IS NULL) OVER (), 0) AS BIGINT),
                CAST(min(value) OVER () AS VARCHAR), CAST(max(value) OVER () AS VARCHAR)
         FROM (SELECT value, count(*) AS rows FROM ({values}) GROUP BY value)
         ORDER BY rows DESC, value LIMIT {TOP_VALUES}"
    )
}

/// Adds the averages and the histogram of numbers or times.
async fn histogram(
    pin: &Pin,
    page: &PageRequest,
    (values, x): (&str, &str),
    column: &GridColumn,
    statistics: &mut ColumnStatistics,
) -> Result<(), ReaderError> {
    let sql = format!(
        "WITH numbers AS (SELECT {x} AS x FROM ({values})),
              bounds AS (SELECT min(x) AS lo, max(x) AS hi, avg(x) AS mean, approx_quantile(x, 0.5) AS median FROM numbers)
         SELECT CAST(least({RANGES} - 1, floor((x - lo) / nullif(hi - lo, 0) * {RANGES})) AS BIGINT) AS part, count(*) AS rows,
                any_value(lo), any_value(hi), any_value(mean), any_value(median)
         FROM numbers, bounds WHERE x IS NOT NULL GROUP BY part ORDER BY part"
    );
    let rows = rows(pin, page, &sql).await?;
    let figure =
        |at: usize| rows.first().and_then(|row| row.get(at)?.as_deref()?.parse::<f64>().ok());
    let (Some(low), Some(high)) = (figure(2), figure(3)) else { return Ok(()) };
    let step = (high - low) / f64::from(RANGES);
    let is_time = is_time(&column.data_type);
    if !is_time {
        let averages = figure(4).zip(figure(5));
        let format = |average: f64| trim_zeros(&format_number(average, step / 100.0));
        statistics.averages = averages.map(|(mean, median)| (format(mean), format(median)));
    }
    // A single value has no ranges.
    if step <= 0.0 {
        return Ok(());
    }
    statistics.histogram = (0..RANGES)
        .map(|part| {
            let start = low + step * f64::from(part);
            let label = if is_time { format_time(start, step) } else { format_number(start, step) };
            let is_part = |row: &&Vec<Option<String>>| row[0] == Some(part.to_string());
            let count = rows.iter().find(is_part).map_or(0, |row| number(row[1].clone()));
            (label, count)
        })
        .collect();
    Ok(())
}

async fn rows(
    pin: &Pin,
    page: &PageRequest,
    sql: &str,
) -> Result<Vec<Vec<Option<String>>>, ReaderError> {
    let limits = QueryLimits { timeout: page.timeout, ..QueryLimits::for_page() };
    let response = pin.query(bound(Query::new(sql), page), limits).await?;
    Ok(response.batches.iter().flat_map(|batch| cells(&response.fields, batch)).collect())
}

fn number(text: Option<String>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Formats a number with as many decimal places as distinguish values `step` apart.
fn format_number(number: f64, step: f64) -> String {
    let places = (1.0 - step.abs().max(1e-9).log10()).ceil().clamp(0.0, 9.0);
    // Clamped to a small number.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let places = places as usize;
    let text = format!("{number:.places$}");
    match text.split_once('.') {
        Some((whole, fraction)) => {
            format!("{}.{fraction}", humanize::thousands_separated(whole))
        }
        None => humanize::thousands_separated(&text),
    }
}

/// Removes zeros at the end of the decimal places.
fn trim_zeros(number: &str) -> String {
    let is_fraction = number.contains('.');
    let trimmed = if is_fraction { number.trim_end_matches('0') } else { number };
    trimmed.trim_end_matches('.').to_owned()
}

/// Formats seconds since 1970 as a date, with the time of day if ranges are shorter than a day.
fn format_time(seconds: f64, step: f64) -> String {
    // Saturates outside of the years that jiff supports.
    #[allow(clippy::cast_possible_truncation)]
    let Ok(at) = Timestamp::from_second(seconds as i64) else { return String::new() };
    let format = if step < DAY_SECONDS { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d" };
    at.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::{format_number, format_time, trim_zeros};

    #[test]
    fn labels_of_ranges_differ_and_are_no_longer_than_necessary() {
        assert_eq!(format_number(1_234_567.891, 50_000.0), "1,234,568");
        assert_eq!(format_number(12.3456, 0.5), "12.35");
        assert_eq!(trim_zeros(&format_number(-30.0, 0.0)), "-30");
        assert_eq!(trim_zeros("30"), "30");
        assert_eq!(format_time(0.0, 86_400.0), "1970-01-01");
        assert_eq!(format_time(3_600.0, 60.0), "1970-01-01 01:00");
    }
}
