"""DuckDB's extension `postgres` reads from `materia postgres`: attach.py PORT KEY EXTENSIONS

EXTENSIONS is a folder with one for each version of DuckDB.
"""

import os
import sys

import duckdb

port, key, folder = sys.argv[1:4]
extension = os.path.join(folder, f"v{duckdb.__version__}", "postgres_scanner.duckdb_extension")
if not os.path.exists(extension):
    print(f"skipped: {extension} does not exist")
    sys.exit(0)


def check(promise, found, wanted):
    if found != wanted:
        print(f"BROKEN {promise}: {found!r}, not {wanted!r}")
        sys.exit(1)
    print(f"ok {promise}")


connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
connection.execute(f"LOAD '{extension}'")
connection.execute(f"ATTACH 'host=127.0.0.1 port={port} user=anybody password={key} dbname=analytics' AS site (TYPE postgres, READ_ONLY)")


def rows(sql):
    return connection.execute(sql).fetchall()


tables = rows("SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'site' ORDER BY ALL")
check("DuckDB finds the tables", tables, [("serving", "psd"), ("serving", "secret"), ("serving", "types")])
check("DuckDB reads comments", rows("SELECT comment FROM duckdb_columns() WHERE database_name = 'site' AND table_name = 'psd' AND column_name = 'year'"), [("the year of harvest",)])
check("DuckDB reads a table", [str(value) for value in rows("SELECT count(*), sum(value), min(year) FROM site.serving.psd")[0]], ["1000", "749250.0", "2000"])
check("DuckDB sends conditions", rows("SELECT count(*) FROM site.serving.psd WHERE year >= 2010 AND country = 'country 1'"), [(71,)])
columns = [
    ("huge", "1.7014118346046923e+38"), ("decimal", "12345.67"), ("date", "2024-02-29"), ("time", "10:00:00.5"), ("timestamp", "2024-02-29 10:00:00.123456"),
    ("blob", "\\xDE\\xAD"), ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), ("ints", "[1, NULL, 3]"), ("texts", "[a, 'b,c', NULL]"), ("struct", '{"a":1,"b":"x"}'),
    ("interval", "1 year 2 months 3 days 04:05:06"), ("text", "ä'b\\c"), ("mood", "happy"),
]
for column, wanted in columns:
    check(f"DuckDB reads {column}", rows(f"SELECT {column}::VARCHAR FROM site.serving.types WHERE id = 1"), [(wanted,)])
check("DuckDB sends a query", rows("SELECT * FROM postgres_query('site', 'SELECT count(*) FROM psd')"), [(1000,)])
