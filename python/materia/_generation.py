"""Finds the served generation and opens it under a path that later exports do not replace."""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple, Union

import duckdb

StrPath = Union[str, "os.PathLike[str]"]
Config = Mapping[str, Union[str, bool, int, float, List[str]]]

# Suffixes of the logs that DuckDB applies to a database file when it opens it.
WAL_SUFFIXES = (".wal", ".wal.checkpoint", ".wal.recovery")
# Names that DuckDB reserves.
RESERVED_CATALOGS = ("memory", "system", "temp", "")
# Exports that follow one another closely may prune a generation between finding and opening it.
OPEN_TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 0.01


class MateriaError(Exception):
    """The served data cannot be read."""


class NotServedError(MateriaError, FileNotFoundError):
    """Nothing is served at the path."""


@dataclass(frozen=True)
class Seen:
    """Identifies a served file, and detects changes in place."""

    device: int
    inode: int
    size: int
    modified_ns: int

    @classmethod
    def at(cls, path: str) -> "Seen":
        """Raises what :func:`os.stat` raises."""
        stat = os.stat(path)
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)

    def is_file_of(self, path: str) -> bool:
        try:
            stat = os.stat(path)
        except OSError:
            return False
        return (stat.st_dev, stat.st_ino) == (self.device, self.inode)


class Instance:
    """One open generation: a separate DuckDB instance, shared by all connections to it.

    A pruned generation stays readable, because DuckDB keeps the file open.
    """

    def __init__(self, served: str, seen: Seen, config: Config) -> None:
        self.id = find_generation(served, seen)
        generations = os.path.splitext(served)[0] + ".generations"
        manifest = None
        if self.id is not None:
            path = os.path.join(generations, self.id + ".duckdb")
            manifest = read_manifest(os.path.join(generations, self.id + ".json"))
            check_size(path, seen, manifest)
            check_no_log(path)
        else:
            # Not a generation, or copied without its hard links. The descriptor's path refers only
            # to this file for as long as it is open.
            check_no_log(served)
            path = self._hold(served, seen)
        schema = str(manifest.get("schema", "serving")) if manifest else "serving"
        stem = os.path.splitext(os.path.basename(served))[0]
        is_taken = stem.lower() in RESERVED_CATALOGS or stem.lower() == schema.lower()
        self.catalog = "materia" if is_taken else stem
        self._lock = threading.Lock()
        self._root = duckdb.connect(":memory:", config=dict(config))
        try:
            self._attach(path)
        except duckdb.BinderException as error:
            # DuckDB 1.4.0 does not open a path twice in a process, for example with another config.
            if "already attached" not in str(error) or self.id is None:
                raise
            self._attach(self._hold(path, seen))
        if self.id is not None:
            check_no_log(path)
        known = self._root.execute(
            "SELECT count(*) FROM duckdb_schemas() WHERE database_name = ? AND schema_name = ?",
            [self.catalog, schema],
        ).fetchone()
        self.schema = schema if known and known[0] else "main"

    def _attach(self, path: str) -> None:
        self._root.execute(
            f"ATTACH {quote_literal(path)} AS {quote_ident(self.catalog)} (READ_ONLY)"
        )

    def _hold(self, file: str, seen: Seen) -> str:
        """Opens a file and returns a path that refers only to it while the instance lives."""
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        weakref.finalize(self, os.close, descriptor)
        stat = os.fstat(descriptor)
        if (stat.st_dev, stat.st_ino) != (seen.device, seen.inode):
            raise FileNotFoundError(f"{file} was replaced while it was opened")
        folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
        return f"{folder}/{descriptor}"

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Returns a new connection, which keeps the instance alive."""
        with self._lock:
            connection = self._root.cursor()
        connection.execute(f"USE {quote_ident(self.catalog)}.{quote_ident(self.schema)}")
        weakref.finalize(connection, _release, self)
        return connection


def _release(_: Instance) -> None:
    """Releases a connection's reference to its instance, which is the finalizer's argument."""


InstanceKey = Tuple[int, str, Seen, str]
# One shared instance per generation and process, which saves memory, and is required because
# DuckDB 1.4 does not open a file twice.
_instances: "weakref.WeakValueDictionary[InstanceKey, Instance]" = weakref.WeakValueDictionary()
_instances_lock = threading.Lock()


def _renew_lock() -> None:
    global _instances_lock
    _instances_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    # Another thread may hold it at the time of a fork, and does not exist in the child.
    os.register_at_fork(after_in_child=_renew_lock)


def resolve_path(path: StrPath) -> str:
    """Returns the served file's real path: links are followed each time, since they may change."""
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError("the path of the served file is text, not bytes")
    if text.startswith("ducklake:"):
        raise MateriaError(
            f"{text} is a DuckLake, which DuckDB follows by itself: "
            "duckdb.connect() and ATTACH it, see docs/scaling.md"
        )
    served = os.path.realpath(text)
    if os.path.isdir(served):
        raise MateriaError(f"{text} is a folder; name the file in it that materia export publishes")
    return served


def look_at(served: str) -> Seen:
    """Returns the identity of the served file, with one ``stat``."""
    try:
        return Seen.at(served)
    except FileNotFoundError:
        raise NotServedError(
            f"{served} does not exist; publish it with: materia export --to {served}"
        ) from None


def open_served(served: str, config: Config) -> Tuple[Seen, Instance]:
    """Opens the currently served generation.

    Raises :class:`NotServedError` if there is none, and :class:`MateriaError` or DuckDB's own
    error if it cannot be read.
    """
    deadline = time.monotonic() + OPEN_TIMEOUT_SECONDS
    while True:
        seen = look_at(served)
        try:
            return seen, _open(served, seen, config)
        except (OSError, duckdb.Error) as error:
            # Retried if the file was swapped or pruned meanwhile; otherwise the error is real.
            if not is_replaced(served, seen) or time.monotonic() > deadline:
                if isinstance(error, (MateriaError, duckdb.Error)):
                    raise
                raise MateriaError(f"{served} cannot be read: {error}") from error
        time.sleep(RETRY_SECONDS)


def _open(served: str, seen: Seen, config: Config) -> Instance:
    settings = json.dumps(dict(config), sort_keys=True, default=str)
    key = (os.getpid(), served, seen, settings)
    with _instances_lock:
        instance = _instances.get(key)
        if instance is None:
            instance = Instance(served, seen, config)
            _instances[key] = instance
        return instance


def is_replaced(served: str, seen: Seen) -> bool:
    try:
        return Seen.at(served) != seen
    except OSError:
        return True


def find_generation(served: str, seen: Seen) -> Optional[str]:
    """Returns the id of the generation that the served file is a link to, if it is one."""
    folder = Path(os.path.splitext(served)[0] + ".generations")
    try:
        names = sorted(os.listdir(folder), reverse=True)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    for name in names:
        stem, ending = os.path.splitext(name)
        if ending == ".duckdb" and seen.is_file_of(str(folder / name)):
            return stem
    return None


def read_manifest(path: str) -> Optional[Dict[str, object]]:
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def check_size(path: str, seen: Seen, manifest: Optional[Dict[str, object]]) -> None:
    published = manifest.get("bytes") if manifest else None
    if isinstance(published, int) and published != seen.size:
        raise MateriaError(
            f"{path} has {seen.size} bytes, {published} when it was published; "
            "restore a generation with: materia rollback"
        )


def check_no_log(path: str) -> None:
    for suffix in WAL_SUFFIXES:
        if os.path.exists(path + suffix):
            raise MateriaError(
                f"{path + suffix} was never audited: another program wrote to the published file; "
                "materia export moves it away"
            )


def quote_ident(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
