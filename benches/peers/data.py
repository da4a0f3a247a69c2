"""The data sets: lakehouses that hold nothing but a serving schema, so that every competitor copies the same; and what a pipeline changes in them."""

import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass

import duckdb

SCHEMA = "serving"


@dataclass
class DataSet:
    name: str
    about: str
    path: str
    small: str  # the table that is changed as a small one
    large: str  # and the largest one

    def change(self, table, turn):
        """What a pipeline run does: makes the table anew, one figure of it being another one than before."""
        with duckdb.connect(self.path) as connection:
            connection.execute(f'USE "{SCHEMA}"')
            column, kind = connection.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = ? AND table_name = ? AND data_type <> 'BOOLEAN' ORDER BY column_index DESC LIMIT 1",
                [SCHEMA, table],
            ).fetchone()
            fresh = f"""CASE WHEN rowid = {turn} THEN NULL ELSE "{column}" END::{kind} AS "{column}\""""
            connection.execute(f'CREATE OR REPLACE TABLE "{table}" AS SELECT * REPLACE ({fresh}) FROM "{table}"')

    def touch(self):
        """What a pipeline run does that finds nothing new: writes something of its own, and nothing that is served."""
        with duckdb.connect(self.path) as connection:
            connection.execute("CREATE OR REPLACE TABLE main.pipeline_state AS SELECT now() AS finished")

    def sizes(self):
        with duckdb.connect(self.path, read_only=True) as connection:
            names = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = ? ORDER BY 1", [SCHEMA]).fetchall()]
            return {name: connection.execute(f'SELECT count(*) FROM "{SCHEMA}"."{name}"').fetchone()[0] for name in names}


def make(name, folder, materia):
    """Makes a data set in `folder`, once."""
    path = os.path.join(folder, "lakehouse.duckdb")
    if not os.path.exists(path):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        unfinished = os.path.join(folder, "unfinished.duckdb")
        MAKERS[name](unfinished, materia)
        os.rename(unfinished, path)
    about, small, large = ABOUT[name]
    return DataSet(name, about, path, small, large)


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
    """The demo's serving views, published once, so that they are tables here."""
    folder = f"{path}.demo"
    subprocess.run([materia, "demo", folder, "--scale", "600"], check=True, stdout=subprocess.DEVNULL)
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
    "demo": ("the demo, `materia demo --scale 600`", "global_balance", "commodity_metrics"),
    "tpch-sf1": ("TPC-H at scale factor 1", "nation", "lineitem"),
    "tpch-sf10": ("TPC-H at scale factor 10", "nation", "lineitem"),
    "many": ("500 small tables", "t000", "t499"),
}
