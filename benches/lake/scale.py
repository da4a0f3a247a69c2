"""What a lake carries, in one run: `./dev_run.sh scale`.

Starts PostgreSQL, an S3 server (s3s-fs), `materia web` once, twice and four times, and Caddy with `web/Caddyfile` in front, all on this machine's loopback,
measures, prints ratios, and stops everything. With --write the same goes into docs/scaling.md, under "Measured".

Everything shares this machine's processors: what several machines gain is more than what is printed here.
"""

import argparse
import contextlib
import datetime
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEY_ID, SECRET, BUCKET = "materia", "only-on-loopback", "lake"
TABLES, ROWS = 50, 20_000
# How often a server asks the catalog in a second: once every LAKE_LOOK of src/reader/follow.rs.
ASKS = 4
PAGE = "/dashboard/pulse"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what, holds, patience=60):
    """What `holds` returns as soon as that is something."""
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            if found := holds():
                return found
        if time.monotonic() > deadline:
            sys.exit(f"scale: in vain: {what}")
        time.sleep(0.002)


def get(port, path, head=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers=head or {})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


class Machine:
    """What runs, and a folder that it all is in."""

    def __init__(self, stack, materia, s3):
        self.stack, self.materia = stack, materia
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="materia-scale-"))
        self.folder.chmod(0o755)
        stack.push(self.tell_and_remove)
        self.postgres, self.s3 = self.start_postgres(), self.start_s3(s3)
        self.databases = 0

    def tell_and_remove(self, problem, *_):
        for log in sorted(self.folder.glob("*.log")) if problem else []:
            print(f"-- {log.name}\n{log.read_text()[-2000:]}", file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)

    def spawn(self, command, log, environment=None, **more):
        with open(self.folder / log, "ab") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, **more)

        def stop():
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        return process, stop

    def begin(self, *arguments, **more):
        process, stop = self.spawn(*arguments, **more)
        self.stack.callback(stop)
        return process

    def start_postgres(self):
        programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        on_path = [pathlib.Path(folder) for folder in os.get_exec_path()]
        whole = [bin for bin in on_path + programs[::-1] if all((bin / name).exists() for name in ("postgres", "initdb", "psql"))]
        self.programs = whole[0] if whole else sys.exit("scale: PostgreSQL is missing (apt-get install postgresql)")
        data, port = self.folder / "postgres", free_port()
        data.mkdir()
        # PostgreSQL refuses to be root.
        owner = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        if owner:
            shutil.chown(data, "postgres", "postgres")
        made = [self.programs / "initdb", "--no-sync", "--auth=trust", "--username=materia", "--encoding=UTF8", "--locale=C.UTF-8", "-D", data]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd="/", **owner)
        command = [self.programs / "postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        # SIGINT: whoever is connected is thrown out.
        process, _ = self.spawn(command, "postgres.log", cwd="/", **owner)
        self.stack.callback(lambda: (process.send_signal(2), process.wait()))
        self.postmaster = process.pid
        self.asked = [self.programs / "psql", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "materia", "postgres", "-c"]
        until("PostgreSQL", lambda: subprocess.run([*self.asked, "SELECT 1"], capture_output=True).returncode == 0)
        return port

    def start_s3(self, program):
        port, place = free_port(), self.folder / "objects"
        (place / BUCKET).mkdir(parents=True)
        self.begin([program, "--host", "127.0.0.1", "--port", str(port), "--access-key", KEY_ID, "--secret-key", SECRET, place], "s3.log")
        until("the S3 server", lambda: socket.create_connection(("127.0.0.1", port)).close() is None)
        return port

    def seconds_of_postgres(self):
        """The processor's time that PostgreSQL has had: of who is connected, and of who was."""
        times = lambda pid, which: [int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[place]) for place in which]
        children = pathlib.Path(f"/proc/{self.postmaster}/task/{self.postmaster}/children").read_text().split()
        ticks = sum(times(self.postmaster, (11, 12, 13, 14))) + sum(sum(times(child, (11, 12))) for child in children)
        return ticks / os.sysconf("SC_CLK_TCK")

    def database(self):
        self.databases += 1
        name = f"measured_{self.databases}"
        subprocess.run([*self.asked, f"CREATE DATABASE {name}"], check=True)
        return name


