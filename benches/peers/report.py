"""The tables, on the terminal and in docs/benchmarks.md. Ratios only: times say more about a machine than about what is measured."""

import os
import platform
import re
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import version

import measure
from data import DataSet

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "benchmarks.md")
NAMES = {
    "copy_database": "`COPY FROM DATABASE` (DuckDB's Python client)",
    "through_arrow": "each table through Arrow (DuckDB's Python client)",
    "cp": "`cp` and `sync` of the whole file",
}


@dataclass
class Part:
    source: DataSet
    limits: dict
    rounds: int
    full: dict = field(default_factory=dict)
    incremental: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)

    def __post_init__(self):
        self.rows = sum(self.source.sizes().values())
        self.tables = len(self.source.sizes())
        self.bytes = os.path.getsize(self.source.path)


def part(part):
    limits = "".join(f", `--{key.replace('_', '-')} {value}` for everyone" for key, value in part.limits.items())
    lines = [
        f"## {part.source.about}",
        "",
        f"{part.tables} tables, {part.rows:,} rows, a file of {size(part.bytes)}; median of {part.rounds} rounds{limits}.",
        "",
        "| full export, audits and publishing included, against | time of export / time of that | lowest and highest of the rounds | peak memory of export / of that |",
        "| --- | ---: | ---: | ---: |",
    ]
    ours = part.full["materia export"]
    for how, name in NAMES.items():
        if how in part.full:
            theirs = part.full[how]
            rounds = [our.seconds / their.seconds for our, their in zip(ours, theirs)]
            memory = "" if how == "cp" else f"{peak(ours) / peak(theirs):.2f}"
            lines.append(f"| {name} | {measure.ratio(ours, theirs):.2f} | {min(rounds):.2f} – {max(rounds):.2f} | {memory} |")
    lines += ["", f"Peak resident memory of the export: {size(peak(ours))}."]
    if part.incremental:
        lines += ["", "| export when | times faster than `--full` of the same | times faster than `COPY FROM DATABASE` | outcome |", "| --- | ---: | ---: | --- |"]
        for name, runs in part.incremental.items():
            outcomes = ", ".join(sorted({run.outcome for run in runs["changed"]}))
            copied = measure.ratio(part.full["copy_database"], runs["changed"])
            lines.append(f"| {name} | {measure.ratio(runs['full'], runs['changed']):.1f} | {copied:.1f} | {outcomes} |")
    for note in part.notes:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def readers(printed):
    """What the reader's own bench says, as ratios."""
    swaps = re.search(r"p99 of a short question: ([\d.]+) ms quiet, ([\d.]+) ms with (\d+) swaps per second", printed)
    asked = re.search(r"ask_blocking / bare duckdb crate ([\d.]+), ask ([\d.]+)", printed)
    quiet, busy, rate = swaps.groups()
    return "\n".join(
        [
            "## Readers during the swap",
            "",
            "`cargo bench --bench reader`: two threads ask short questions without a break, each on the newest generation.",
            "",
            "| readers | ratio |",
            "| --- | ---: |",
            f"| p99 of a question, {rate} swaps a second / no swap | {float(busy) / float(quiet):.2f} |",
            f"| a question through the reader / through the bare `duckdb` crate | {asked.group(2)} |",
            "",
        ]
    )


def whole(parts, materia, asked, has_full, readers):
    lines = [
        "# Measurements",
        "",
        "Written by `./dev_run.sh peers --write`, never by hand. Everything was measured in turn, full exports from another one in each round, in one run on one machine; only ratios are",
        "kept. A competitor in Python is counted from connecting to the closed, durable file; materia for the life of its process, which also waits for the",
        "lakehouse, audits, publishes, writes its history and makes the swap durable. Both finish into an empty target, with the same DuckDB, the same",
        "threads and the same limits.",
        "",
        *[part_text for one in parts for part_text in [part(one)]],
    ]
    if not has_full:
        lines += ["This build knows no `--full`: every export copies everything.", ""]
    if readers:
        lines.append(readers)
    lines += ["## How", "", *environment(materia, asked), ""]
    return "\n".join(lines)


def environment(materia, asked):
    says = subprocess.run([materia, "--version"], check=True, capture_output=True, text=True).stdout.split("\n")[0].strip()
    packages = ", ".join(f"{name} {version(name)}" for name in ["duckdb", "pyarrow", "tpchgen-cli"])
    options = [f"--sets {' '.join(asked.sets)}"] + ([f"--rounds {asked.rounds}"] if asked.rounds else []) + (["--readers"] if asked.readers else [])
    with open("/proc/meminfo") as memory, open("/proc/cpuinfo") as processor:
        total = int(memory.readline().split()[1]) * 1024
        model = next((line.split(":")[1].strip() for line in processor if line.startswith("model name")), platform.machine())
    filesystem = subprocess.run(["stat", "--file-system", "--format", "%T", asked.work], check=True, capture_output=True, text=True).stdout.strip()
    return [
        f"- {says}; {packages}; Python {platform.python_version()}",
        f"- {os.cpu_count()} × {model}, {size(total)} of memory, {platform.system()} {platform.release()}, {filesystem}",
        f"- `./dev_run.sh peers {' '.join(options)} --write`",
        "- an export: `materia export --json --keep 1 --lakehouse LAKEHOUSE --to TARGET`, and `--full` where told",
    ]


def write(text):
    with open(PAGE, "w") as page:
        page.write(text)


def peak(runs):
    return max(run.peak for run in runs)


def size(number):
    for unit in ["bytes", "KB", "MB"]:
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
