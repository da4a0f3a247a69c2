"""Compares the results of common API clients with the source: python clients.py path/to/materia

Requires duckdb, pandas, polars, pyarrow, openpyxl, and uses LibreOffice if installed; runs the examples of /docs/api verbatim. Prints a line for each guarantee.
"""

import decimal
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys

import duckdb
import openpyxl
import pandas
import polars
import pyarrow
import pyarrow.feather
import pyarrow.parquet
from openpyxl.utils.escape import unescape

import sizes
from site_of_checks import Checks, Site

# The types that are converted to text in Parquet and Arrow, according to the library's table of formats.
TEXTS = ["BIGNUM", "BIT", "INTERVAL", "UNION(", "TIME WITH TIME ZONE", "GEOMETRY", "TIME_NS", "UUID", "TIMESTAMPTZ_NS", "TUPLE(", "VARIANT"]


def make(path):
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA serving")
        connection.execute("CREATE TABLE serving.zoo AS SELECT * FROM test_all_types()")
        connection.execute(
            """CREATE TABLE serving.plain AS SELECT i AS id, i % 7 = 0 AS flag, i * 1.5 AS share, (i / 4)::DECIMAL(18, 3) AS exact,
               DATE '2000-01-01' + i::INTEGER AS day, TIMESTAMP '2000-01-01 10:00:00' + INTERVAL (i) SECOND AS moment,
               CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'a,"b"' WHEN 3 THEN E'two\r\nlines' ELSE 'naïve ☕' END AS word
               FROM range(5000) AS t(i)"""
        )
        sizes.make(connection)
        for table in ["zoo", "plain"]:
            for name, data_type in columns(connection, f"serving.{table}"):
                if "VARIANT" in data_type:
                    connection.execute(f'ALTER TABLE serving.{table} DROP COLUMN "{name}"')


def columns(connection, table):
    return [(name, data_type) for name, data_type, *_ in connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()]


def is_text(data_type):
    return any(word in data_type.replace("TIMESTAMP WITH TIME ZONE", "") for word in TEXTS) or "STRUCT" in data_type.replace("STRUCT(", "")


site = Site(sys.argv[1], make)
checks = Checks()
key = site.key()
source = duckdb.connect()
source.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
source.execute(f"ATTACH '{site.folder}/analytics.duckdb' AS served (READ_ONLY); USE served.serving")


def file(table, format):
    with site.get(f"/api/v1/tables/{table}/download?format={format}", key) as answer:
        body = answer.read()
        assert int(answer.headers["X-Materia-Rows"]) == source.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
    path = site.folder / f"{table}.{format}"
    path.write_bytes(body)
    return path


def same(table, relation, exact, skip=()):
    """Checks that every column of `relation` has the source's values and, if `exact`, its type."""
    described = dict(columns(source, relation))
    wrong = []
    for name, data_type in columns(source, table):
        assert name in described, f"{name} is missing"
        quoted = '"' + name.replace('"', '""') + '"'
        if (name, data_type) in skip or name in skip:
            continue
        wanted, expected = (f"CAST({quoted} AS VARCHAR)", "VARCHAR") if is_text(data_type) else (quoted, data_type)
        found = described[name]
        if exact and any(word in data_type for word in ["HUGEINT", "DATE", "TIME"]) and "VARCHAR" in found:
            # Infinite times and numbers of 39 digits are text, and so is the rest of their column.
            wanted, expected = f"CAST({quoted} AS {found})", found
        if exact and not (found == expected or exact(expected, found)):
            wrong.append(f"{name}: {found}, not {expected}")
            continue
        number = "row_number() OVER () AS n"
        left, right = f"SELECT {number}, CAST({wanted} AS VARCHAR) AS v FROM {table}", f"SELECT {number}, CAST({quoted} AS VARCHAR) AS v FROM {relation}"
        different = source.execute(f"SELECT l.v, r.v FROM ({left}) AS l FULL JOIN ({right}) AS r USING (n) WHERE l.v IS DISTINCT FROM r.v LIMIT 1").fetchall()
        if different:
            wrong.append(f"{name} ({data_type}): {different[0][1]!r}, not {different[0][0]!r}")
    assert not wrong, "; ".join(wrong)


