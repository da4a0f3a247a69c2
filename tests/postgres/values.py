"""Values by PostgreSQL's protocol equal those of the site's API: values.py PORT KEY SITE TABLE..."""

import json
import re
import sys
import urllib.request

import psycopg

port, key, site, *tables = sys.argv[1:]
# What the API writes differently, by the type's oid; everything else is the same text.
OIDS = {
    16: lambda value: "t" if value else "f",
    17: lambda value: "\\x" + value,
    1114: lambda value: value.replace("T", " "),
    1184: lambda value: value.replace("T", " ").replace("+00:00", "+00"),
    1266: lambda value: re.sub(":00$", "", value),
}
# Numbers and intervals have several spellings.
SAME = {
    700: float,
    701: float,
    1186: lambda value: re.sub(r"(mon|month|day|year)s?\b", r"\1", value).replace("month", "mon").replace("+", ""),
}
DOCUMENTS = {114, 3802}
ITEMS = {1000: 16, 1001: 17, 1021: 700, 1022: 701, 1115: 1114, 1185: 1184, 1187: 1186, 1270: 1266}
ARRAYS = {*ITEMS, 1005, 1007, 1009, 1015, 1016, 1182, 1183, 1231, 1563, 199, 2951}


def text(oid, value):
    """Returns a value of the API as PostgreSQL writes it."""
    return repr(SAME[oid](value)) if oid in SAME else OIDS.get(oid, str)(value)


def ours(oid, written):
    return repr(SAME[oid](written)) if oid in SAME else written


def items(written):
    """Reads PostgreSQL's text of an array of one dimension."""
    found, item, quoted, escaped, was_quoted = [], "", False, False, False
    for char in written[1:-1] + ",":
        if escaped:
            item, escaped = item + char, False
        elif char == "\\":
            escaped = True
        elif char == '"':
            quoted, was_quoted = not quoted, True
        elif char == "," and not quoted:
            found.append(None if item == "NULL" and not was_quoted else item)
            item, was_quoted = "", False
        else:
            item += char
    return [] if written == "{}" else found


connection = psycopg.connect(f"postgresql://anybody:{key}@127.0.0.1:{port}/analytics", autocommit=True)
compared, oids, broken = 0, set(), 0
for table in tables:
    request = urllib.request.Request(f"{site}/api/v1/tables/{table}/rows", headers={"Authorization": f"Bearer {key}"})
    wanted = sorted(json.load(urllib.request.urlopen(request)), key=lambda row: row["id"])
    result = connection.pgconn.exec_(f"SELECT * FROM {table} ORDER BY id".encode())
    if result.ntuples != len(wanted):
        sys.exit(f"BROKEN {table}: {result.ntuples} rows, not {len(wanted)}: {result.error_message.decode()}")
    for column in range(result.nfields):
        name, oid = result.fname(column).decode(), result.ftype(column)
        oids.add(oid)
        for row, theirs in enumerate(wanted):
            value, theirs = result.get_value(row, column), theirs[name]
            value = None if value is None else value.decode()
            if value is not None and oid in DOCUMENTS:
                value = json.loads(value)
            elif value is not None and oid in ARRAYS:
                item = ITEMS.get(oid, oid)
                value = [None if written is None else ours(item, written) for written in items(value)]
                theirs = theirs and [None if one is None else text(item, one) for one in theirs]
            elif value is not None:
                value = ours(oid, value)
                theirs = None if theirs is None else text(oid, theirs)
            if value != theirs:
                broken += 1
                print(f"BROKEN {table}.{name} (type {oid}) of row {row + 1}: {value!r}, not {theirs!r}")
            compared += 1
if broken:
    sys.exit(1)
print(f"ok {compared} values of {len(oids)} types equal the API's")
