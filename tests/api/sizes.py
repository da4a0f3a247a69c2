"""Every type in every format, at sizes around the batches in which files are written, read by common clients of these formats.

MATERIA_TEST_ALL_SIZES=1 tests every column at every size; without it, 65,536 and 200,000 rows are tested with the types for which the size has caused errors.
"""

import csv
import math
import os
import shutil
import subprocess

import openpyxl
import pandas
import polars
import pyarrow
import pyarrow.csv
import pyarrow.feather
import pyarrow.json
import pyarrow.parquet

ALL = os.environ.get("MATERIA_TEST_ALL_SIZES") == "1"
SIZES = [1, 65_536, 65_537, 200_000]

# A value of each type for row i; one row in 13 has nulls.
TYPES = {
    "tiny": "(i % 100)::TINYINT",
    "small": "(i % 30000)::SMALLINT",
    "big": "(i * 1000003)::BIGINT",
    "utiny": "(i % 200)::UTINYINT",
    "usmall": "(i % 60000)::USMALLINT",
    "uint": "i::UINTEGER",
    "ubig": "(i * 1000003)::UBIGINT",
    "huge": "(i * 1000003)::HUGEINT",
    "uhuge": "i::UHUGEINT",
    "flag": "i % 2 = 0",
    "real": "(i % 1000 * 0.25)::FLOAT",
    "share": "(i * 0.5)::DOUBLE",
    "cents": "(i * 0.25)::DECIMAL(18, 2)",
    "wide": "(i * 0.125)::DECIMAL(38, 10)",
    "day": "DATE '1990-01-01' + (i % 20000)::INTEGER",
    "clock": "TIME '00:00:01' + INTERVAL (i % 80000) SECOND",
    "moment": "TIMESTAMP '1990-01-01 10:00:01' + INTERVAL (i) SECOND",
    "moment_s": "(TIMESTAMP '1990-01-01 10:00:01' + INTERVAL (i) SECOND)::TIMESTAMP_S",
    "moment_ms": "(TIMESTAMP '1990-01-01 10:00:01' + INTERVAL (i) SECOND)::TIMESTAMP_MS",
    "moment_ns": "(TIMESTAMP '1990-01-01 10:00:01' + INTERVAL (i) SECOND)::TIMESTAMP_NS",
    "zoned": "TIMESTAMPTZ '1990-01-01 10:00:01+00' + INTERVAL (i) SECOND",
    "word": "(['naïve ☕', 'a,\"b\"', E'two\\r\\nlines', '=1+1', 'plain'])[1 + i % 5]",
    "grade": "(['low', 'mid', 'high'])[1 + i % 3]::grade",
    "id128": "('00000000-0000-4000-8000-' || lpad(i::VARCHAR, 12, '0'))::UUID",
    "raw": "encode('x' || i)",
    "bits": "(i % 256)::INTEGER::BIT",
    "span": "INTERVAL (i % 50) DAY",
    "list": "[i, NULL, i + 1]::INTEGER[]",
    "grades": "[(['low', 'mid', 'high'])[1 + i % 3]::grade]",
    "sums": "[i::HUGEINT]",
    "pair": "{'a': i::INTEGER, 'b': 'x' || i}",
    "fixed": "[i, i + 1]::INTEGER[2]",
    "map": "MAP {'k': i::INTEGER}",
    "document": "('{\"a\": ' || i || '}')::JSON",
}
TEXT_IN_COLUMNAR = ["id128", "bits", "span"]
FEW = ["huge", "share", "day", "moment_s", "word", "grade", "grades", "pair"]
NESTED = ["list", "grades", "sums", "pair", "fixed", "map", "document"]
NUMBERS = ["tiny", "small", "big", "utiny", "usmall", "uint", "ubig", "huge", "uhuge", "real", "share", "cents", "wide"]
TIMES = ["day", "clock", "moment", "moment_s", "moment_ms", "moment_ns", "zoned"]


