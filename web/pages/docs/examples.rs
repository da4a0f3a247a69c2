//! Examples as they stand on the page. `tests/api/clients.py` runs those that it has a client for.

/// An example.
pub(super) struct Example {
    /// Names the client.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) code: String,
}

/// One for each client, on a table that is served.
pub(super) fn all(base: &str, table: &str) -> Vec<Example> {
    EXAMPLES
        .into_iter()
        .map(|(name, title, code)| Example { name, title, code: code.replace("BASE", base).replace("TABLE", table) })
        .collect()
}

const EXAMPLES: [(&str, &str, &str); 6] = [
    (
        "curl",
        "curl",
        r#"curl --fail --header "Authorization: Bearer $MATERIA_KEY" "BASE/api/v1/tables/TABLE/rows?limit=5"
curl --fail --header "Authorization: Bearer $MATERIA_KEY" --output TABLE.parquet "BASE/api/v1/tables/TABLE/download?format=parquet""#,
    ),
    (
        "pandas",
        "Python, pandas",
        r#"import os
import pandas as pd

key = {"Authorization": f"Bearer {os.environ['MATERIA_KEY']}"}
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
    headers={"Authorization": f"Bearer {os.environ['MATERIA_KEY']}"},
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
    headers={"Authorization": f"Bearer {os.environ['MATERIA_KEY']}"},
)
with urllib.request.urlopen(request) as answer, open("TABLE.parquet", "wb") as file:
    file.write(answer.read())
frame = duckdb.sql("FROM 'TABLE.parquet' LIMIT 5")
print(frame)"#,
    ),
    (
        "r",
        "R",
        r#"key <- c(Authorization = paste("Bearer", Sys.getenv("MATERIA_KEY")))
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
