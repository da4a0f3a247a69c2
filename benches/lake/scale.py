"""Benchmarks several servers on one DuckLake: `./dev_run.sh scale`.

Starts PostgreSQL, an S3 server (s3s-fs), one, two and four instances of `materia web`, and Caddy with `web/Caddyfile` in front, measures, prints ratios, and
stops everything. --write also updates docs/scaling.md, under "Measured".

Servers without a limit share this machine's processors with everything else, so their ratio says nothing about servers on machines of their own. For that, root
measures servers on hosts of their own: each has a network namespace and, by its cgroup, a small share of a processor, so that the rest of the machine is not
the limit.
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
# In the test suite, the benchmark only has to run.
IS_SHORT = bool(os.environ.get("MATERIA_BENCH_SHORT"))
TABLES, ROWS = (8, 100) if IS_SHORT else (50, 20_000)
PAGE = "/dashboard/pulse"
# The share of a processor of each host, and the period in which it may be used, in microseconds.
SHARE, PERIOD = 0.05, 20_000


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, probe, timeout=60):
    """Polls `probe` until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            if found := probe():
                return found
        if time.monotonic() > deadline:
            sys.exit(f"scale: timed out waiting for {what}")
        time.sleep(0.002)


def get(port, path, head=None, address="127.0.0.1"):
    connection = http.client.HTTPConnection(address, port, timeout=60)
    try:
        connection.request("GET", path, headers=head or {})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


class Network:
    """A bridge to hosts with a network namespace and a share of a processor each."""

    BRIDGE, PREFIX = "mscale0", "10.213.77"

    def __init__(self, stack):
        self.stack, self.address = stack, f"{self.PREFIX}.1"
        self.controller = next((folder for folder in map(pathlib.Path, ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup")) if (folder / "cgroup.procs").exists()), None)
        self.ip("link", "add", self.BRIDGE, "type", "bridge", undo=("link", "del", self.BRIDGE))
        self.ip("addr", "add", f"{self.address}/24", "dev", self.BRIDGE)
        self.ip("link", "set", self.BRIDGE, "up")

    @classmethod
    def start(cls, stack):
        """Returns the bridge, or None with the reason where there can be none."""
        try:
            network = cls(stack)
            network.host(0)
            return network
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"scale: without hosts of their own: {error}", file=sys.stderr)
            return None

    def ip(self, *arguments, undo=()):
        subprocess.run(["ip", *arguments], check=True, capture_output=True)
        if undo:
            self.stack.callback(subprocess.run, ["ip", *undo], capture_output=True)

    def host(self, number):
        """Makes a host; returns its address and what begins a command that runs on it."""
        name, link, address = f"mscale{number}", f"mscale-v{number}", f"{self.PREFIX}.{10 + number}"
        self.ip("netns", "add", name, undo=("netns", "del", name))
        self.ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name, undo=("link", "del", link))
        self.ip("link", "set", link, "master", self.BRIDGE, "up")
        self.ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            self.ip("-n", name, "link", "set", device, "up")
        group = self.controller / name
        group.mkdir(exist_ok=True)
        self.stack.callback(group.rmdir)
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{round(SHARE * PERIOD)} {PERIOD}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(round(SHARE * PERIOD)))
        # The group first: inside the namespace, /sys is another one.
        return address, ["sh", "-c", f'echo $$ >{group}/cgroup.procs && exec ip netns exec {name} "$@"', "sh"]


