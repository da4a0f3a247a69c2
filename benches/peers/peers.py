"""Compares exports with other ways to copy: python peers.py path/to/materia (see README.md).

Needs the packages of infra/requirements/python-peers.txt, in these versions: DuckDB must be the version that materia uses.
"""

import argparse
import os
import shutil
import subprocess
import tempfile

import data
import measure
import report
from data import SCHEMA

ROUNDS = {"demo": 7, "tpch-sf1": 7, "tpch-sf10": 3, "many": 7}
LIMITS = {"tpch-sf10": {"memory_limit": "2GB"}}
ARROW_NEEDS = {"tpch-sf10": 16 << 30}  # bytes of memory: whole tables are fetched, despite DuckDB's limit


def main():
    options = arguments()
    materia = os.path.realpath(options.materia)
    has_full = "--full" in subprocess.run([materia, "export", "--help"], check=True, capture_output=True, text=True).stdout
    os.makedirs(options.work, exist_ok=True)
    found = []
    with tempfile.TemporaryDirectory(dir=options.work, prefix="run-") as scratch:
        for name in options.sets:
            folder = os.path.join(options.work, name)
            print(f"== {name}: creating the data", flush=True)
            source = data.make(name, folder, materia)
            part = report.Part(source, LIMITS.get(name, {}), options.rounds or ROUNDS[name])
            print(f"== {name}: full exports", flush=True)
            full(part, materia, scratch)
            if has_full:
                print(f"== {name}: incremental exports", flush=True)
                incremental(part, materia, scratch)
            found.append(part)
            print(report.part(part), flush=True)
            if not options.keep:
                shutil.rmtree(folder)
    readers = report.readers(reader_bench()) if options.readers else None
    text = report.whole(found, materia, options, has_full, readers)
    print(text)
    if options.write:
        report.write(text)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("materia", help="path of the release build")
    parser.add_argument("--sets", nargs="+", choices=list(data.MAKERS), default=list(data.MAKERS))
    parser.add_argument("--rounds", type=int, help="runs per competitor")
    parser.add_argument("--readers", action="store_true", help="also measure the effect of a swap on readers (cargo bench --bench reader)")
    parser.add_argument("--keep", action="store_true", help="keep the data sets for the next run")
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "materia-peers"), help="folder for the data [default: %(default)s]")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    return parser.parse_args()


def full(part, materia, scratch):
    """Compares full exports into an empty target with the competitors."""
    source, limits = part.source.path, part.limits
    target, folder = os.path.join(scratch, "rival.duckdb"), os.path.join(scratch, "served")

    def export():
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        return measure.export(materia, source, os.path.join(folder, "analytics.duckdb"), limits, scratch)

    competitors = {"materia export": export}
    for how in ["copy_database", "through_arrow", "cp"]:
        if how == "through_arrow" and memory_left() < ARROW_NEEDS.get(part.source.name, 0):
            part.notes.append("The copy through Arrow was skipped: it fetches whole tables, for which this machine has too little memory.")
            continue
        competitors[how] = lambda how=how: measure.rival(how, source, target, SCHEMA, limits, scratch)
    measure.warm(source)
    part.full = measure.alternate(competitors, part.rounds, rotate=True)
    sizes = part.source.sizes()
    for copy in [os.path.join(folder, "analytics.duckdb"), target]:
        copied = data.DataSet("", "", copy, "", "").sizes()
        assert copied == sizes, f"{copy} has different tables than the lakehouse"
    measure.remove(target)
    shutil.rmtree(folder)


def incremental(part, materia, scratch):
    """Measures an incremental and a full export after each change."""
    source, limits = part.source, part.limits
    folder = os.path.join(scratch, "served")
    os.mkdir(folder)
    target = os.path.join(folder, "analytics.duckdb")
    measure.export(materia, source.path, target, limits, scratch)
    rows = iter(range(10_000))
    changes = {
        "nothing written": lambda: None,
        "written, but no served table": source.touch,
        f"{source.small} changed": lambda: source.change(source.small, next(rows)),
        f"{source.large} changed at its start": lambda: source.change(source.large, next(rows)),
        f"1 % appended to {source.large}": lambda: source.append(rebuild=False),
        f"{source.large} rebuilt with 1 % more": lambda: source.append(rebuild=True),
    }
    if source.days:
        changes[f"the last 3 days of {source.large} rewritten, ordered by {source.days}"] = lambda: source.rewrite_last_days(next(rows))
    for name, change in changes.items():
        if "ordered by" in name:
            source.order()
            measure.export(materia, source.path, target, limits, scratch)

        def after(change=change):
            change()
            return measure.export(materia, source.path, target, limits, scratch)

        again = lambda: measure.export(materia, source.path, target, limits, scratch, "--full")
        part.incremental[name] = measure.alternate({"changed": after, "full": again}, part.rounds)
    shutil.rmtree(folder)


def reader_bench():
    print("== readers", flush=True)
    return subprocess.run(["cargo", "bench", "--locked", "--quiet", "--bench", "reader"], check=True, stdout=subprocess.PIPE, text=True).stdout


def memory_left():
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


if __name__ == "__main__":
    main()
