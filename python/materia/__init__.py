"""Reads the data that ``materia export`` publishes.

DuckDB shares one instance between all connections to the same path, so a program that keeps reading
``analytics.duckdb`` by that path may read a generation that was replaced long ago.
:func:`connect` and :class:`Reader` open every generation under a unique path instead.

>>> import materia
>>> materia.connect("analytics.duckdb").execute("SELECT count(*) FROM orders").fetchone()

>>> reader = materia.Reader("analytics.duckdb")
>>> with reader.pin() as pinned:
...     pinned.execute("SELECT * FROM orders WHERE id = ?", [7]).fetchall()
"""

from __future__ import annotations

from ._generation import MateriaError, NotServedError
from ._reader import Pin, Reader, connect

__all__ = ["MateriaError", "NotServedError", "Pin", "Reader", "connect"]
