"""Ten million rows through the site: python large.py path/to/materia [rows]

Requires duckdb. Prints, for each format, the speed of a download compared with DuckDB's own COPY of the same table to a file of that format in the same
run, and the growth of the server's memory; then runs twenty concurrent downloads while exports are published.
"""

import concurrent.futures
import pathlib
import sys
import threading
import time

import duckdb

from site_of_checks import Checks, Site

ROWS = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
SMALL = 200_000


def make(path, run=1):
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA serving")
        if run == 1:
            connection.execute(
                f"""CREATE TABLE serving.big AS SELECT i AS id, DATE '1960-01-01' + (i % 24000)::INTEGER AS day, 'country ' || (i % 200) AS country,
                    (hash(i) % 100000) / 1000.0 AS price, (hash(i + 1) % 1000000)::DECIMAL(18, 3) AS bags, i % 3 = 0 AS flag FROM range({ROWS}) AS t(i)"""
            )
        # Every row has the number of its export, which reveals mixtures.
        connection.execute(f"CREATE TABLE serving.small AS SELECT i AS id, {run} AS run, 'text ' || i AS word FROM range({SMALL}) AS t(i)")


site = Site(sys.argv[1], make, "[export]\nmax_drop = 1.0\n[export.tables.small]\nmax_drop = 1.0\n")
checks = Checks()
key = site.key()


def memory():
    """Returns the resident memory of the server in MB: current, and maximum since the last reset."""
    status = pathlib.Path(f"/proc/{site.server.pid}/status").read_text()
    told = dict(line.split(":", 1) for line in status.splitlines())
    return int(told["VmRSS"].split()[0]) / 1024, int(told["VmHWM"].split()[0]) / 1024


def download(table, format, path=None):
    begun, length = time.monotonic(), 0
    with site.get(f"/api/v1/tables/{table}/download?format={format}", key) as answer:
        out = open(path, "wb") if path else None
        while piece := answer.read(1 << 20):
            length += len(piece)
            if out:
                out.write(piece)
        if out:
            out.close()
        return time.monotonic() - begun, length, int(answer.headers["X-Materia-Rows"]), answer.headers["X-Materia-Generation"]


def copied(options, path):
    with duckdb.connect(str(site.folder / "analytics.duckdb"), read_only=True) as connection:
        begun = time.monotonic()
        connection.execute(f"COPY serving.big TO '{path}' ({options})")
        return time.monotonic() - begun


download("small", "csv")
for format, options, least in [("csv", "FORMAT csv", 0.5), ("parquet", "FORMAT parquet", 0.5), ("jsonl", "FORMAT json", 0), ("arrow", None, 0)]:

    def is_fast():
        # Fills DuckDB's own cache of the file first.
        download("big", "parquet") if format == "csv" else None
        pathlib.Path(f"/proc/{site.server.pid}/clear_refs").write_text("5")
        before = memory()[0]
        took, length, rows, _ = download("big", format, site.folder / f"big.{format}")
        grown = memory()[1] - before
        assert rows == ROWS, rows
        own = copied(options, site.folder / f"own.{format}") if options else None
        ratio = f"{own / took:.2f} of DuckDB's COPY ({own:.1f} s)" if own else "DuckDB has no such format"
        print(f"        {format}: {length / 1e6:.0f} MB in {took:.1f} s, {ROWS / took / 1e6:.2f} M rows/s, {ratio}; the server grew by {grown:.0f} MB")
        assert grown < 64, f"the server grew by {grown:.0f} MB"
        assert own is None or own / took >= least, f"{own / took:.2f} is less than {least}"
        for made in site.folder.glob("*." + format):
            made.unlink()

    checks.promise(f"{ROWS:,} rows as {format}: fast, and with little memory", is_fast)


def side_by_side():
    seen = []

    def one(number):
        account = ["pro", "admin", "starter"][number % 3]
        path = site.folder / f"small-{number}.csv"
        for _ in range(100):
            try:
                with site.get("/api/v1/tables/small/download?format=csv", keys[account]) as answer:
                    path.write_bytes(answer.read())
                    return path, answer.headers["X-Materia-Generation"], int(answer.headers["X-Materia-Rows"])
            except OSError as error:
                if getattr(error, "code", None) not in (429, 503):
                    raise
                time.sleep(0.1)
        raise AssertionError("never had a turn")

    keys = {account: site.key(f"{account}@example.test") for account in ["pro", "admin", "starter"]}
    over = threading.Event()

    def many(worker):
        number = worker
        while not over.is_set():
            path, generation, rows = one(number)
            with duckdb.connect() as connection:
                runs = connection.execute("SELECT count(*), count(DISTINCT run), min(run) FROM read_csv(?)", [str(path)]).fetchall()[0]
            assert (runs[0], runs[1]) == (rows, 1) and rows == SMALL, f"{path}: {runs}"
            seen.append((generation, runs[2]))
            path.unlink()
            number += 20

    with concurrent.futures.ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(many, worker) for worker in range(20)]
        for run in range(2, 8):
            make(site.folder / "lakehouse.duckdb", run)
            site.run("export", "--force")
            time.sleep(1)
        over.set()
        for future in waiting:
            future.result()
    told = set(seen)
    assert len({generation for generation, _ in told}) == len(told), f"one generation gave rows of two exports: {told}"
    print(f"        {len(seen)} downloads, 20 at a time, of {len(told)} generations")
    assert len(told) > 3, "too few swaps happened meanwhile"


checks.promise("twenty downloads side by side during swaps are each of one export", side_by_side)
checks.end()
