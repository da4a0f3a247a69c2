"""A Quart app on published data: quart --app quart_app run

Every request reads one generation, the newest. Queries run in threads, because DuckDB would block the event loop.
"""

import asyncio
import os

import materia
from quart import Quart

app = Quart(__name__)
reader = materia.Reader(os.environ.get("SERVING_DUCKDB_PATH", "analytics.duckdb"))

COUNTRIES = """
    SELECT country_name, max(production) AS most
    FROM commodity_metrics GROUP BY country_name ORDER BY most DESC NULLS LAST LIMIT 20
"""


def query(sql, parameters=None):
    with reader.pin() as pinned:
        return pinned.generation, pinned.execute(sql, parameters).fetchall()


@app.get("/countries")
async def countries():
    generation, rows = await asyncio.to_thread(query, COUNTRIES)
    return {"generation": generation, "rows": rows}