class Machine:
    """The running services and their common folder."""

    def __init__(self, stack, materia, s3, network):
        self.stack, self.materia, self.network = stack, materia, network
        self.address = network.address if network else "127.0.0.1"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="materia-scale-"))
        self.folder.chmod(0o755)
        stack.push(self.print_logs_and_remove)
        self.postgres, self.s3 = self.start_postgres(), self.start_s3(s3)
        self.databases = 0

    def print_logs_and_remove(self, problem, *_):
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
        # PostgreSQL refuses to run as root.
        owner = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        if owner:
            shutil.chown(data, "postgres", "postgres")
        made = [self.programs / "initdb", "--no-sync", "--auth=trust", "--username=materia", "--encoding=UTF8", "--locale=C.UTF-8", "-D", data]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd="/", **owner)
        with open(data / "pg_hba.conf", "a") as access:
            access.write(f"host all all {self.address}/24 trust\n")
        command = [self.programs / "postgres", "-D", data, "-p", str(port), "-c", f"listen_addresses={self.address}", "-c", "unix_socket_directories="]
        # SIGINT: a fast shutdown, which disconnects all clients.
        process, _ = self.spawn(command, "postgres.log", cwd="/", **owner)
        self.stack.callback(lambda: (process.send_signal(2), process.wait()))
        self.postmaster = process.pid
        self.psql = [self.programs / "psql", "-q", "-h", self.address, "-p", str(port), "-U", "materia", "postgres", "-c"]
        wait_for("PostgreSQL", lambda: subprocess.run([*self.psql, "SELECT 1"], capture_output=True).returncode == 0)
        return port

    def start_s3(self, program):
        port, place = free_port(), self.folder / "objects"
        (place / BUCKET).mkdir(parents=True)
        self.begin([program, "--host", self.address, "--port", str(port), "--access-key", KEY_ID, "--secret-key", SECRET, place], "s3.log")
        wait_for("the S3 server", lambda: socket.create_connection((self.address, port)).close() is None)
        return port

    def postgres_seconds(self):
        """Returns the processor time of PostgreSQL, including its current and former connections."""
        times = lambda pid, which: [int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[place]) for place in which]
        children = pathlib.Path(f"/proc/{self.postmaster}/task/{self.postmaster}/children").read_text().split()
        ticks = sum(times(self.postmaster, (11, 12, 13, 14))) + sum(sum(times(child, (11, 12))) for child in children)
        return ticks / os.sysconf("SC_CLK_TCK")

    def database(self):
        self.databases += 1
        name = f"measured_{self.databases}"
        subprocess.run([*self.psql, f"CREATE DATABASE {name}"], check=True)
        return name


