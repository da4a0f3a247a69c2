"""Benchmarks `materia postgres`, as ratios: `./dev_run.sh postgres`.

    postgres.py MATERIA BARE_READER [--seconds 60] [--rows 10000000] [--only storm,fair,rate,copy]

storm   32 pgbench clients read while the served file is replaced 5 times a second: errors, staleness, p99 with swaps and without
fair    p99 of small statements beside an account that runs one endless statement, or all that it may, compared with none
rate    the same clients without swaps, compared with the reader alone in a process (examples/bare_reader.rs)
copy    COPY TO STDOUT of one table, read by psql, compared with PostgreSQL and the same table

Needs Python with duckdb, and PostgreSQL with psql and pgbench. Everything shares this machine's processors, on loopback.
"""

import argparse
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import duckdb

CLIENTS, SWAPS_PER_SECOND = 32, 5
TABLE_ROWS = 100_000
# Every row of a generation has its number: an answer tells which one it is of.
QUERY = "SELECT run, value FROM numbers WHERE id = {id}"


def say(text):
    print(text, flush=True)


def postgres_programs():
    versions = pathlib.Path("/usr/lib/postgresql").glob("*/bin")
    newest = sorted(versions, key=lambda path: int(path.parent.name))
    if not newest:
        sys.exit("postgres.py: PostgreSQL is missing; install it with: apt-get install postgresql")
    return newest[-1]


def as_postgres():
    """PostgreSQL refuses to run as root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.getuid() == 0 else []


class Site:
    """A served file, with an account and a key."""

    def __init__(self, materia, folder, clients):
        self.materia, self.folder = materia, folder
        (folder / "materia.toml").write_text(
            f"[export]\nkeep = 1000\n[postgres]\nlisten = '127.0.0.1:0'\nconnections = {2 * clients}\n[postgres.limits.pro]\nconnections = {2 * clients}\nstatements = 16\n"
        )
        self.env = {**os.environ, "MATERIA_LOG_FORMAT": "json", "ADMIN_EMAILS": "admin@example.test"}

    def run(self, *args):
        return subprocess.run([self.materia, *args], cwd=self.folder, env=self.env, check=True, capture_output=True, text=True).stdout

    def lakehouse(self, sql):
        path = self.folder / "lakehouse.duckdb"
        path.unlink(missing_ok=True)
        with duckdb.connect(str(path)) as connection:
            connection.execute("CREATE SCHEMA serving")
            connection.execute(sql)

    def publish(self):
        self.run("export")

    @contextlib.contextmanager
    def endpoint(self):
        self.run("users", "seed")
        self.key = self.run("users", "key", "pro@example.test", "--sql").strip()
        log = self.folder / "postgres.log"
        with log.open("w") as stderr:
            process = subprocess.Popen([self.materia, "postgres"], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stderr=stderr)
        try:
            while True:
                lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
                found = [line["address"] for line in lines if "address" in line]
                if found:
                    break
                if process.poll() is not None:
                    sys.exit(log.read_text())
                time.sleep(0.02)
            self.port = int(found[0].split(",")[0].rsplit(":", 1)[1])
            yield
        finally:
            process.terminate()
            process.wait()

    def environment(self):
        return {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "x", "PGDATABASE": "analytics", "PGPASSWORD": self.key, "PGSSLMODE": "disable"}


class Client:
    """The protocol's simple query, one row of text."""

    def __init__(self, port, key):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")
        self.send(b"", struct.pack(">I", 196608) + b"user\0x\0\0")
        self.message()
        self.send(b"p", key.encode() + b"\0")
        while self.message()[0] != b"Z":
            pass

    def send(self, kind, body):
        self.socket.sendall(kind + struct.pack(">I", len(body) + 4) + body)

    def message(self):
        kind, length = self.file.read(1), struct.unpack(">I", self.file.read(4))[0]
        return kind, self.file.read(length - 4)

    def run(self, sql):
        self.send(b"Q", sql.encode() + b"\0")
        values = []
        while True:
            kind, body = self.message()
            if kind == b"E":
                raise RuntimeError(body)
            if kind == b"D":
                at, values = 2, []
                while at < len(body):
                    length = struct.unpack(">i", body[at : at + 4])[0]
                    values.append(body[at + 4 : at + 4 + max(length, 0)].decode())
                    at += 4 + max(length, 0)
            if kind == b"Z":
                return values


