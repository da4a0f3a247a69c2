"""Operates a server under a systemd that is really booted, behind a real Caddy, and examines what came of it.

    tests/systemd/run.py FOLDER [server | conditions]

FOLDER has the built command and DuckDB's library. `server`, the default, installs a server with the bootstrap, restarts it behind Caddy with a
download open, reloads Caddy, fills the disk of the accounts, upgrades and backs out. `conditions` breaks one component after the other, and
measures how long it takes until a webhook is told of it and of its recovery: the table in docs/operations.md. Needs root, DuckDB's Python module,
and a machine with systemd, or a Debian root in MATERIA_TEST_BOOTSTRAP. Where systemd cannot be booted, it says so and succeeds. The download has
60 MB, or 400 MB with MATERIA_TEST_SOAK.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LINES = 400_000 if os.environ.get("MATERIA_TEST_SOAK") else 60_000
LINE_BYTES = 1_000
NEEDED = ["lib/systemd/systemd", "usr/bin/curl", "usr/bin/git", "usr/bin/python3", "usr/bin/pgrep"]
IMPOSSIBLE = ["unshare failed", "ermission denied", "not permitted", "read-only file system", "skipped:"]
CONDITIONS = [
    "not_served",
    "stray_log",
    "stale",
    "export_failed",
    "export_refused",
    "lakehouse_held",
    "pipeline_failed",
    "pipeline_hung",
    "supervisor_stopped",
    "backup",
    "site_down",
    "mail_failing",
    "postgres_down",
    "accounts_down",
    "disk_nearly_full",
]


def skip(why):
    print(f"skipped: {why}")
    sys.exit(0)


def boot(folder, scenario, work):
    """Returns what the scenario printed."""
    lower = Path(os.environ.get("MATERIA_TEST_BOOTSTRAP") or "/")
    for file in NEEDED:
        if not (lower / file).exists():
            skip(f"{lower} has no {file}")
    try:
        import duckdb
    except ImportError:
        skip("this Python has no DuckDB")
    subprocess.run([folder / "materia", "demo", "."], cwd=work, check=True, stdout=subprocess.DEVNULL)
    lakehouse = work / "lakehouse.duckdb"
    with duckdb.connect(str(lakehouse)) as connection:
        # A line is one long word, which takes no time to make.
        connection.execute(f"CREATE TABLE serving.big AS SELECT repeat('x', {LINE_BYTES - 1}) AS line FROM range({LINES})")
    environment = os.environ | {
        "SCENARIO": scenario,
        "BUILD": str(folder),
        "LAKEHOUSE": str(lakehouse),
        "LINES_OF_BIG": str(LINES),
        "LOWER": str(lower),
    }
    ran = subprocess.run(["unshare", "--mount", "--fork", HERE / "boot.sh"], env=environment, capture_output=True, text=True, errors="replace")
    if "== bootstrap\n" not in ran.stdout and any(reason in ran.stderr for reason in IMPOSSIBLE):
        skip(f"systemd cannot be booted here: {ran.stderr}")
    if "== end\n" not in ran.stdout:
        sys.exit(f"{ran.stdout}\n{ran.stderr}\nthe scenario did not come to its end")
    return ran.stdout


class Examination:
    """Promises, and the part of the output that shows whether each is kept."""

    def __init__(self, output):
        self.sections = dict(re.findall(r"^== ([^\n]*)\n(.*?)(?=^== |\Z)", output, re.MULTILINE | re.DOTALL))
        self.broken = 0

    def promise(self, text, section, *lines):
        shown = self.sections[section]
        if missing := [line for line in lines if not re.search(line, shown, re.MULTILINE)]:
            self.broken += 1
            print(f"FAILED  {text}\n        not in the output: {missing}\n{shown}")
        else:
            print(f"ok      {text}")

    def every_request_is_answered(self, text, section, times):
        found = re.findall(r"^probes (\d+) failed (\d+) slowest ([\d.]+)$", self.sections[section], re.MULTILINE)
        for sent, failed, slowest in found:
            print(f"        {sent} requests at 50/s, {failed} failed, longest {slowest} s")
        good = len(found) == times and all(int(sent) > 20 and failed == "0" for sent, failed, _ in found)
        self.promise(text, section, "" if good else "no failed requests")


def examine_server(examination):
    def unit(name, *properties):
        # systemctl separates units by empty lines and prints properties in its own order.
        about = next((about for about in examination.sections["units"].split("\n\n") if f"Id={name}" in about.splitlines()), "")
        return all(line in about.splitlines() for line in properties)

    running = ["ActiveState=active", "NRestarts=0", "Result=success"]
    are_running = all(
        [
            unit("materia-supervisor.service", *running),
            unit("materia-web.service", *running),
            unit("materia-backup.service", "ActiveState=inactive", "Result=success"),
            unit("materia-backup.timer", "ActiveState=active"),
            unit("materia-alert.timer", "ActiveState=active"),
        ]
    )
    examination.promise(
        "systemd runs the units of a new server",
        "units",
        "" if are_running else "every unit as it should be",
        "HTTP/1.1 200 OK",
        "supervising export_serving",
        "reloaded the dashboards",
        "4 accounts, ",
    )
    if "skipped: " in examination.sections["restart"]:
        print(examination.sections["restart"])
    else:
        restarts = "no request fails while systemd restarts the site behind Caddy"
        examination.every_request_is_answered(restarts, "restart", 1)
        examination.promise(restarts, "restart", "restart 1 exit 0 .* yes", "restart 2 exit 0 .* yes")
        examination.promise(
            "a download goes on while the site is restarted and Caddy is reloaded, and holds neither back",
            "restart",
            "the download does not hold the new process back",
            "the former process has ended",
            f"download status 200 megabytes {LINES * LINE_BYTES // 1_000_000} whole",
        )
        examination.promise(
            "systemctl reload caddy applies an edited Caddyfile", "restart", "reload of Caddy exit 0", "Caddy has the new settings"
        )
    examination.promise(
        "on a full disk the site says that it is not ready, and an alert does",
        "full disk",
        "sign-in while full 50",
        "not ready while full",
        '"condition":"accounts_down"',
    )
    examination.promise(
        "sign-in works again as soon as there is room, with the same link and without a restart",
        "full disk",
        "the same link after that 303",
        "ready after that",
        "restarted no",
    )
    examination.promise(
        "a new command that does not run changes nothing; a good one replaces the former one, and can be backed out",
        "upgrade",
        "a broken one exit 1 nothing changed",
        "a good one exit 0 it runs",
        "back out exit 0 the former one runs",
        r"NRestarts=0\n*\Z",
    )
    examination.every_request_is_answered("no request fails during an upgrade and its back-out", "upgrade", 3)
    examination.promise(
        "the service user can write nothing that systemd starts, and finds the settings of the units",
        "ownership",
        r"\AUser=materia\n",
        "from MATERIA_DATA_DIR in /etc/materia/env",
    )


def examine_conditions(examination):
    print(examination.sections["conditions"])
    for condition in CONDITIONS:
        examination.promise(f"{condition} is told, and so is its end", "conditions", rf"^{condition} .* noticed +[\d.]+ s +over +[\d.]+ s$")


def main():
    if len(sys.argv) not in (2, 3) or (scenario := (sys.argv[2:] or ["server"])[0]) not in ("server", "conditions"):
        sys.exit(__doc__)
    folder = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as work:
        output = boot(folder, scenario, Path(work))
    examination = Examination(output)
    {"server": examine_server, "conditions": examine_conditions}[scenario](examination)
    if examination.broken:
        sys.exit(f"{examination.broken} promises are not kept")


main()