class Site:
    """A lakehouse and its target: a lake or a file."""

    def __init__(self, machine, name, is_lake):
        self.machine, self.folder = machine, machine.folder / name
        self.folder.mkdir(exist_ok=True)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("MATERIA_", "AWS_", "SERVING_", "DUCKDB_PATH"))}
        self.environment |= {
            "MATERIA_EXTENSIONS": os.environ["MATERIA_EXTENSIONS"],
            "DATABASE_URL": f"postgres://materia@{machine.address}:{machine.postgres}/{machine.database()}",
            "DEBUG": "true",
            "ADMIN_EMAILS": "admin@example.test",
            "RUST_LOG": "warn",
            "MATERIA_REQUESTS_PER_MINUTE": "0",
        }
        if is_lake:
            self.environment |= {
                "SERVING_DUCKDB_PATH": f"ducklake:postgres:host={machine.address} port={machine.postgres} dbname={machine.database()} user=materia",
                "MATERIA_LAKE_DATA": f"s3://{BUCKET}/{name}",
                "AWS_ACCESS_KEY_ID": KEY_ID,
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": f"http://{machine.address}:{machine.s3}",
            }

    def run(self, *arguments):
        ran = subprocess.run([self.machine.materia, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True)
        if ran.returncode != 0:
            sys.exit(f"scale: materia {' '.join(arguments)}: {ran.stderr}")
        return ran.stdout

    def export(self, *arguments):
        """Runs an export and returns its seconds, from process start to exit."""
        begun = time.monotonic()
        self.run("export", "--quiet", *arguments)
        return time.monotonic() - begun

    def web(self, host=("127.0.0.1", [])):
        """Starts a server; returns its port, its process and a function that stops it."""
        (address, prefix), port = host, free_port()
        environment = self.environment | {"MATERIA_LISTEN": f"{address}:{port}"}
        if prefix:
            # Sign-in without mail, from the bridge.
            environment |= {"DEBUG_ANYWHERE": "true", "MATERIA_TRUSTED_PROXIES": self.machine.address}
        process, stop = self.machine.spawn([*prefix, self.machine.materia, "web"], "web.log", environment, cwd=self.folder)
        wait_for("materia web", lambda: get(port, "/ready", address=address)[0].status == 200)
        return port, process, stop

    def sign_in(self, port, address="127.0.0.1"):
        cookie = get(port, "/auth/dev-login?email=pro@example.test", address=address)[0].getheader("set-cookie")
        return {"Cookie": cookie.split(";")[0]}


def wrk(port, head, seconds):
    """Returns successful requests per second; exits if any request failed."""
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


def start_caddy(machine, stack, upstreams):
    """Starts Caddy in front of servers and returns its port."""
    front = free_port()
    environment = os.environ | {
        "SITE": f"http://127.0.0.1:{front}",
        "MATERIA_UPSTREAM": " ".join(upstreams),
        "XDG_DATA_HOME": str(machine.folder),
        "XDG_CONFIG_HOME": str(machine.folder),
    }
    _, stop = machine.spawn(["caddy", "run", "--adapter", "caddyfile", "--config", ROOT / "web/Caddyfile"], "caddy.log", environment)
    stack.callback(stop)
    wait_for("Caddy", lambda: get(front, "/health")[0].status == 200)
    return front


def processor_seconds():
    """Returns the time that all processors have spent on processes, and in total."""
    ticks = [int(number) for number in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def requests_by_hosts(machine, site, seconds):
    """Returns requests per second for a dashboard behind Caddy by the number of hosts, and the share of the machine's processors in use with most of them."""
    rates, busy = {}, 0
    with contextlib.ExitStack() as stack:
        hosts, upstreams = [], []
        for number in range(1, 5):
            host = machine.network.host(number)
            port, _, stop = site.web(host)
            stack.callback(stop)
            hosts.append((port, host[0]))
            upstreams.append(f"{host[0]}:{port}")
            if number == 3:
                continue
            with contextlib.ExitStack() as front_stack:
                front = start_caddy(machine, front_stack, upstreams)
                head = site.sign_in(*hosts[0])
                for port, address in hosts:
                    get(port, PAGE, head | {"Accept-Encoding": "zstd"}, address)
                wrk(front, head, 1)
                before = processor_seconds()
                rates[number] = wrk(front, head, seconds)
                used, total = (now - then for now, then in zip(processor_seconds(), before, strict=True))
                busy = used / total
    return rates, busy


def requests_by_servers(machine, site, seconds):
    """Returns requests per second for a dashboard behind Caddy, by number of servers (0: one server without Caddy), and the share of a processor that
    PostgreSQL needs for each idle server that follows the lake."""
    rates = {}
    for number in (1, 2, 4):
        with contextlib.ExitStack() as stack:
            ports = []
            for _ in range(number):
                port, _, stop = site.web()
                stack.callback(stop)
                ports.append(port)
            head = site.sign_in(ports[0])
            front = start_caddy(machine, stack, [f"127.0.0.1:{port}" for port in ports])
            # Warms up every server's page cache.
            for port in ports:
                get(port, PAGE, head | {"Accept-Encoding": "zstd"})
            wrk(front, head, 1)
            rates[number] = wrk(front, head, seconds)
            if number == 1:
                rates[0] = wrk(ports[0], head, seconds)
            if number == 4:
                time.sleep(2)
                before, begun = machine.postgres_seconds(), time.monotonic()
                time.sleep(seconds)
                share = (machine.postgres_seconds() - before) / (time.monotonic() - begun) / number
    return rates, share


def exports_of_one_changed(machine, rounds):
    """Returns the seconds of exports into a lake: of one changed table among many, and of all tables."""
    site = Site(machine, "many", is_lake=True)
    lakehouse = site.folder / "lakehouse.duckdb"

    def write(statements):
        with duckdb.connect(str(lakehouse)) as connection:
            connection.execute(statements)

    columns = "i AS id, i * 1.5 AS value, 'name ' || (i % 977) AS name, DATE '2020-01-01' + (i % 2000)::INTEGER AS day"
    write("CREATE SCHEMA serving;" + "".join(f"CREATE TABLE serving.t{t} AS SELECT {columns}, {t} AS number FROM range({ROWS}) r(i);" for t in range(TABLES)))
    site.export()
    one, full = [], []
    for number in range(rounds):
        write(f"UPDATE serving.t7 SET value = value + {number + 1}; CHECKPOINT")
        one.append(site.export())
        full.append(site.export("--full"))
    return statistics.median(one), statistics.median(full)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def after_snapshots(site, rounds):
    """Returns milliseconds from the end of an export to the first response from its generation, to render a page for the first time, and to serve it again."""
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
            wait_for("the new generation", lambda: get(port, "/ready")[1].find(generation.encode()) > 0)
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


def environment(machine, arguments):
    run = lambda *command: subprocess.run(command, capture_output=True, text=True).stdout.strip()
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) / 1024 / 1024
    postgres = run(str(machine.programs / "postgres"), "--version").split()[2]
    return (
        f"- {run(str(machine.materia), '--version')}; DuckDB {duckdb.__version__} with its extensions; PostgreSQL {postgres}; s3s-fs 0.14.1; "
        f"Caddy {run('caddy', 'version').split()[0]}\n"
        f"- {os.cpu_count()} × {cpu[1] if cpu else 'processor'}, {memory:.1f} GB of memory, Linux {os.uname().release}; clients, servers, PostgreSQL, storage and Caddy "
        f"share them\n- {datetime.date.today()}, `./dev_run.sh scale{arguments}`\n"
    )


def report(rates, share, hosts, exports, lake, file, versions):
    one, full = exports
    by_hosts = []
    if hosts:
        rates_of, busy = hosts
        what = f"requests/s of a dashboard behind Caddy, servers with {SHARE:.0%} of a processor each"
        by_hosts = [f"| {what}, {n} servers / 1 server | {rates_of[n] / rates_of[1]:.2f} |" for n in (2, 4)]
        by_hosts.append(f"| the machine's processors in use meanwhile, 4 servers | {busy:.0%} |")
    spread = lambda values: f"{percentile(values, 0.5):.0f} / {percentile(values, 0.99):.0f} ms"
    lines = [
        "| what | measured |",
        "| --- | ---: |",
        *by_hosts,
        *(f"| requests/s of a dashboard behind Caddy, {n} servers that share the processors / 1 server | {rates[n] / rates[1]:.2f} |" for n in (2, 4)),
        f"| the same, 1 server without Caddy / 1 server behind it | {rates[0] / rates[1]:.2f} |",
        f"| export of 1 changed table of {TABLES} / `--full`, into the lake | {one / full:.2f} ({full / one:.1f} times faster) |",
        f"| end of an export to a response from its generation, p50 / p99, lake | {spread(lake[0])} |",
        f"| the same, file | {spread(file[0])} |",
        f"| first rendering of a dashboard of a new generation, p50 / p99, lake | {spread(lake[1])} |",
        f"| the same, file | {spread(file[1])} |",
        f"| the same page again, p50 / p99, lake | {spread(lake[2])} |",
        f"| memory of one server after {len(lake[0])} generations, lake / file | {lake[3] / file[3]:.2f} ({lake[3]:.0f} MB / {file[3]:.0f} MB) |",
        f"| share of a processor that PostgreSQL needs per following server | {share:.2%} |",
    ]
    return "\n".join(lines) + "\n\n" + versions


def update_docs(text):
    path = ROOT / "docs/scaling.md"
    page = path.read_text()
    section = "## Measured\n\nGenerated by `./dev_run.sh scale --write`; do not edit.\n\n" + text
    before, _, rest = page.partition("## Measured\n")
    _, found, after = rest.partition("\n## ")
    path.write_text(before.rstrip("\n") + "\n\n" + section + (found + after if found else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("materia", type=pathlib.Path)
    parser.add_argument("s3", type=pathlib.Path, help="path of s3s-fs")
    parser.add_argument("--seconds", type=int, default=10, help="duration of each load test")
    parser.add_argument("--rounds", type=int, default=20, help="generations to publish and follow")
    parser.add_argument("--write", action="store_true", help="update docs/scaling.md")
    options = parser.parse_args()
    for program in ("wrk", "caddy"):
        shutil.which(program) or sys.exit(f"scale: {program} is missing (apt-get install {program})")
    with contextlib.ExitStack() as stack:
        # A debug build with a small share of a processor takes minutes to start.
        network = None if IS_SHORT else Network.start(stack)
        machine = Machine(stack, options.materia.resolve(), options.s3.resolve(), network)
        sites = [Site(machine, "lake", is_lake=True), Site(machine, "file", is_lake=False)]
        for site in sites:
            site.run("demo", ".")
            site.export()
            site.run("users", "seed")
        rates, share = requests_by_servers(machine, sites[0], options.seconds)
        hosts = requests_by_hosts(machine, sites[0], options.seconds) if network else None
        exports = exports_of_one_changed(machine, 3)
        lake, file = (after_snapshots(site, options.rounds) for site in sites)
        arguments = "".join(f" {argument}" for argument in sys.argv[3:])
        text = report(rates, share, hosts, exports, lake, file, environment(machine, arguments))
    print(text)
    if options.write:
        update_docs(text)


if __name__ == "__main__":
    main()