class Site:
    """A lakehouse and where it is published: a lake, or a file."""

    def __init__(self, machine, name, is_lake):
        self.machine, self.folder = machine, machine.folder / name
        self.folder.mkdir(exist_ok=True)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("MATERIA_", "AWS_", "SERVING_", "DUCKDB_PATH"))}
        self.environment |= {
            "MATERIA_EXTENSIONS": os.environ["MATERIA_EXTENSIONS"],
            "DATABASE_URL": f"postgres://materia@127.0.0.1:{machine.postgres}/{machine.database()}",
            "DEBUG": "true",
            "ADMIN_EMAILS": "admin@example.test",
            "RUST_LOG": "warn",
            "MATERIA_REQUESTS_PER_MINUTE": "0",
        }
        if is_lake:
            self.environment |= {
                "SERVING_DUCKDB_PATH": f"ducklake:postgres:host=127.0.0.1 port={machine.postgres} dbname={machine.database()} user=materia",
                "MATERIA_LAKE_DATA": f"s3://{BUCKET}/{name}",
                "AWS_ACCESS_KEY_ID": KEY_ID,
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{machine.s3}",
            }

    def run(self, *arguments):
        ran = subprocess.run([self.machine.materia, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True)
        if ran.returncode != 0:
            sys.exit(f"scale: materia {' '.join(arguments)}: {ran.stderr}")
        return ran.stdout

    def export(self, *arguments):
        """The seconds that it takes, start of the process to its end."""
        begun = time.monotonic()
        self.run("export", "--quiet", *arguments)
        return time.monotonic() - begun

    def web(self):
        """A server's port, its process, and what stops it."""
        port = free_port()
        environment = self.environment | {"MATERIA_LISTEN": f"127.0.0.1:{port}"}
        process, stop = self.machine.spawn([self.machine.materia, "web"], "web.log", environment, cwd=self.folder)
        until("materia web", lambda: get(port, "/ready")[0].status == 200)
        return port, process, stop

    def sign_in(self, port):
        cookie = get(port, "/auth/dev-login?email=pro@example.test")[0].getheader("set-cookie")
        return {"Cookie": cookie.split(";")[0]}


def wrk(port, head, seconds):
    """Requests answered in a second; none may fail."""
    script = 'done = function(s) local e = s.errors; print("got", s.requests / s.duration * 1e6, e.status + e.connect + e.read + e.write + e.timeout) end'
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        lua.write(script)
        lua.flush()
        command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "-s", lua.name, "-H", "Accept-Encoding: zstd"]
        command += [part for name, value in head.items() for part in ("-H", f"{name}: {value}")] + [f"http://127.0.0.1:{port}{PAGE}"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate, failed = re.search(r"^got\s+(\S+)\s+(\d+)", printed, re.M).groups()
    if int(failed):
        sys.exit(f"scale: {failed} requests failed")
    return float(rate)


def requests_by_servers(machine, site, seconds):
    """Requests in a second of a dashboard's page behind Caddy, by the number of servers, and without Caddy; and the share of a processor that PostgreSQL
    needs for each server that follows the lake while nobody asks for pages."""
    rates = {}
    for number in (1, 2, 4):
        with contextlib.ExitStack() as stack:
            ports = []
            for _ in range(number):
                port, _, stop = site.web()
                stack.callback(stop)
                ports.append(port)
            head, front = site.sign_in(ports[0]), free_port()
            environment = os.environ | {
                "SITE": f"http://127.0.0.1:{front}",
                "MATERIA_UPSTREAM": " ".join(f"127.0.0.1:{port}" for port in ports),
                "XDG_DATA_HOME": str(machine.folder),
                "XDG_CONFIG_HOME": str(machine.folder),
            }
            _, stop = machine.spawn(["caddy", "run", "--adapter", "caddyfile", "--config", ROOT / "web/Caddyfile"], "caddy.log", environment)
            stack.callback(stop)
            until("Caddy", lambda: get(front, "/health")[0].status == 200)
            # Every server draws the page once.
            for port in ports:
                get(port, PAGE, head | {"Accept-Encoding": "zstd"})
            wrk(front, head, 1)
            rates[number] = wrk(front, head, seconds)
            if number == 1:
                rates[0] = wrk(ports[0], head, seconds)
            if number == 4:
                time.sleep(2)
                before, begun = machine.seconds_of_postgres(), time.monotonic()
                time.sleep(seconds)
                share = (machine.seconds_of_postgres() - before) / (time.monotonic() - begun) / number
    return rates, share


def exports_of_one_changed(machine, rounds):
    """Seconds of exports into a lake: everything, and one table of many."""
    site = Site(machine, "many", is_lake=True)
    lakehouse = site.folder / "lakehouse.duckdb"

    def write(statements):
        with duckdb.connect(str(lakehouse)) as connection:
            connection.execute(statements)

    columns = "i AS id, i * 1.5 AS value, 'name ' || (i % 977) AS name, DATE '2020-01-01' + (i % 2000)::INTEGER AS day"
    write("CREATE SCHEMA serving;" + "".join(f"CREATE TABLE serving.t{t} AS SELECT {columns}, {t} AS turn FROM range({ROWS}) r(i);" for t in range(TABLES)))
    site.export()
    one, full = [], []
    for turn in range(rounds):
        write(f"UPDATE serving.t7 SET value = value + {turn + 1}; CHECKPOINT")
        one.append(site.export())
        full.append(site.export("--full"))
    return statistics.median(one), statistics.median(full)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def after_snapshots(site, rounds):
    """Milliseconds from an export's end to the first answer of its generation, of the first drawing of a page of it, and of the same page after that."""
    port, process, stop = site.web()
    try:
        head = site.sign_in(port)
        get(port, PAGE, head)
        noticed, first, again = [], [], []
        for _ in range(rounds):
            site.run("demo", ".", "--refresh")
            printed = site.run("export", "--json").splitlines()
            done = json.loads(printed[-1])
            generation = done.get("generation") or done["record"]["generation"]
            ended = time.monotonic()
            until("the new generation", lambda: get(port, "/ready")[1].find(generation.encode()) > 0)
            noticed.append((time.monotonic() - ended) * 1000)
            for times in (first, again):
                begun = time.monotonic()
                answer, _ = get(port, PAGE, head)
                times.append((time.monotonic() - begun) * 1000)
                if answer.status != 200:
                    sys.exit(f"scale: the page answered {answer.status}")
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        return noticed, first, again, int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
    finally:
        stop()


def told(machine, asked):
    run = lambda *command: subprocess.run(command, capture_output=True, text=True).stdout.strip()
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) / 1024 / 1024
    postgres = run(str(machine.programs / "postgres"), "--version").split()[2]
    return (
        f"- {run(str(machine.materia), '--version')}; DuckDB {duckdb.__version__} with its extensions; PostgreSQL {postgres}; s3s-fs 0.14.1; "
        f"Caddy {run('caddy', 'version').split()[0]}\n"
        f"- {os.cpu_count()} × {cpu[1] if cpu else 'processor'}, {memory:.1f} GB of memory, Linux {os.uname().release}; clients, servers, PostgreSQL, storage and Caddy "
        f"share them\n- {datetime.date.today()}, `./dev_run.sh scale{asked}`\n"
    )


