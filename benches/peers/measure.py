"""Processes, their time and their memory; competitors in turn; medians."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

RIVALS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rivals.py")


@dataclass
class Run:
    seconds: float
    peak: int  # bytes of memory, at most
    outcome: str = ""


def process(arguments, folder):
    """Runs it to its end; its whole time, its peak and what it printed."""
    os.sync()  # What was written before is not written out at the cost of who comes next.
    with tempfile.NamedTemporaryFile("r") as measured:
        alone = [sys.executable, os.path.abspath(__file__), measured.name, *arguments]
        done = subprocess.run(alone, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=clean())
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)}\nended with {done.returncode}: {done.stderr.strip()}")
        return Run(**json.load(measured)), done.stdout


def measure(into, arguments):
    """In a small process of its own: a peak begins with that of whoever starts the process."""
    begun = time.perf_counter()
    child = subprocess.Popen(arguments)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    with open(into, "w") as file:
        json.dump({"seconds": seconds, "peak": usage.ru_maxrss * 1024}, file)
    return child.returncode


def clean():
    """The environment without settings of materia's that somebody works with."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MATERIA_") and key not in {"DUCKDB_PATH", "SERVING_DUCKDB_PATH"}}


def rival(how, source, target, schema, limits, folder):
    remove(target)
    run, printed = process([sys.executable, RIVALS, how, source, target, schema, limits.get("memory_limit", ""), limits.get("threads", "")], folder)
    run.seconds = float(printed)
    return run


def export(materia, source, target, limits, folder, *more):
    run, printed = process(command(materia, source, target, limits, *more), folder)
    run.outcome = json.loads(printed.splitlines()[-1])["record"]["outcome"]
    return run


def command(materia, source, target, limits, *more):
    flags = [part for key, value in limits.items() for part in (f"--{key.replace('_', '-')}", value)]
    return [materia, "export", "--json", "--keep", "1", "--lakehouse", source, "--to", target, *flags, *more]


def in_turn(competitors, rounds, from_another=False):
    """Every competitor once, then every one again: whatever else the machine does, it does to all of them. Name -> runs.

    With `from_another` each round begins with the next one, for competitors in no order: what one leaves behind is not always found by the same other one.
    """
    runs, names = {name: [] for name in competitors}, list(competitors)
    for turn in range(rounds):
        first = turn % len(names) if from_another else 0
        for name in names[first:] + names[:first]:
            runs[name].append(competitors[name]())
    return runs


def warm(path):
    """So that nobody pays for reading the disk: every competitor finds the source in memory, as far as it fits there."""
    with open(path, "rb") as file:
        while file.read(1 << 24):
            pass


def median(runs):
    return statistics.median(run.seconds for run in runs)


def ratio(runs, base):
    return median(runs) / median(base)


def remove(path):
    for name in (path, f"{path}.wal"):
        if os.path.exists(name):
            os.remove(name)


if __name__ == "__main__":
    sys.exit(measure(sys.argv[1], sys.argv[2:]))
