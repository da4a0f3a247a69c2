"""Runs queries in threads without a pause while exports are published, and reports the results.

    follow.py SERVED PUBLISHED [--plain]

Every table of SERVED contains the number of the pipeline run that wrote it; the file PUBLISHED
contains the number of the last run whose export has ended. A result older than PUBLISHED before the
request is stale. Ends when PUBLISHED contains "end", and prints the counts as JSON. With --plain,
every request opens SERVED by its path instead, as programs without the module do.
"""

import json
import sys
import threading

import duckdb
import materia

THREADS = 8
QUERY = "SELECT (SELECT max(run) FROM serving.orders), (SELECT max(run) FROM serving.customers)"

served, published = sys.argv[1:3]
plain = "--plain" in sys.argv
counts = {"answers": 0, "stale": 0, "mixed": 0, "failed": 0, "runs": 0}
errors, runs, lock = [], set(), threading.Lock()


def ask(reader):
    """Returns the runs seen by two queries of one request, one per table."""
    if plain:
        with duckdb.connect(served, read_only=True) as connection:
            return {run for _ in range(2) for run in connection.execute(QUERY).fetchone()}
    with reader.pin() as pinned:
        return {run for _ in range(2) for run in pinned.execute(QUERY).fetchone()}


def work(reader):
    while True:
        with open(published) as file:
            expected = file.read()
        if expected == "end":
            return
        try:
            seen = ask(reader)
        except Exception as error:
            with lock:
                counts["failed"] += 1
                errors.append(f"{type(error).__name__}: {error}")
            continue
        with lock:
            counts["answers"] += 1
            counts["mixed"] += len(seen) != 1
            counts["stale"] += min(seen) < int(expected)
            runs.update(seen)


reader = None if plain else materia.Reader(served)
threads = [threading.Thread(target=work, args=[reader]) for _ in range(THREADS)]
for thread in threads:
    thread.start()
print("started", flush=True)
for thread in threads:
    thread.join()
counts["runs"] = len(runs)
print(json.dumps({"duckdb": duckdb.__version__, "errors": errors[:3], **counts}))
