"""A connection to the served generation, and a reader that follows it."""

from __future__ import annotations

import os
import threading
import time
from types import TracebackType
from typing import Any, List, Optional, Type

import duckdb

from ._generation import (
    Config,
    Instance,
    MateriaError,
    Seen,
    StrPath,
    is_replaced,
    look_at,
    open_served,
    resolve_path,
)

# How soon opening an apparently unchanged file is retried after a failure.
RETRY_AFTER_SECONDS = 1.0

_of_parents: List[Optional[Instance]] = []


def connect(path: StrPath, *, config: Optional[Config] = None) -> duckdb.DuckDBPyConnection:
    """Returns a read-only connection to the currently served generation.

    It stays on that generation, even when another one is published or this one is pruned. The
    served schema is the default one: ``orders``, ``serving.orders`` and
    ``analytics.serving.orders`` are the same table.

    ``path`` is the served file, ``analytics.duckdb``; ``config`` is DuckDB's. Raises
    :class:`NotServedError` if nothing is served.
    """
    return open_served(resolve_path(path), config or {})[1].connect()


class Pin:
    """One generation for one request: every query sees the same data."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.connection: duckdb.DuckDBPyConnection = instance.connect()
        """A connection for this request alone."""

    @property
    def generation(self) -> Optional[str]:
        """The generation's id, or ``None`` for a file that is none of materia's generations."""
        return self._instance.id

    def execute(self, query: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        """Runs a query; the result is fetched as from DuckDB's own ``execute``."""
        if parameters is None:
            return self.connection.execute(query)
        return self.connection.execute(query, parameters)

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> "Pin":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


class Reader:
    """Follows the served file for as long as a program runs; every thread may use it.

    Each :meth:`pin` checks the served file with one ``stat``, and opens a new generation once for
    all threads. If that fails, the open generation stays in use and :attr:`problem` has the
    reason; opening is retried at most once per second.
    """

    def __init__(self, path: StrPath, *, config: Optional[Config] = None) -> None:
        """Opens the served file at ``path``; raises the errors of :func:`connect`."""
        self._path = path
        self._config: Config = dict(config or {})
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._problem: Optional[str] = None
        self._tried_at = 0.0
        self._tried: Optional[Seen] = None
        self._served = resolve_path(path)
        self._seen: Optional[Seen] = None
        self._instance: Optional[Instance] = None
        self._closed = False
        self._seen, self._instance = open_served(self._served, self._config)

    def pin(self) -> Pin:
        """Returns the newest generation, to be used by one request and closed after it."""
        return Pin(self._current())

    def execute(self, query: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        """Runs a single query on the newest generation.

        Two calls may see two generations; queries that belong together go through :meth:`pin`.
        """
        return self.pin().execute(query, parameters)

    @property
    def generation(self) -> Optional[str]:
        """The id of the newest generation, or ``None`` for a file that materia did not publish."""
        return self._current().id

    @property
    def problem(self) -> Optional[str]:
        """Why the served file cannot be read while an older generation remains in use."""
        return self._problem

    def close(self) -> None:
        """Releases the generation; requests that have pinned it can finish."""
        with self._lock:
            self._closed = True
            self._instance = None

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def _current(self) -> Instance:
        if self._process != os.getpid():
            # DuckDB's threads do not exist in a forked process, and the lock may be held forever.
            # The parent's instance is kept: closing it would wait for those threads.
            _of_parents.append(self._instance)
            self._lock, self._process = threading.Lock(), os.getpid()
            self._seen, self._instance = None, None
        with self._lock:
            if self._closed:
                raise MateriaError("the reader is closed")
            try:
                # A link may have another target by now.
                served = resolve_path(self._path)
                seen = look_at(served)
                if served == self._served and seen == self._seen and self._instance:
                    self._problem = None
                    return self._instance
                if self._instance and not self._may_try(seen):
                    return self._instance
                self._seen, self._instance = open_served(served, self._config)
                self._served = served
                self._problem = None
            except (MateriaError, OSError, duckdb.Error) as error:
                if self._instance is None or self._seen is None:
                    raise
                self._problem = str(error)
                self._note_failure()
            return self._instance

    def _may_try(self, seen: Seen) -> bool:
        return seen != self._tried or time.monotonic() - self._tried_at > RETRY_AFTER_SECONDS

    def _note_failure(self) -> None:
        self._tried_at = time.monotonic()
        try:
            self._tried = Seen.at(self._served)
        except OSError:
            self._tried = None
