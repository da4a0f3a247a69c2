//! The examples of the documentation. `tests/api/clients.py` runs those for which it has a client.

/// An example for one client.
pub(super) struct Example {
    /// Identifies the client.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) code: String,
}

/// Returns the environment variable with the key in examples, named after the brand.
pub(super) fn key_variable(brand: &str) -> String {
    let letters: String =
        brand.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_uppercase();
    // A variable's name does not begin with a digit.
    let begins = letters.starts_with(|first: char| first.is_ascii_alphabetic());
    if begins { format!("{letters}_KEY") } else { "API_KEY".to_owned() }
}

/// Returns one example per client, for a served table.
pub(super) fn all(base: &str, table: &str, brand: &str) -> Vec<Example> {
    let variable = key_variable(brand);
    EXAMPLES
        .into_iter()
        .map(|(name, title, code)| Example {
            name,
            title,
            code: code
                .replace("BASE", base)
                .replace("TABLE", table)
                .replace("KEY_VARIABLE", &variable),
        })
        .collect()
}

const EXAMPLES: [(&str, &str, &str); 7] = [
    (
        "curl",
        "curl",
        r#"curl --fail --header "Authorization: Bearer $KEY_VARIABLE" "BASE/api/v1/tables/TABLE/rows?limit=5"
curl --fail --header "Authorization: Bearer $KEY_VARIABLE" --output TABLE.parquet "BASE/api/v1/tables/TABLE/download?format=parquet""#,
    ),
    (
        "pandas",
        "Python, pandas",
        r#"import os
import pandas as pd

key = {"Authorization": f"Bearer {os.environ['KEY_VARIABLE']}"}
frame = pd.read_csv("BASE/api/v1/tables/TABLE/download?format=csv", storage_options=key)
print(frame.head())"#,
    ),
    (
        "polars",
        "Python, polars",
        r#"import io
import os
import urllib.request
import polars as pl

request = urllib.request.Request(
    "BASE/api/v1/tables/TABLE/download?format=parquet",
    headers={"Authorization": f"Bearer {os.environ['KEY_VARIABLE']}"},
)
frame = pl.read_parquet(io.BytesIO(urllib.request.urlopen(request).read()))
print(frame.head())"#,
    ),
    (
        "duckdb",
        "Python, DuckDB",
        r#"import os
import urllib.request
import duckdb

request = urllib.request.Request(
    "BASE/api/v1/tables/TABLE/download?format=parquet",
    headers={"Authorization": f"Bearer {os.environ['KEY_VARIABLE']}"},
)
with urllib.request.urlopen(request) as answer, open("TABLE.parquet", "wb") as file:
    file.write(answer.read())
frame = duckdb.sql("FROM 'TABLE.parquet' LIMIT 5")
print(frame)"#,
    ),
    (
        "javascript",
        "JavaScript",
        r#"const answer = await fetch("BASE/api/v1/tables/TABLE/rows?limit=5", {
  headers: { Authorization: `Bearer ${process.env.KEY_VARIABLE}` },
});
if (!answer.ok) throw new Error((await answer.json()).detail);
console.table(await answer.json());"#,
    ),
    (
        "r",
        "R",
        r#"key <- c(Authorization = paste("Bearer", Sys.getenv("KEY_VARIABLE")))
frame <- read.csv(url("BASE/api/v1/tables/TABLE/download?format=csv", headers = key))
head(frame)"#,
    ),
    (
        "power-query",
        "Excel, Power Query",
        r#"let
    Key = "materia_...",
    File = Web.Contents("BASE", [
        RelativePath = "api/v1/tables/TABLE/download",
        Query = [format = "csv"],
        Headers = [Authorization = "Bearer " & Key]
    ]),
    Rows = Csv.Document(File, [Delimiter = ",", Encoding = 65001, QuoteStyle = QuoteStyle.Csv]),
    Table = Table.PromoteHeaders(Rows)
in
    Table"#,
    ),
];
