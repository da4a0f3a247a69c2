"""The module's guarantees besides freshness, in a folder with a lakehouse of numbered runs.

    reading.py MATERIA          the command; ends with "done"
"""

import os
import pathlib
import shutil
import subprocess
import sys
import threading

import duckdb
import materia

command = sys.argv[1]
served = pathlib.Path("analytics.duckdb")


def run(*words):
    subprocess.run([command, *words], check=True, stdout=subprocess.DEVNULL)


def publish(number):
    """Runs the pipeline again, and exports."""
    lakehouse = duckdb.connect("lakehouse.duckdb")
    lakehouse.execute(f"UPDATE serving.orders SET run = {number}")
    lakehouse.execute(f"UPDATE serving.customers SET run = {number}")
    lakehouse.close()
    run("export", "-q", "--force")


def number(source):
    return source.execute("SELECT max(run) FROM serving.orders").fetchone()[0]


def refused(kind, act, *parts):
    try:
        act()
    except kind as error:
        for part in parts:
            assert part in str(error), error
        return
    raise AssertionError(f"{kind.__name__} was expected")


# Nothing is served yet: the error suggests the next action.
refused(materia.NotServedError, lambda: materia.connect(served), "does not exist", "materia export")
refused(FileNotFoundError, lambda: materia.Reader(served))
refused(materia.MateriaError, lambda: materia.connect("."), "is a folder")
refused(materia.MateriaError, lambda: materia.connect("ducklake:x.ducklake"), "DuckLake")

publish(1)
connection = materia.connect(served)
assert number(connection) == 1
# One table by all its names.
for name in ["orders", "serving.orders", "analytics.serving.orders"]:
    assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (5000,), name
refused(duckdb.Error, lambda: connection.execute("CREATE TABLE serving.x AS SELECT 1"), "read-only")
refused(duckdb.Error, lambda: connection.execute("DELETE FROM orders"), "read-only")
# A process with the served file open does not block exporters.
reader = materia.Reader(served, config={"threads": 2})
first = reader.generation
assert first and (pathlib.Path("analytics.generations") / f"{first}.duckdb").exists()

# A link to the served file, read from another folder.
os.makedirs("elsewhere", exist_ok=True)
os.symlink("../analytics.duckdb", "elsewhere/link.duckdb")
linked = materia.Reader("elsewhere/link.duckdb")
assert linked.generation == first

# A pinned generation stays readable even when it is pruned; the next request gets the new one.
with reader.pin() as pinned:
    for other in range(2, 6):
        publish(other)
    assert not (pathlib.Path("analytics.generations") / f"{first}.duckdb").exists()
    assert number(pinned) == 1 and pinned.generation == first
    assert number(connection) == 1
    assert number(reader) == 5 and number(linked) == 5
assert number(materia.connect(served)) == 5

# A rollback is followed like an export.
run("rollback")
assert number(reader) == 4
run("release")
run("export", "-q", "--force")
assert number(reader) == 5

# A folder that was copied without its hard links can be read and followed as well.
shutil.copytree(".", "copied", ignore=shutil.ignore_patterns("copied"))
copied = materia.Reader("copied/analytics.duckdb")
assert number(copied) == 5
publish(6)
shutil.copy("analytics.duckdb", "copied/next")
os.replace("copied/next", "copied/analytics.duckdb")
assert number(copied) == 6

# If the served file cannot be read, the open generation stays in use and the reason is reported; no thread fails.
latest = reader.generation
with open("next", "wb") as file:
    file.write(b"no database" * 1000)
os.replace("next", served)
errors = []


def ask():
    try:
        assert number(reader) == 6
    except Exception as error:
        errors.append(error)


threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not errors, errors
assert reader.problem, "nobody was told"
refused(duckdb.Error, lambda: materia.connect(served))
os.link(f"analytics.generations/{latest}.duckdb", "next")
os.replace("next", served)
assert reader.generation == latest and reader.problem is None

# Data that was never audited is not read.
log = pathlib.Path(f"analytics.generations/{latest}.duckdb.wal")
log.write_bytes(b"x")
del connection, linked
fresh = subprocess.run(
    [sys.executable, "-c", "import materia; materia.connect('analytics.duckdb')"],
    capture_output=True,
    text=True,
)
assert fresh.returncode and "never audited" in fresh.stderr, fresh
log.unlink()

# A forked process opens the served file again.
child = os.fork()
if child == 0:
    os._exit(0 if number(reader) == 6 else 1)
assert os.waitpid(child, 0)[1] == 0

reader.close()
refused(materia.MateriaError, reader.pin, "closed")
print("done")
