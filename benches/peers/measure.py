"""Processes, their time and their memory; alternating rounds; medians."""

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
    peak: int  # peak memory in bytes
    outcome: str = ""


def process(arguments, folder):
    """Runs a command to completion; returns its time, peak memory and output."""
    os.sync()  # Otherwise pending writes of earlier runs would slow down this one.
    with tempfile.NamedTemporaryFile("r") as measured:
        alone = [sys.executable, os.path.abspath(__file__), measured.name, *arguments]
        done = subprocess.run(alone, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=clean())
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)}\nended with {done.returncode}: {done.stderr.strip()}")
        return Run(**json.load(measured)), done.stdout


def measure(into, arguments):
    """Runs in a small process, because a child's peak memory starts at its parent's."""
    begun = time.perf_counter()
    child = subprocess.Popen(arguments)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    with open(into, "w") as file:
        json.dump({"seconds": seconds, "peak": usage.ru_maxrss * 1024}, file)
    return child.returncode


def clean():
    """Returns the environment without materia's settings."""
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


def alternate(competitors, rounds, rotate=False):
    """Runs all competitors once per round, so that other load on the machine affects all of them. Returns the runs by name.

    With `rotate`, each round starts with another competitor, so that none always runs after the same one.
    """
    runs, names = {name: [] for name in competitors}, list(competitors)
    for number in range(rounds):
        first = number % len(names) if rotate else 0
        for name in names[first:] + names[:first]:
            runs[name].append(competitors[name]())
    return runs


def warm(path):
    """Reads the source into the page cache, as far as it fits, so that no competitor pays for reading the disk."""
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