def make(connection):
    connection.execute("CREATE TYPE grade AS ENUM ('low', 'mid', 'high')")
    columns = ", ".join(f"CASE WHEN (i + {at}) % 13 = 12 THEN NULL ELSE {value} END AS {name}" for at, (name, value) in enumerate(TYPES.items()))
    for size in SIZES:
        connection.execute(f"CREATE TABLE serving.rows_{size} AS SELECT i::INTEGER AS id, {columns} FROM range({size}) AS t(i)")
    connection.execute("CREATE TABLE serving.totals AS SELECT country, sum(bags) AS bags FROM (VALUES ('BR', 60), ('BR', 12), ('VN', 30)) AS t(country, bags) GROUP BY 1 ORDER BY 1")
    connection.execute("CREATE TABLE serving.ids AS SELECT i AS id, CASE WHEN i = 500 THEN 9007199254740993 ELSE i * 10 END AS big, CASE WHEN i = 500 THEN 'nan'::DOUBLE ELSE i * 0.5 END AS share, CASE WHEN i = 500 THEN 18446744073709551615 ELSE i END::UBIGINT AS unsigned, CASE WHEN i = 500 THEN 170141183460469231731687303715884105727 ELSE i END::HUGEINT AS huge FROM range(1000) AS t(i)")
    connection.execute("CREATE TABLE serving.ends AS SELECT * FROM (VALUES (1, DATE '2024-01-01', TIMESTAMP '2024-01-01', TIMESTAMP_S '2024-01-01', TIMESTAMPTZ '2024-01-01 00:00:00+00', TIME '10:00:00'), (2, DATE 'infinity', TIMESTAMP 'infinity', TIMESTAMP_S '-infinity', TIMESTAMPTZ 'infinity', TIME '24:00:00')) AS t(id, day, moment, second, zoned, clock)")
    connection.execute("CREATE TABLE serving.ledger AS SELECT i AS id, ([12.5, 123456.5, 1234567.25, 0.0000001, 99999.99])[i]::DECIMAL(38, 10) AS amount, ([12.5, 123456.5, 1234567.25, 12345678.12345678, 99999.99])[i]::DECIMAL(18, 8) AS exact, (i * 1000000000000)::BIGINT AS big, i::HUGEINT AS total, 'Müller' AS name FROM range(1, 6) AS t(i)")


def select(columns):
    return f"&select={','.join(['id', *columns])}"


