"""Copies all tables with another tool: python rivals.py HOW SOURCE TARGET SCHEMA [MEMORY_LIMIT] [THREADS]

Prints the seconds from connecting to the closed and durable file. Starting Python and importing DuckDB are not counted, so that only copying is compared.
"""

import os
import subprocess
import sys
import time

import duckdb


def connect(memory_limit, threads):
    config = {"memory_limit": memory_limit, "threads": threads}
    return duckdb.connect(":memory:", config={key: value for key, value in config.items() if value})


def attach(connection, source, target):
    """Attaches both databases; the target gets the storage version of the source."""
    connection.execute(f"ATTACH '{source}' AS source (READ_ONLY)")
    (tag,) = connection.execute("SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'source'").fetchone()
    connection.execute(f"ATTACH '{target}' AS target (STORAGE_VERSION '{tag.rstrip('+')}')")


def close(connection, target):
    connection.execute("CHECKPOINT target; DETACH target; DETACH source")
    connection.close()
    assert not os.path.exists(f"{target}.wal"), "the copy is not closed"


def copy_database(source, target, _schema, memory_limit=None, threads=None):
    """Copies with DuckDB's own statement."""
    connection = connect(memory_limit, threads)
    attach(connection, source, target)
    connection.execute("COPY FROM DATABASE source TO target")
    close(connection, target)


def through_arrow(source, target, schema, memory_limit=None, threads=None):
    """Copies as scripts often do: each table is fetched as Arrow, registered, and inserted into a new table."""
    connection = connect(memory_limit, threads)
    attach(connection, source, target)
    connection.execute(f'CREATE SCHEMA target."{schema}"')
    names = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'source' AND schema_name = ? ORDER BY 1", [schema]).fetchall()
    for (name,) in names:
        table = connection.execute(f'SELECT * FROM source."{schema}"."{name}"').to_arrow_table()
        connection.register("fetched", table)
        connection.execute(f'CREATE TABLE target."{schema}"."{name}" AS FROM fetched')
        connection.unregister("fetched")
        del table
    close(connection, target)


def cp(source, target, _schema, _memory_limit=None, _threads=None):
    """Copies the file itself: all tables, without checks, and only safe while nothing writes to it."""
    subprocess.run(["cp", "--reflink=never", source, target], check=True)
    subprocess.run(["sync", target], check=True)


if __name__ == "__main__":
    how, arguments = sys.argv[1], [argument or None for argument in sys.argv[2:]]
    begun = time.perf_counter()
    {"copy_database": copy_database, "through_arrow": through_arrow, "cp": cp}[how](*arguments)
    print(time.perf_counter() - begun)