def report(rates, share, exports, lake, file, versions):
    one, full = exports
    spread = lambda values: f"{percentile(values, 0.5):.0f} / {percentile(values, 0.99):.0f} ms"
    lines = [
        "| what | measured |",
        "| --- | ---: |",
        *(f"| requests/s of a dashboard behind Caddy, {n} servers against 1 | {rates[n] / rates[1]:.2f} |" for n in (2, 4)),
        f"| the same, 1 server without Caddy against 1 behind it | {rates[0] / rates[1]:.2f} |",
        f"| export of 1 changed table of {TABLES} against `--full`, into the lake | {one / full:.2f} ({full / one:.1f} times faster) |",
        f"| an export's end until a server answers from its generation, p50 / p99, lake | {spread(lake[0])} |",
        f"| the same, file | {spread(file[0])} |",
        f"| first drawing of a dashboard of a new generation, p50 / p99, lake | {spread(lake[1])} |",
        f"| the same, file | {spread(file[1])} |",
        f"| the same page again, p50 / p99, lake | {spread(lake[2])} |",
        f"| memory of one server after {len(lake[0])} generations, lake against file | {lake[3] / file[3]:.2f} ({lake[3]:.0f} MB against {file[3]:.0f} MB) |",
        f"| of one processor that PostgreSQL needs for each server that follows | {share:.2%} |",
        "",
        "On paper from these, for servers with processors of their own:",
        "",
        "| servers | requests/s, against one server behind Caddy here | questions to the catalog in a second | processors of PostgreSQL for them |",
        "| ---: | ---: | ---: | ---: |",
        *(f"| {n:,} | {n * rates[0] / rates[1]:,.0f} | {n * ASKS:,} | {n * share:.2f} |" for n in (1, 10, 100, 1000)),
    ]
    return "\n".join(lines) + "\n\n" + versions


def write_down(text):
    path = ROOT / "docs/scaling.md"
    page = path.read_text()
    section = "## Measured\n\nWritten by `./dev_run.sh scale --write`, never by hand.\n\n" + text
    before, _, rest = page.partition("## Measured\n")
    _, found, after = rest.partition("\n## ")
    path.write_text(before.rstrip("\n") + "\n\n" + section + (found + after if found else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("materia", type=pathlib.Path)
    parser.add_argument("s3", type=pathlib.Path, help="the program s3s-fs")
    parser.add_argument("--seconds", type=int, default=10, help="of each load")
    parser.add_argument("--rounds", type=int, default=20, help="snapshots that are followed")
    parser.add_argument("--write", action="store_true", help="into docs/scaling.md")
    asked = parser.parse_args()
    for program in ("wrk", "caddy"):
        shutil.which(program) or sys.exit(f"scale: {program} is missing (apt-get install {program})")
    with contextlib.ExitStack() as stack:
        machine = Machine(stack, asked.materia.resolve(), asked.s3.resolve())
        sites = [Site(machine, "lake", is_lake=True), Site(machine, "file", is_lake=False)]
        for site in sites:
            site.run("demo", ".")
            site.export()
            site.run("users", "seed")
        rates, share = requests_by_servers(machine, sites[0], asked.seconds)
        exports = exports_of_one_changed(machine, 3)
        lake, file = (after_snapshots(site, asked.rounds) for site in sites)
        arguments = "".join(f" {argument}" for argument in sys.argv[3:])
        text = report(rates, share, exports, lake, file, told(machine, arguments))
    print(text)
    if asked.write:
        write_down(text)


if __name__ == "__main__":
    main()