class Sizes:
    def __init__(self, site, checks, source, key):
        self.site, self.checks, self.source, self.key = site, checks, source, key
        self.known = {}

    def file(self, table, format, more=""):
        with self.site.get(f"/api/v1/tables/{table}/download?format={format}{more}", self.key) as answer:
            body, texts = answer.read(), answer.headers["X-Materia-Text-Columns"]
        path = self.site.folder / f"{table}.{format}"
        path.write_bytes(body)
        return path, (texts or "").split(",")

    def sums(self, relation, columns, form=lambda name: f'CAST("{name}" AS VARCHAR)'):
        """Returns for each column the number of values and a checksum that depends on their rows."""
        values = ", ".join(f"(count({form(name)}), sum(hash(id::BIGINT, {form(name)})::HUGEINT))" for name in columns)
        return dict(zip(columns, self.source.execute(f"SELECT {values} FROM {relation}").fetchall()[0]))

    def same(self, table, relation, columns, form=lambda name: f'CAST("{name}" AS VARCHAR)', found=None):
        key = (table, tuple(columns), form)
        if key not in self.known:
            self.known[key] = self.sums(table, columns, form)
        there = self.sums(relation, columns, found or form)
        wrong = [f"{name}: {there[name]}, not {self.known[key][name]}" for name in columns if there[name] != self.known[key][name]]
        assert not wrong, "; ".join(wrong)

    def frame(self, frame):
        self.source.register("frame", frame)
        return "frame"

    def columnar(self, table, types):
        parquet, texts = self.file(table, "parquet", select(types))
        assert texts == ([name for name in TEXT_IN_COLUMNAR if name in types] or [""]), texts
        arrow, _ = self.file(table, "arrow", select(types))
        promise, same = self.checks.promise, lambda frame: self.same(table, self.frame(frame), types)
        promise(f"DuckDB reads {table}.parquet", lambda: self.same(table, f"read_parquet('{parquet}')", types))
        promise(f"pyarrow reads {table}.parquet", lambda: same(pyarrow.parquet.read_table(parquet)))
        promise(f"pandas reads {table}.parquet", lambda: self.opened(pandas.read_parquet(parquet), table))
        promise(f"pyarrow reads {table}.arrow", lambda: same(pyarrow.feather.read_table(arrow)))
        promise(f"pandas reads {table}.arrow", lambda: self.opened(pandas.read_feather(arrow), table))
        # polars does not support maps.
        flat = [name for name in types if name != "map"]
        for read, file in [(polars.read_parquet, parquet), (polars.read_ipc, arrow)]:
            promise(f"polars reads {file.name}", lambda: self.same(table, self.frame(read(file).select("id", *flat).to_arrow()), flat))

    def opened(self, frame, table):
        assert len(frame) == self.source.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
        for name in frame.columns.intersection(["huge", "uhuge", "big"]):
            total = self.source.execute(f"SELECT sum({name}) FROM {table}").fetchall()[0][0]
            assert total is None or int(frame[name].dropna().sum()) == total, name

    def csv(self, table, types):
        path, _ = self.file(table, "csv", select(types))
        promise = self.checks.promise
        # Null is an empty field.
        form = lambda name: f"nullif(CAST(\"{name}\" AS VARCHAR), '')"
        options = "header = true, all_varchar = true, allow_quoted_nulls = false, quote = '\"', escape = '\"', new_line = '\\r\\n'"
        promise(f"DuckDB reads {table}.csv", lambda: self.same(table, f"read_csv('{path}', {options})", types, form))
        promise(f"polars reads {table}.csv", lambda: self.same(table, self.frame(polars.read_csv(path, infer_schema_length=0).to_arrow()), types, form))
        text = lambda: pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True), convert_options=pyarrow.csv.ConvertOptions(column_types={name: pyarrow.string() for name in ["id", *types]}, strings_can_be_null=False))
        promise(f"pyarrow reads {table}.csv", lambda: self.same(table, self.frame(text()), types, form))
        promise(f"pandas reads {table}.csv", lambda: self.same(table, self.frame(pandas.read_csv(path, dtype=str, keep_default_na=False)), types, form))

    def jsonl(self, table, types):
        path, _ = self.file(table, "jsonl", select(types))
        promise = self.checks.promise
        flat = [name for name in types if name not in NESTED and name != "raw"]

        def form(name):
            text = f'CAST("{name}" AS VARCHAR)'
            if name in TIMES:
                return f"replace(replace({text}, 'T', ' '), '+00:00', '+00')"
            return f'CAST(CAST("{name}" AS DOUBLE) AS VARCHAR)' if name in NUMBERS else text

        options = "format = 'newline_delimited', maximum_depth = 1, columns = {" + ", ".join(f"{name}: 'VARCHAR'" for name in ["id", *types]) + "}"
        promise(f"DuckDB reads {table}.jsonl", lambda: self.same(table, f"read_json('{path}', {options})", flat, form))
        promise(f"polars reads {table}.jsonl", lambda: self.same(table, self.frame(polars.read_ndjson(path, infer_schema_length=None).select("id", *flat).to_arrow()), flat, form))
        # It would read dates as timestamps.
        texts = pyarrow.json.ParseOptions(explicit_schema=pyarrow.schema([(name, pyarrow.string()) for name in TIMES if name in types]))
        promise(f"pyarrow reads {table}.jsonl", lambda: self.same(table, self.frame(pyarrow.json.read_json(path, parse_options=texts).select(["id", *flat])), flat, form))
        # It needs a minute where others need a second.
        if ALL or table == "rows_1":
            promise(f"pandas reads {table}.jsonl", lambda: self.same(table, self.frame(pandas.read_json(path, lines=True, dtype=False, convert_dates=False)[["id", "big", "share", "word"]]), ["big", "share", "word"], form))

    def xlsx(self, table, columns):
        path, texts = self.file(table, "xlsx", select(columns))

        def sums(rows):
            names = next(rows)
            totals = dict.fromkeys(names, 0)
            for row in rows:
                for name, value in zip(names, row):
                    if name in numbers and value not in (None, ""):
                        totals[name] += float(value)
            for name in numbers:
                wanted = float(self.source.execute(f'SELECT sum("{name}") FROM {table}').fetchall()[0][0] or 0)
                assert math.isclose(totals[name], wanted, rel_tol=1e-12), f"{name}: {totals[name]}, not {wanted}"

        numbers = [name for name in columns if name in NUMBERS and name not in texts]
        assert set(numbers) == set(columns) & set(NUMBERS), texts

        def with_openpyxl():
            book = openpyxl.load_workbook(path, read_only=True)
            sums(iter(book.worksheets[0].iter_rows(values_only=True)))

        self.checks.promise(f"openpyxl sums {path.name}", with_openpyxl)
        self.calc(path, sums)

    def calc(self, path, check):
        office = shutil.which("soffice") or shutil.which("libreoffice")
        if office is None:
            print(f"skipped: LibreOffice is not there to read {path.name} (Debian: libreoffice-calc-nogui)")
            return

        def converted():
            # Comma, quote, UTF-8, starting at the first line, values rather than formatted text.
            way = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,false"
            profile = f"-env:UserInstallation=file://{self.site.folder}/office"
            command = [office, profile, "--headless", "--convert-to", way, "--outdir", str(self.site.folder / "office-csv"), str(path)]
            ran = subprocess.run(command, capture_output=True, text=True, timeout=240)
            assert ran.returncode == 0, ran.stderr[-400:]
            with open(self.site.folder / "office-csv" / f"{path.stem}.csv", newline="", encoding="utf-8") as file:
                check(csv.reader(file))

        self.checks.promise(f"LibreOffice sums {path.name}", converted)

    def sizes(self):
        for size in SIZES:
            table, types = f"rows_{size}", list(TYPES) if ALL or size in (1, 65_537) else FEW
            self.columnar(table, types)
            self.csv(table, types)
            self.jsonl(table, types)
            if ALL or size in (1, 65_537):
                self.xlsx(table, [*NUMBERS, "day", "moment", "word", "grade"] if ALL or size == 1 else ["huge", "wide", "share", "day"])

    def cases(self):
        promise = self.checks.promise

        def total():
            frame = pandas.read_parquet(self.file("totals", "parquet")[0])
            assert int(frame["bags"].sum()) == 102, frame["bags"].sum()
            assert int(pandas.read_feather(self.file("totals", "arrow")[0])["bags"].sum()) == 102

        promise("pandas sums what sum() made", total)

        def ids():
            path, texts = self.file("ids", "jsonl")
            assert texts == ["share", "unsigned", "huge"], texts
            for frame in [polars.read_ndjson(path).to_pandas(), pyarrow.json.read_json(path).to_pandas(), pandas.read_json(path, lines=True, dtype=False)]:
                assert int(frame["big"][500]) == 9007199254740993 and frame["share"][500] == "nan" and frame["share"][1] == "0.5"
                assert frame["unsigned"][500] == "18446744073709551615" and frame["huge"][500] == "170141183460469231731687303715884105727"

        promise("one value does not change the type of its JSON column", ids)

        def ends():
            for path, read in [(self.file("ends", "parquet")[0], pandas.read_parquet), (self.file("ends", "arrow")[0], pandas.read_feather)]:
                frame = read(path)
                assert list(frame.iloc[1])[1:] == ["infinity", "infinity", "-infinity", "infinity", "24:00:00"], list(frame.iloc[1])
            assert pandas.read_csv(self.file("ends", "csv")[0])["day"].tolist() == ["2024-01-01", "infinity"]

        promise("pandas opens files with the ends of time in them, and finds them there", ends)

        def ledger(rows):
            lines = list(rows)
            columns = dict(zip(lines[0], zip(*lines[1:])))
            assert math.isclose(sum(map(float, columns["amount"])), 1458036.2400001), columns["amount"]
            assert sum(map(float, columns["big"])) == 15e12 and sum(map(float, columns["total"])) == 15
            assert columns["exact"] == ("12.50000000", "123456.50000000", "1234567.25000000", "12345678.12345678", "99999.99000000"), columns["exact"]
            assert columns["name"][0] == "Müller"

        path, texts = self.file("ledger", "xlsx")
        promise("the text columns of a workbook are named", lambda: self.equal(texts, ["exact"]))
        sheet = openpyxl.load_workbook(path, read_only=True).worksheets[0]
        promise("openpyxl sums a ledger", lambda: ledger(sheet.iter_rows(values_only=True)))
        self.calc(path, ledger)

        def spreadsheet():
            path, _ = self.file("ledger", "csv", "&safe=true")
            assert path.read_bytes().startswith(b"\xef\xbb\xbfid,"), path.read_bytes()[:20]
            path, _ = self.file("ledger", "csv")
            assert path.read_bytes().startswith(b"id,"), path.read_bytes()[:20]

        promise("CSV for spreadsheets begins with a byte order mark, and CSV for programs does not", spreadsheet)

    def equal(self, found, expected):
        assert found == expected, f"{found}, not {expected}"