def pgbench(site, seconds):
    """Returns transactions per second, failures and the p99 in ms."""
    script = site.folder / "select.sql"
    script.write_text(f"\\set id random(1, {TABLE_ROWS})\n" + QUERY.format(id=":id") + ";\n")
    for old in site.folder.glob("pgbench_log*"):
        old.unlink()
    args = ["pgbench", "-n", "-c", str(CLIENTS), "-j", "2", "-M", "prepared", "-T", str(seconds), "-f", str(script), "-l", f"--log-prefix={site.folder}/pgbench_log"]
    ran = subprocess.run(args, env=site.environment(), capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(f"pgbench: {ran.stdout}{ran.stderr}")
    latencies = []
    for log in site.folder.glob("pgbench_log*"):
        for line in log.read_text().splitlines():
            words = line.split()
            latencies.append(float("inf") if words[2] == "failed" else float(words[2]))
    latencies.sort()
    failed = sum(1 for latency in latencies if latency == float("inf"))
    return len(latencies) / seconds, failed, latencies[int(len(latencies) * 0.99)] / 1000


def storm(site, seconds):
    swaps = seconds * SWAPS_PER_SECOND
    # Exported ahead of time: five exports a second would take the processors that are measured.
    generations = []
    for run in range(1, swaps + 2):
        site.lakehouse(f"CREATE TABLE serving.numbers AS SELECT i AS id, {run} AS run, i * 1.5 AS value FROM range(1, {TABLE_ROWS + 1}) t(i)")
        site.publish()
        generations.append(max((site.folder / "analytics.generations").glob("*.duckdb")))
    served = site.folder / "analytics.duckdb"

    def publish(run):
        link = site.folder / "next"
        os.link(generations[run - 1], link)
        os.replace(link, served)

    publish(1)
    with site.endpoint():
        pgbench(site, min(seconds, 5))
        calm, failed_calm, p99_calm = pgbench(site, seconds)
        published, over, problems, checks, lags = [1], threading.Event(), [], [0], []

        def check():
            client, newest = Client(site.port, site.key), 0
            while not over.is_set():
                before = published[0]
                run = int(client.run(QUERY.format(id=1))[0])
                checks[0] += 1
                # What was published before the statement began, or newer.
                lags.append(max(0, before - run))
                if run < newest:
                    problems.append(f"generation {run} after {newest}")
                newest = max(run, newest)

        def swap():
            begun = time.monotonic()
            for run in range(2, swaps + 2):
                time.sleep(max(0, begun + (run - 1) / SWAPS_PER_SECOND - time.monotonic()))
                if over.is_set():
                    return
                publish(run)
                published[0] = run

        threads = [threading.Thread(target=check), threading.Thread(target=swap)]
        for thread in threads:
            thread.start()
        busy, failed_busy, p99_busy = pgbench(site, seconds)
        over.set()
        for thread in threads:
            thread.join()
        say(f"storm: {CLIENTS} clients, {published[0] - 1} swaps in {seconds} s: {failed_busy} errors (without swaps {failed_calm})")
        say(f"storm: p99 with swaps {p99_busy:.2f} ms, without {p99_calm:.2f} ms: {p99_busy - p99_calm:+.2f} ms; throughput with swaps / without: {busy / calm:.2f}")
        say(f"storm: {checks[0]} checked answers: {len(problems)} went back; {sum(1 for lag in lags if lag > 0)} were of a generation older than the one published before the statement began (by {max(lags, default=0)} at most)")
        for problem in problems[:5]:
            say(f"storm: PROBLEM {problem}")


def fair(site, seconds):
    """Small statements of one account beside those of another one of the same plan, in the same engine."""
    endless = "SELECT count(*) FROM range(1000000000000) a"
    small = ("SELECT value FROM numbers WHERE id = 77", "SELECT id % 100 AS k, sum(value) FROM numbers GROUP BY k ORDER BY k LIMIT 1")
    site.lakehouse(f"CREATE TABLE serving.numbers AS SELECT i AS id, i * 1.5 AS value FROM range({10 * TABLE_ROWS}) t(i)")
    site.publish()
    with site.endpoint():
        site.run("users", "set-plan", "free@example.test", "pro")
        greedy = site.run("users", "key", "free@example.test", "--sql").strip()
        calm = Client(site.port, site.key)

        def times():
            taken, end = [[] for _ in small], time.monotonic() + seconds
            while time.monotonic() < end:
                for own, sql in zip(taken, small):
                    begun = time.monotonic()
                    calm.run(sql)
                    own.append(1000 * (time.monotonic() - begun))
            return [(sorted(own)[len(own) // 2], sorted(own)[int(len(own) * 0.99)]) for own in taken]

        times()
        alone = times()
        for hogs in (1, 8):
            clients = [Client(site.port, greedy) for _ in range(hogs)]
            for client in clients:
                client.send(b"Q", endless.encode() + b"\0")
            # They are no longer new after a while.
            time.sleep(1)
            for name, (p50, p99), (p50_alone, p99_alone) in zip(("lookup", "aggregate"), times(), alone):
                say(f"fair: {name} beside {hogs} endless: p50 {p50:.1f} ms ({p50 / p50_alone:.2f} of alone), p99 {p99:.1f} ms ({p99 / p99_alone:.2f} of alone)")
            for client in clients:
                client.file.close()
                client.socket.close()
            time.sleep(1)


def rate(site, bare, seconds):
    site.lakehouse(f"CREATE TABLE serving.numbers AS SELECT i AS id, 1 AS run, i * 1.5 AS value FROM range(1, {TABLE_ROWS + 1}) t(i)")
    site.publish()
    with site.endpoint():
        rates = []
        for _ in range(3):
            endpoint, failed, _ = pgbench(site, seconds)
            args = [bare, str(site.folder / "analytics.duckdb"), str(CLIENTS), str(seconds), str(TABLE_ROWS), QUERY.format(id="$1")]
            alone = float(subprocess.run(args, check=True, capture_output=True, text=True).stdout)
            rates.append((endpoint / alone if alone else float("inf"), endpoint, alone, failed))
        ratio, endpoint, alone, failed = sorted(rates)[1]
        say(f"rate: endpoint {endpoint:.0f}/s, reader alone {alone:.0f}/s: ratio {ratio:.2f} (median of 3; all: {', '.join(f'{one[0]:.2f}' for one in rates)}); {failed} errors")


def copy(site, rows):
    select = f"SELECT i AS id, i % 1000 AS category, i * 1.5 AS value, 'name ' || i AS name, DATE '2020-01-01' + (i % 1000)::INTEGER AS day FROM range({rows}) t(i)"
    site.lakehouse(f"CREATE TABLE serving.large AS {select}")
    site.publish()
    programs = postgres_programs()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="materia-pg-"))
    folder.chmod(0o755)
    if os.getuid() == 0:
        shutil.chown(folder, pwd.getpwnam("postgres").pw_uid)
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    subprocess.run([*as_postgres(), programs / "initdb", "-D", folder / "data", "--auth=trust", "--username=materia", "--no-sync"], **quiet)
    options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c shared_buffers=2GB -c max_wal_size=8GB"
    subprocess.run([*as_postgres(), programs / "pg_ctl", "-D", folder / "data", "-o", options, "-w", "-l", folder / "log", "start"], **quiet)
    try:
        base = {**os.environ, "PGHOST": "127.0.0.1", "PGSSLMODE": "disable"}
        postgres = {**base, "PGPORT": str(port), "PGUSER": "materia", "PGDATABASE": "postgres"}

        def psql(env, sql):
            begun = time.monotonic()
            with open(os.devnull, "w") as nowhere:
                subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql], env=env, check=True, stdout=nowhere)
            return time.monotonic() - begun

        with site.endpoint():
            psql(postgres, "CREATE TABLE large (id bigint, category bigint, value numeric(20, 1), name text, day date)")
            source = subprocess.Popen(["psql", "-X", "-q", "-c", "COPY large TO STDOUT"], env=site.environment(), stdout=subprocess.PIPE)
            subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", "COPY large FROM STDIN"], env=postgres, stdin=source.stdout, check=True)
            if source.wait() != 0:
                sys.exit("postgres.py: COPY from the endpoint failed")
            psql(postgres, "VACUUM ANALYZE large")
            for name, options in (("text", ""), ("CSV", " WITH (FORMAT csv)"), ("binary", " WITH (FORMAT binary)")):
                sql = f"COPY large TO STDOUT{options}"
                times = []
                for _ in range(3):
                    times.append((psql(site.environment(), sql), psql(postgres, sql)))
                own, other = (sorted(column)[1] for column in zip(*times))
                say(f"copy: {rows} rows as {name}: endpoint {own:.2f} s, PostgreSQL {other:.2f} s: {other / own:.2f} times as fast (medians of 3)")
    finally:
        subprocess.run([*as_postgres(), programs / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("materia")
    parser.add_argument("bare_reader")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--only", default="storm,fair,rate,copy")
    args = parser.parse_args()
    for program in ("psql", "pgbench"):
        if not shutil.which(program):
            sys.exit(f"postgres.py: {program} is missing; install it with: apt-get install postgresql postgresql-contrib")
    materia, bare = str(pathlib.Path(args.materia).resolve()), str(pathlib.Path(args.bare_reader).resolve())
    for part in args.only.split(","):
        with tempfile.TemporaryDirectory(prefix="materia-postgres-") as folder:
            site = Site(materia, pathlib.Path(folder), CLIENTS)
            if part == "storm":
                storm(site, args.seconds)
            elif part == "fair":
                fair(site, min(args.seconds, 10))
            elif part == "rate":
                rate(site, bare, min(args.seconds, 15))
            elif part == "copy":
                copy(site, args.rows)


if __name__ == "__main__":
    main()
