"""psycopg, asyncpg, SQLAlchemy and pandas read from `materia postgres` what the site's API has.

    clients.py PORT KEY
"""

import asyncio
import datetime as dt
import decimal
import sys
import uuid

import asyncpg
import pandas
import psycopg
import sqlalchemy

port, key = int(sys.argv[1]), sys.argv[2]
url = f"postgresql://anybody:{key}@127.0.0.1:{port}/analytics"


def check(promise, found, wanted):
    if found != wanted:
        print(f"BROKEN {promise}: {found!r}, not {wanted!r}")
        sys.exit(1)
    print(f"ok {promise}")


UTC = dt.timezone.utc
FIRST = {
    "boolean": True,
    "tiny": 1,
    "small": 2,
    "big": 3,
    "huge": decimal.Decimal(2**127 - 1),
    "ubig": decimal.Decimal(2**64 - 1),
    "float": 1.5,
    "double": -0.1,
    "decimal": decimal.Decimal("12345.67"),
    "date": dt.date(2024, 2, 29),
    "time": dt.time(10, 0, 0, 500000),
    "timestamp": dt.datetime(2024, 2, 29, 10, 0, 0, 123456),
    "timestamptz": dt.datetime(2024, 2, 29, 8, 0, 0, tzinfo=UTC),
    "text": "ä'b\\c",
    "blob": b"\xde\xad",
    "uuid": uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "ints": [1, None, 3],
    "texts": ["a", "b,c", None],
    "mood": "happy",
}


def psycopg_reads():
    with psycopg.connect(url, autocommit=True) as connection:
        for binary in (False, True):
            with connection.cursor(binary=binary, row_factory=psycopg.rows.dict_row) as cursor:
                row = cursor.execute("SELECT * FROM types WHERE id = 1").fetchone()
                name = "binary" if binary else "text"
                check(f"psycopg reads every type as {name}", {column: row[column] for column in FIRST}, FIRST)
                check(f"psycopg reads documents as {name}", (row["struct"], row["map"], row["json"]), ({"a": 1, "b": "x"}, {"k": 1}, {"j": [1]}))
                row = cursor.execute("SELECT * FROM types WHERE id = 3").fetchone()
                check(f"psycopg reads NULL as {name}", {value for column, value in row.items() if column != "id"}, {None})
                row = cursor.execute("SELECT float, date::text, timestamp::text, ints FROM types WHERE id = 2").fetchone()
                check(f"psycopg reads infinities as {name}", list(row.values()), [float("inf"), "infinity", "-infinity", []])
        bound = {
            "boolean": True, "small": 2, "big": 3, "huge": FIRST["huge"], "double": -0.1, "decimal": FIRST["decimal"], "date": FIRST["date"],
            "timestamp": FIRST["timestamp"], "timestamptz": FIRST["timestamptz"], "text": FIRST["text"], "blob": FIRST["blob"], "uuid": FIRST["uuid"],
            "time": FIRST["time"],
        }
        for format in ("%s", "%t", "%b"):
            for column, value in bound.items():
                found = connection.execute(f"SELECT id FROM types WHERE {column} = {format}", [value]).fetchall()
                check(f"psycopg binds {column} by {format}", found, [(1,)])
        found = connection.execute("SELECT count(*) FROM psd WHERE year = ANY(%s)", [[2001, 2002]]).fetchone()
        check("psycopg binds a list", found, (100,))
        prepared = [connection.execute("SELECT %s::int + 1", [i], prepare=True).fetchone()[0] for i in range(20)]
        check("psycopg prepares", prepared, list(range(1, 21)))
        with connection.cursor() as cursor, cursor.copy("COPY (SELECT * FROM psd ORDER BY value) TO STDOUT") as copy:
            rows = list(copy.rows())
            check("psycopg copies", (len(rows), rows[1]), (1000, ("2001", "country 1", "1.5")))
        with connection.cursor() as cursor, cursor.copy("COPY psd (year) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4"])
            check("psycopg copies in binary", sum(row[0] for row in copy.rows()), sum(2000 + i % 20 for i in range(1000)))
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", [i]) for i in range(5)]
            check("psycopg pipelines", [cursor.fetchone()[0] for cursor in cursors], list(range(5)))
    with psycopg.connect(url) as connection:
        with connection.cursor("named") as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT value FROM psd ORDER BY value")
            check("psycopg reads through a cursor on the server", sum(1 for _ in cursor), 1000)
        connection.rollback()
        try:
            connection.execute("INSERT INTO psd VALUES (1)")
            check("psycopg cannot write", "written", "refused")
        except psycopg.errors.ReadOnlySqlTransaction:
            print("ok psycopg cannot write")
        connection.rollback()
        try:
            connection.execute("SELECT nothing FROM psd")
        except psycopg.errors.UndefinedColumn as error:
            check("psycopg is told where the error is", error.diag.statement_position, "8")
        connection.rollback()
        try:
            with connection.transaction():
                connection.execute("SELECT 1")
                with connection.transaction():
                    connection.execute("SELECT 1/'x'::int")
        except psycopg.errors.InvalidTextRepresentation:
            print("ok psycopg nests transactions")