def enum_is_text(expected, found):
    """Replaces types that files cannot represent: an ENUM's name, JSON, seconds (which become milliseconds), arrays of a fixed size."""
    plain = re.sub(r"ENUM\([^)]*\)", "VARCHAR", expected).replace("JSON", "VARCHAR").replace("TIMESTAMP_S", "TIMESTAMP_MS")
    found = re.sub(r"ENUM\([^)]*\)", "VARCHAR", found).replace("TIMESTAMP_S", "TIMESTAMP_MS")
    return found == plain or re.sub(r"\[\d+\]", "[]", plain) == re.sub(r"\[\d+\]", "[]", found) or (plain, found) == ("TIMESTAMP_MS", "TIMESTAMP")


for table in ["plain", "zoo"]:
    parquet, arrow, csv, jsonl, xlsx = (file(table, format) for format in ["parquet", "arrow", "csv", "jsonl", "xlsx"])
    types = dict(columns(source, table))

    def in_duckdb(name, frame):
        source.register(name, frame)
        return name

    checks.promise(f"DuckDB reads {table}.parquet", lambda: same(table, f"read_parquet('{parquet}')", enum_is_text))
    checks.promise(f"pyarrow reads {table}.parquet", lambda: same(table, in_duckdb("pq", pyarrow.parquet.read_table(parquet)), enum_is_text))
    checks.promise(f"pyarrow reads {table}.arrow", lambda: same(table, in_duckdb("ar", pyarrow.feather.read_table(arrow)), enum_is_text))

    def with_pandas():
        frame = pandas.read_parquet(parquet, dtype_backend="pyarrow")
        same(table, in_duckdb("pd", pyarrow.Table.from_pandas(frame, preserve_index=False)), enum_is_text)

    checks.promise(f"pandas reads {table}.parquet", with_pandas)

    # polars supports neither maps, nor 24:00, nor dates before the year 1, nor infinite times.
    odd = [name for name, data_type in types.items() if "MAP(" in data_type or any(word in data_type for word in ["TIMESTAMP", "DATE", "TIME"])] if table == "zoo" else []

    def with_polars(read, path):
        frame = read(path)
        assert frame.height == source.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
        assert frame.columns == list(types)
        same(table, in_duckdb("pl", frame.to_arrow()), None, odd)

    checks.promise(f"polars reads {table}.parquet", lambda: with_polars(polars.read_parquet, parquet))
    checks.promise(f"polars reads {table}.arrow", lambda: with_polars(lambda path: polars.read_ipc(path), arrow))

    def duckdb_csv():
        given = {name: "VARCHAR" if is_text(data_type) or "[" in data_type or "(" in data_type and "DECIMAL" not in data_type or data_type == "BLOB" else data_type for name, data_type in types.items()}
        source.execute(f"CREATE OR REPLACE TEMP TABLE from_csv AS SELECT * FROM read_csv(?, header = true, columns = ?, quote = '\"', escape = '\"', allow_quoted_nulls = false, new_line = '\\r\\n', strict_mode = false)", [str(csv), given])
        same(table, "from_csv", None)

    checks.promise(f"DuckDB reads {table}.csv with the source's types", duckdb_csv)

    def texts():
        quoted = ", ".join(f'CAST("{name}" AS VARCHAR)' for name in types)
        return [list(row) for row in source.execute(f"SELECT {quoted} FROM {table}").fetchall()]

    def rows_of(frame):
        return [[None if value is None or value == "" else value for value in row] for row in frame]

    def with_pandas_csv():
        frame = pandas.read_csv(csv, dtype=str, keep_default_na=False)
        assert list(frame.columns) == list(types)
        assert rows_of(frame.values.tolist()) == rows_of(texts())

    checks.promise(f"pandas reads {table}.csv", with_pandas_csv)

    def with_polars_csv():
        frame = polars.read_csv(csv, infer_schema_length=0)
        assert rows_of(frame.rows()) == rows_of(texts())

    checks.promise(f"polars reads {table}.csv", with_polars_csv)

    def with_json():
        lines = [json.loads(line) for line in jsonl.read_text().splitlines()]
        rows = texts()
        assert len(lines) == len(rows) and all(list(line) == list(types) for line in lines)
        for line, row in zip(lines, rows):
            for (name, data_type), text in zip(types.items(), row):
                value = line[name]
                assert (value is None) == (text is None), f"{name}: {value!r}, not {text!r}"
                if isinstance(value, bool):
                    assert str(value).lower() == text, name
                elif isinstance(value, (int, float)):
                    assert float(value) == float(text), name
                elif isinstance(value, str) and data_type in ("VARCHAR", "UUID", "BIT") or data_type.startswith(("DECIMAL", "ENUM")) and value is not None:
                    assert value == text, name
        assert len(pandas.read_json(jsonl, lines=True, dtype=False)) == len(rows)

    checks.promise(f"Python and pandas read {table}.jsonl", with_json)

    def with_excel():
        sheet = openpyxl.load_workbook(xlsx, read_only=True).worksheets[0]
        rows = list(sheet.iter_rows(values_only=True))
        assert list(rows[0]) == list(types)
        for row, expected in zip(rows[1:], texts(), strict=True):
            for name, value, text in zip(types, row, expected):
                value = unescape(value) if isinstance(value, str) else value
                if isinstance(value, bool):
                    assert str(value).lower() == text, f"{name}: {value!r}, not {text!r}"
                elif isinstance(value, (int, float)):
                    assert decimal.Decimal(str(value)) == decimal.Decimal(text) or float(value) == float(text), f"{name}: {value!r}, not {text!r}"
                elif hasattr(value, "year"):
                    assert str(value).startswith(text[:10]) and (len(text) == 10 or str(value)[:19] == text[:19]), f"{name}: {value!r}, not {text!r}"
                else:
                    # Excel files encode characters that XML does not allow as _x0000_, and normalize line breaks.
                    plain = (text or None) and text.replace("\r\n", "\n")
                    assert (value or None) in (text or None, plain) or value.replace("_x000D_", "\r").replace("\r\n", "\n") == plain, f"{name}: {value!r}, not {text!r}"

    checks.promise(f"openpyxl reads {table}.xlsx", with_excel)


read_back = sizes.Sizes(site, checks, source, key)
read_back.cases()
read_back.sizes()

page = site.get("/docs/api", key).read().decode()
examples = {name: html.unescape(code) for name, code in re.findall(r'<code[^>]* data-example="([^"]+)">(.*?)</code>', page, re.S)}
variable = re.search(r"environment variable <code>(\w+)</code>", page).group(1)
env = dict(os.environ, **{variable: key})
commands = {"curl": ["sh", "-e"], "pandas": [sys.executable], "polars": [sys.executable], "duckdb": [sys.executable]}
if shutil.which("node"):
    commands["javascript"] = ["node", "--input-type=module"]
if shutil.which("R"):
    commands["r"] = ["R", "--no-echo", "--no-save"]
for name, command in commands.items():

    def example():
        ran = subprocess.run(command, input=examples[name], text=True, env=env, cwd=site.folder, capture_output=True)
        assert ran.returncode == 0 and ran.stdout.strip(), ran.stderr[-400:]

    checks.promise(f"the example for {name} works as it stands", example)
print(f"not run: {', '.join(sorted(set(examples) - set(commands)))}")
site.stop()
checks.end()
