//! Creates a first dashboard file for a table, as a starting point for its author.

use std::fmt::Write as _;

use super::{
    default_dashboard::is_figure,
    kinds::{is_time, time_column},
    model::default_title,
};
use crate::{reader::TableInfo, sql, tables::TypeClass};

/// Maximum number of columns of the table panel.
const MAX_COLUMNS: usize = 8;

/// Returns the text of a dashboard for a table: a filter, a figure, a chart over time, a ranking
/// and the rows, as far as the columns allow, with comments that explain what to change.
#[must_use]
pub fn scaffold(table: &TableInfo) -> String {
    let from = sql::ident(&table.name);
    let date = time_column(table);
    let number = table.columns.iter().find(|column| is_figure(column));
    let name =
        table.columns.iter().find(|column| TypeClass::of(&column.data_type) == TypeClass::Text);
    let mut out = format!(
        "# {}: a first dashboard. `materia dashboards check` lists what is wrong with it,\n# docs/dashboards.md describes every key.\n\ntitle = {}\n# description = \"One sentence below the title\"\n# plan = \"starter\"          # free if left out\ndraft = true               # only operators see it; leave it out to publish\n",
        table.name,
        toml_text(&default_title(&table.name))
    );
    let selected = name.map(|column| {
        let column = sql::ident(&column.name);
        let _ = write!(
            out,
            "\n[[filter]]\nname = \"selected\"\nlabel = {}\nkind = \"many\"\nsql = '''\nSELECT {column} FROM {from} GROUP BY ALL ORDER BY count(*) DESC\n'''\n",
            toml_text(&default_title(column.trim_matches('"')))
        );
        format!(" WHERE selected($selected, {column})")
    });
    let condition = selected.unwrap_or_default();
    let _ = write!(
        out,
        "\n[[panel]]\ntitle = \"Rows\"\nkind = \"stat\"\nsql = '''\nSELECT count(*) AS number FROM {from}{condition}\n'''\ny = \"number\"\nunit = \"count\"\n"
    );
    if let (Some(date), Some(number)) = (date, number) {
        let (x, y) = (sql::ident(&date.name), sql::ident(&number.name));
        let by = if is_time(date) { format!("date_trunc('month', {x})") } else { x };
        let _ = write!(
            out,
            "\n[[panel]]\ntitle = {}\nkind = \"line\"             # or area, bar\nwidth = 8                  # of 12 columns\n# The sum of each month: write avg() where values do not add up.\nsql = '''\nSELECT {by} AS period, sum({y}) AS value\nFROM {from}{condition}\nGROUP BY ALL ORDER BY period\n'''\nx = \"period\"\ny = \"value\"\n# unit = \"thousand_bags\"    # from units.toml\n",
            toml_text(&default_title(&number.name))
        );
    }
    if let (Some(name), Some(number)) = (name, number) {
        let (x, y) = (sql::ident(&name.name), sql::ident(&number.name));
        let title = format!(
            "{} by {}",
            default_title(&number.name),
            default_title(&name.name).to_lowercase()
        );
        let _ = write!(
            out,
            "\n[[panel]]\ntitle = {}\nkind = \"bar\"\nhorizontal = true\nwidth = 6\ntop = 10                   # the ten largest\nsql = '''\nSELECT {x} AS name, sum({y}) AS value\nFROM {from}{condition}\nGROUP BY ALL ORDER BY value DESC\n'''\nx = \"name\"\ny = \"value\"\n",
            toml_text(&title)
        );
    }
    let columns: Vec<String> =
        table.columns.iter().take(MAX_COLUMNS).map(|column| sql::ident(&column.name)).collect();
    let order = date.map(|date| format!(" ORDER BY {} DESC", sql::ident(&date.name)));
    let _ = write!(
        out,
        "\n[[panel]]\ntitle = \"Newest rows\"\nkind = \"table\"\nrows = 20\nsql = '''\nSELECT {}\nFROM {from}{condition}{}\n'''\n",
        columns.join(", "),
        order.unwrap_or_default()
    );
    out
}

/// Formats a text as a TOML string.
fn toml_text(text: &str) -> String {
    // JSON strings are valid TOML strings.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        dashboard::{parse, units::Units},
        reader::ColumnInfo,
    };

    #[test]
    fn the_file_for_any_table_is_one_without_mistakes() {
        let column = |name: &str, data_type: &str| ColumnInfo {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            nullable: true,
            comment: None,
        };
        let columns = [
            column("ordered_on", "DATE"),
            column("amount", "DOUBLE"),
            column("odd \"name\"", "VARCHAR"),
        ];
        for number in 0..=columns.len() {
            let table = TableInfo {
                name: "odd 'orders'".to_owned(),
                columns: columns[..number].to_vec(),
                rows: 3,
                comment: None,
            };
            let text = scaffold(&table);
            let (dashboard, problems) =
                parse::dashboard(Path::new("orders.toml"), &text, &Units::default());
            assert!(problems.is_empty(), "{problems:?}\n{text}");
            let dashboard = dashboard.unwrap();
            assert!(dashboard.draft && dashboard.panels.len() >= 2);
        }
    }
}
