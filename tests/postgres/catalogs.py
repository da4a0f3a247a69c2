"""Replays the catalog queries of clients that cannot be installed here, as their sources and bug reports document them.

    catalogs.py PORT KEY

Metabase: `metabase.driver.postgres` and `metabase.driver.sql-jdbc.sync` (also listed in risingwavelabs/risingwave#2613). Grafana: the PostgreSQL data
source's query builder and health check (`packages/grafana-sql`, `public/app/plugins/datasource/grafana-postgresql-datasource`).
"""

import sys

import psycopg

port, key = int(sys.argv[1]), sys.argv[2]
url = f"postgresql://anybody:{key}@127.0.0.1:{port}/analytics"

# Name, statement, parameters, what the rows must contain (a test of them).
QUERIES = [
    ("Metabase sets its session", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", None, None),
    ("Metabase's time zone", "SHOW timezone", None, lambda rows: rows == [("UTC",)]),
    ("Metabase's time zone is set", "SET SESSION TIMEZONE TO 'UTC'", None, None),
    ("Metabase's version", "SELECT version()", None, lambda rows: "PostgreSQL" in rows[0][0]),
    (
        "Metabase syncs schemas",
        "SELECT nspname AS \"TABLE_SCHEM\", NULL AS \"TABLE_CATALOG\" FROM pg_catalog.pg_namespace WHERE nspname <> 'pg_toast' "
        "AND (nspname !~ '^pg_temp_' OR nspname = (pg_catalog.current_schemas(true))[1]) "
        "AND (nspname !~ '^pg_toast_temp_' OR nspname = replace((pg_catalog.current_schemas(true))[1], 'pg_temp_', 'pg_toast_temp_')) ORDER BY \"TABLE_SCHEM\"",
        None,
        lambda rows: "serving" in [row[0] for row in rows],
    ),
    (
        "Metabase syncs tables",
        "SELECT n.nspname AS schema, c.relname AS name, CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' "
        "WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE NULL END AS type, d.description AS description, "
        "NULLIF(s.n_live_tup, 0) AS estimated_row_count "
        "FROM pg_catalog.pg_class AS c INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid "
        "LEFT JOIN pg_catalog.pg_description AS d ON c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass "
        "LEFT JOIN pg_stat_user_tables AS s ON n.nspname = s.schemaname AND c.relname = s.relname "
        "WHERE c.relnamespace = n.oid AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'f', 'm') "
        "ORDER BY type ASC, schema ASC, name ASC",
        None,
        lambda rows: ("serving", "psd", "TABLE") in [row[:3] for row in rows] and "Production, supply and distribution" in [row[3] for row in rows],
    ),
    (
        "Metabase syncs privileges",
        "WITH table_privileges AS (SELECT NULL AS role, t.schemaname AS schema, t.objectname AS table, "
        "pg_catalog.has_any_column_privilege(current_user, '\"' || replace(t.schemaname, '\"', '\"\"') || '\".\"' || replace(t.objectname, '\"', '\"\"') || '\"', 'select') AS select "
        "FROM (SELECT schemaname, tablename AS objectname FROM pg_catalog.pg_tables) t "
        "WHERE t.schemaname !~ '^pg_' AND t.schemaname <> 'information_schema' AND pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage')) "
        "SELECT t.* FROM table_privileges t WHERE t.select",
        None,
        lambda rows: "psd" in [row[2] for row in rows],
    ),
    (
        "Metabase syncs fields",
        "SELECT c.column_name AS name, c.udt_name AS \"database-type\", c.ordinal_position - 1 AS \"database-position\", c.table_schema AS \"table-schema\", "
        "c.table_name AS \"table-name\", pk.column_name IS NOT NULL AS \"pk?\", col_description(CAST(CAST(format('%%I.%%I', CAST(c.table_schema AS TEXT), CAST(c.table_name AS TEXT)) AS REGCLASS) AS OID), c.ordinal_position) AS \"field-comment\", "
        "((column_default IS NULL) OR (LOWER(column_default) = 'null')) AND (is_nullable = 'NO') AND NOT (is_identity = 'YES') AS \"database-required\" "
        "FROM information_schema.columns AS c LEFT JOIN (SELECT tc.table_schema, tc.table_name, kc.column_name FROM information_schema.table_constraints AS tc "
        "INNER JOIN information_schema.key_column_usage AS kc ON tc.constraint_name = kc.constraint_name AND tc.table_schema = kc.table_schema AND tc.table_name = kc.table_name "
        "WHERE tc.constraint_type = 'PRIMARY KEY') AS pk ON c.table_schema = pk.table_schema AND c.table_name = pk.table_name AND c.column_name = pk.column_name "
        "WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND c.table_schema IN ('serving') ORDER BY \"table-schema\", \"table-name\", \"database-position\"",
        None,
        lambda rows: ("year", "int4") in [row[:2] for row in rows] and "the year of harvest" in [row[6] for row in rows],
    ),
    (
        "Metabase syncs foreign keys",
        "SELECT fk_ns.nspname AS \"fk-table-schema\", fk_table.relname AS \"fk-table-name\", fk_column.attname AS \"fk-column-name\" FROM pg_constraint AS c "
        "INNER JOIN pg_class AS fk_table ON c.conrelid = fk_table.oid INNER JOIN pg_namespace AS fk_ns ON c.connamespace = fk_ns.oid "
        "INNER JOIN pg_attribute AS fk_column ON c.conrelid = fk_column.attrelid WHERE fk_ns.nspname !~ '^information_schema|catalog_history|pg_' AND c.contype = 'f'::\"char\"",
        None,
        lambda rows: rows == [],
    ),
    ("Metabase syncs enums", "SELECT nspname, typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid IN (SELECT DISTINCT enumtypid FROM pg_enum)", None, lambda rows: rows == []),
    ("Metabase fingerprints", 'SELECT "serving"."psd"."year" AS "year", SUBSTRING("serving"."psd"."country", 1, 1234) AS "substring1" FROM "serving"."psd" LIMIT 10000', None, lambda rows: len(rows) == 1000),
    (
        "Metabase groups by month",
        "SELECT DATE_TRUNC('month', \"serving\".\"types\".\"timestamp\") AS \"timestamp\", COUNT(*) AS \"count\" FROM \"serving\".\"types\" WHERE id = 1 GROUP BY DATE_TRUNC('month', \"serving\".\"types\".\"timestamp\") "
        "ORDER BY DATE_TRUNC('month', \"serving\".\"types\".\"timestamp\") ASC",
        None,
        lambda rows: [row[1] for row in rows] == [1],
    ),
    ("Grafana tests the data source", "SELECT 1", None, lambda rows: rows == [(1,)]),
    ("Grafana asks for the version", "SELECT current_setting('server_version_num')::int/100 AS version", None, lambda rows: float(rows[0][0]) >= 1500),
    ("Grafana asks for TimescaleDB", "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'", None, lambda rows: rows == []),
    (
        "Grafana lists tables",
        "SELECT CASE WHEN quote_ident(table_schema) IN (SELECT CASE WHEN trim(s[i]) = '\"$user\"' THEN user ELSE trim(s[i]) END "
        "FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1), array_upper(string_to_array(current_setting('search_path'),','),1)) AS i, "
        "string_to_array(current_setting('search_path'),',') s) THEN quote_ident(table_name) ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS \"table\" "
        "FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', '_timescaledb_cache', '_timescaledb_catalog', '_timescaledb_internal', '_timescaledb_config', 'timescaledb_information', 'timescaledb_experimental') ORDER BY 1",
        None,
        lambda rows: {"psd", "serving.psd"} & {row[0] for row in rows},
    ),
    (
        "Grafana lists columns",
        "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\" FROM information_schema.columns WHERE CASE WHEN array_length(parse_ident('serving.psd'),1) = 2 "
        "THEN quote_ident(table_schema) = (parse_ident('serving.psd'))[1] AND quote_ident(table_name) = (parse_ident('serving.psd'))[2] ELSE quote_ident(table_name) = 'serving.psd' END",
        None,
        lambda rows: ("year", "integer") in rows,
    ),
    (
        "Grafana draws a series",
        "SELECT floor(extract(epoch from \"timestamp\")/60)*60 AS \"time\", avg(id) AS \"value\" FROM types WHERE \"timestamp\" BETWEEN '2024-01-01T00:00:00Z' AND '2024-12-31T00:00:00Z' GROUP BY 1 ORDER BY 1",
        None,
        lambda rows: len(rows) == 1 and float(rows[0][1]) == 1,
    ),
]

broken = 0
with psycopg.connect(url, autocommit=True) as connection:
    for name, sql, parameters, holds in QUERIES:
        try:
            cursor = connection.execute(sql.replace("%%", "%") if parameters is None else sql, parameters)
            rows = cursor.fetchall() if cursor.description else None
        except psycopg.Error as error:
            rows, holds = repr(error), lambda _: False
        if holds is not None and not holds(rows):
            print(f"BROKEN {name}: {str(rows)[:600]}")
            broken += 1
        else:
            print(f"ok {name}")
sys.exit(1 if broken else 0)
