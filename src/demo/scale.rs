//! Multiplies rows for load tests: staging models are repeated under new names before other models
//! are derived from them.
//!
//! Raw tables are not repeated. Each copy is between half and one and a half times the size of the
//! first, in whole percent, so that its balances still add up. Two series (positions and prices)
//! have only the date as their key, so a copy is the same history, moved back to end where the
//! previous one begins. These two stop at the year 1, the earliest date that most programs support.

/// Returns a staging query with `scale` times the rows of `query`, with keys still unique. `model`
/// is its name.
pub(super) fn scaled(model: &str, query: &str, scale: u32) -> String {
    let columns = match model {
        _ if scale == 1 => return query.to_owned(),
        "staging.psd" => {
            [coded("country_code"), named("country_name"), sized("thousand_bags", 2)].join(", ")
        }
        "staging.imports" => [named("origin"), sized("metric_tons", 1)].join(", "),
        "staging.rain" => [named("region"), sized("precipitation_mm", 1)].join(", "),
        "staging.cot" => "report_date - back::INT AS report_date".to_owned(),
        "staging.prices" => "(month - TO_MONTHS(back::INT))::DATE AS month".to_owned(),
        _ => return query.to_owned(),
    };
    // How far back a copy is moved, in days or months, and how far back the year 1 is.
    let (step, room) = match model {
        "staging.cot" => (
            "MAX(report_date) OVER () - MIN(report_date) OVER () + 7",
            "report_date - DATE '0001-01-01'",
        ),
        "staging.prices" => (
            "DATE_DIFF('month', MIN(month) OVER (), MAX(month) OVER ()) + 1",
            "DATE_DIFF('month', DATE '0001-01-01', month)",
        ),
        _ => ("0", "0"),
    };
    let last = u64::from(scale) + 1;
    format!(
        "SELECT * EXCLUDE (copy, back) REPLACE ({columns})\n\
         FROM (SELECT *, (copy - 1) * ({step}) AS back FROM (\n{query}\n) CROSS JOIN RANGE(1, {last}) AS copies(copy))\n\
         WHERE back <= {room}"
    )
}

/// Returns `Brazil`, `Brazil (copy 2)`, ...
fn named(column: &str) -> String {
    format!(
        "CASE WHEN copy = 1 THEN {column} ELSE {column} || ' (copy ' || copy || ')' END AS {column}"
    )
}

fn coded(column: &str) -> String {
    format!("CASE WHEN copy = 1 THEN {column} ELSE {column} || '-' || copy END AS {column}")
}

/// Returns the figure scaled to the copy's size, which is 100% for the first.
fn sized(column: &str, decimals: u8) -> String {
    format!("ROUND({column} * ((50 + (copy * 37 + 13) % 101) / 100), {decimals}) AS {column}")
}