async def asyncpg_reads():
    connection = await asyncpg.connect(url)
    row = await connection.fetchrow("SELECT * FROM types WHERE id = $1", 1)
    check("asyncpg reads every type", {column: row[column] for column in FIRST}, FIRST)
    check("asyncpg reads documents", (row["struct"], row["json"]), ('{"a":1,"b":"x"}', '{"j": [1]}'))
    check("asyncpg binds by what stands beside", await connection.fetchval("SELECT count(*) FROM psd WHERE year >= $1 AND country = $2 LIMIT $3", 2010, "country 1", 5), 71)
    check("asyncpg binds dates", await connection.fetchval("SELECT id FROM types WHERE date = $1", dt.date(2024, 2, 29)), 1)
    check("asyncpg binds arrays", await connection.fetchval("SELECT count(*) FROM psd WHERE year = ANY($1)", [2001, 2002]), 100)
    async with connection.transaction(readonly=True):
        rows = [row async for row in connection.cursor("SELECT * FROM psd", prefetch=9)]
        check("asyncpg reads through a portal", len(rows), 1000)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        check("asyncpg begins as it does", await connection.fetchval("SHOW transaction_read_only"), "on")
    slow = "SELECT count(*) FROM range(100000000000) a"
    try:
        await connection.fetch(slow, timeout=0.3)
        check("asyncpg cancels", "answered", "cancelled")
    except asyncio.TimeoutError:
        print("ok asyncpg cancels")
    check("asyncpg goes on after a cancellation", await connection.fetchval("SELECT 1"), 1)
    statement = await connection.prepare("SELECT year, value FROM psd WHERE value > $1")
    check("asyncpg knows the columns", [(a.name, a.type.name) for a in statement.get_attributes()], [("year", "int4"), ("value", "numeric")])
    await connection.close()


def sqlalchemy_reflects():
    engine = sqlalchemy.create_engine(url.replace("postgresql", "postgresql+psycopg"))
    inspector = sqlalchemy.inspect(engine)
    check("SQLAlchemy finds the schema", (inspector.default_schema_name, inspector.get_schema_names()), ("serving", ["information_schema", "serving"]))
    check("SQLAlchemy finds the tables", sorted(inspector.get_table_names()), ["psd", "secret", "types"])
    check("SQLAlchemy knows which tables there are", (inspector.has_table("psd"), inspector.has_table("psd", schema="serving"), inspector.has_table("nothing")), (True, True, False))
    check("SQLAlchemy finds no views, sequences and types", (inspector.get_view_names(), inspector.get_materialized_view_names(), inspector.get_sequence_names(), inspector.get_enums()), ([], [], [], []))
    for schema in (None, "serving"):
        names = {column["name"] for column in inspector.get_columns("psd", schema=schema)}
        check(f"SQLAlchemy finds the columns in schema {schema}", names, {"year", "country", "value"})
    columns = {column["name"]: column for column in inspector.get_columns("types")}
    found = [str(columns[name]["type"].compile(dialect=engine.dialect)) for name in ("id", "decimal", "ints", "struct", "timestamptz", "uuid", "blob")]
    check("SQLAlchemy knows the types", found, ["INTEGER", "NUMERIC(10, 2)", "INTEGER[]", "JSONB", "TIMESTAMP WITH TIME ZONE", "UUID", "BYTEA"])
    check("SQLAlchemy reads comments", (inspector.get_table_comment("psd")["text"], inspector.get_columns("psd")[0]["comment"]), ("Production, supply and distribution", "the year of harvest"))
    for name in ("indexes", "foreign_keys", "unique_constraints", "check_constraints"):
        check(f"SQLAlchemy finds no {name}", getattr(inspector, f"get_{name}")("psd"), [])
    check("SQLAlchemy finds no primary key", inspector.get_pk_constraint("psd")["constrained_columns"], [])
    everything = sqlalchemy.MetaData()
    everything.reflect(engine)
    check("SQLAlchemy reflects everything", {name: table.comment for name, table in everything.tables.items()}, {"psd": "Production, supply and distribution", "secret": None, "types": None})
    table = sqlalchemy.Table("psd", sqlalchemy.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        query = sqlalchemy.select(sqlalchemy.func.count().label("n"), sqlalchemy.func.max(table.c.value)).where(table.c.year > 2010)
        check("SQLAlchemy queries what it reflected", tuple(connection.execute(query).one()), (450, decimal.Decimal("1498.5")))
    frame = pandas.read_sql("SELECT year, avg(value) AS \"Average\" FROM psd GROUP BY year ORDER BY year", engine)
    check("pandas reads a query", (list(frame.columns), len(frame), frame["Average"][0]), (["year", "Average"], 20, 735.0))
    frame = pandas.read_sql_table("psd", engine, schema="serving", columns=["year", "value"])
    check("pandas reads columns of a table", (list(frame.columns), int(frame["year"].sum()), str(frame["year"].dtype)), (["year", "value"], 2009500, "int64"))
    frame = pandas.read_sql_table("psd", engine, chunksize=100)
    check("pandas reads a table in chunks", sum(len(chunk) for chunk in frame), 1000)


psycopg_reads()
asyncio.run(asyncpg_reads())
sqlalchemy_reflects()
