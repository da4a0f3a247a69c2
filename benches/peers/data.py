"""The data sets, lakehouses with only a serving schema, so that every competitor copies the same; and the changes of a simulated pipeline."""

import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass

import duckdb

SCHEMA = "serving"
# In the test suite, the benchmark only has to run.
SCALE = "2" if os.environ.get("MATERIA_BENCH_SHORT") else "600"


@dataclass
class DataSet:
    name: str
    about: str
    path: str
    small: str  # the small table to change
    large: str  # the largest table
    days: str = ""  # a column of days in it

    def change(self, table, row):
        """Rebuilds the table with one changed value, as a pipeline run does."""
        with duckdb.connect(self.path) as connection:
            connection.execute(f'USE "{SCHEMA}"')
            column, kind = connection.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = ? AND table_name = ? AND data_type <> 'BOOLEAN' ORDER BY column_index DESC LIMIT 1",
                [SCHEMA, table],
            ).fetchone()
            fresh = f"""CASE WHEN rowid = {row} THEN NULL ELSE "{column}" END::{kind} AS "{column}\""""
            connection.execute(f'CREATE OR REPLACE TABLE "{table}" AS SELECT * REPLACE ({fresh}) FROM "{table}"')

    def append(self, rebuild):
        """Adds 1 % to the end of the largest table, which is rebuilt if requested."""
        with duckdb.connect(self.path) as connection:
            connection.execute(f'USE "{SCHEMA}"')
            more = f'FROM "{self.large}" LIMIT (SELECT count(*) // 100 FROM "{self.large}")'
            if rebuild:
                connection.execute(f'CREATE OR REPLACE TABLE "{self.large}" AS (FROM "{self.large}") UNION ALL ({more})')
            else:
                connection.execute(f'INSERT INTO "{self.large}" {more}')

    def order(self):
        """Orders the largest table by day."""
        with duckdb.connect(self.path) as connection:
            connection.execute(f'USE "{SCHEMA}"; CREATE OR REPLACE TABLE "{self.large}" AS FROM "{self.large}" ORDER BY "{self.days}"')

    def rewrite_last_days(self, number):
        """Deletes the last 3 days of the largest table and inserts them with another value, as incremental models do."""
        with duckdb.connect(self.path) as connection:
            connection.execute(f'USE "{SCHEMA}"')
            column = connection.execute("SELECT column_name FROM duckdb_columns() WHERE schema_name = ? AND table_name = ? AND data_type = 'VARCHAR' LIMIT 1", [SCHEMA, self.large]).fetchone()[0]
            connection.execute(
                f"""BEGIN; CREATE TEMP TABLE last AS FROM "{self.large}" WHERE "{self.days}" > (SELECT max("{self.days}") - 3 FROM "{self.large}");
                DELETE FROM "{self.large}" WHERE "{self.days}" >= (SELECT min("{self.days}") FROM last);
                INSERT INTO "{self.large}" SELECT * REPLACE ('{number}' AS "{column}") FROM last; COMMIT; CHECKPOINT"""
            )

    def touch(self):
        """Writes to a table that is not served, as a pipeline run without new data does."""
        with duckdb.connect(self.path) as connection:
            connection.execute("CREATE OR REPLACE TABLE main.pipeline_state AS SELECT now() AS finished")

    def sizes(self):
        with duckdb.connect(self.path, read_only=True) as connection:
            names = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = ? ORDER BY 1", [SCHEMA]).fetchall()]
            return {name: connection.execute(f'SELECT count(*) FROM "{SCHEMA}"."{name}"').fetchone()[0] for name in names}


def make(name, folder, materia):
    """Creates a data set in `folder`, unless it exists."""
    path = os.path.join(folder, "lakehouse.duckdb")
    if not os.path.exists(path):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        unfinished = os.path.join(folder, "unfinished.duckdb")
        MAKERS[name](unfinished, materia)
        os.rename(unfinished, path)
    about, small, large, *days = ABOUT[name]
    return DataSet(name, about, path, small, large, *days)


def tpch(scale):
    def into(path, _materia):
        parquet = f"{path}.parquet"
        generator = os.path.join(sysconfig.get_path("scripts"), "tpchgen-cli")
        subprocess.run([generator, "parquet", "--scale-factor", str(scale), "--output-dir", parquet, "--quiet"], check=True)
        with duckdb.connect(path) as connection:
            connection.execute(f'SET preserve_insertion_order = false; CREATE SCHEMA "{SCHEMA}"')
            for file in sorted(os.listdir(parquet)):
                table = file.removesuffix(".parquet")
                connection.execute(f"CREATE TABLE \"{SCHEMA}\".\"{table}\" AS FROM read_parquet('{parquet}/{file}')")
                os.remove(os.path.join(parquet, file))
        os.rmdir(parquet)

    return into


def demo(path, materia):
    """Creates tables from the demo's serving views, by publishing them once."""
    folder = f"{path}.demo"
    subprocess.run([materia, "demo", folder, "--scale", SCALE], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([materia, "export", "--quiet", "--lakehouse", f"{folder}/lakehouse.duckdb", "--to", f"{folder}/analytics.duckdb"], check=True, cwd="/")
    shutil.copyfile(f"{folder}/analytics.duckdb", path)
    shutil.rmtree(folder)


def many(path, _materia):
    with duckdb.connect(path) as connection:
        connection.execute(f'CREATE SCHEMA "{SCHEMA}"')
        for number in range(500):
            connection.execute(
                f"""CREATE TABLE "{SCHEMA}"."t{number:03}" AS
                SELECT i AS id, DATE '2020-01-01' + (i % 2000)::INTEGER AS day, 'product ' || hash(i + {number}) % 50 AS product, (hash(i * {number + 1}) % 100000)::DECIMAL(12, 2) AS amount
                FROM range({100 + number * 2}) AS t(i)"""
            )


MAKERS = {"demo": demo, "tpch-sf1": tpch(1), "tpch-sf10": tpch(10), "many": many}
ABOUT = {
    "demo": (f"the demo, `materia demo --scale {SCALE}`", "global_balance", "commodity_metrics"),
    "tpch-sf1": ("TPC-H at scale factor 1", "nation", "lineitem", "l_shipdate"),
    "tpch-sf10": ("TPC-H at scale factor 10", "nation", "lineitem", "l_shipdate"),
    "many": ("500 small tables", "t000", "t499"),
}
