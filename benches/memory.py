"""Memory of the site while generations are published under traffic from addresses that are never seen again.

    benches/memory.py MATERIA [--minutes 30] [--swaps 300] [--rate 40] [--lake EXTENSIONS] [--csv FILE]

It serves a demo with `materia web`, publishes a changed lakehouse at even intervals, and requests pages, panels, rows and downloads, each as a
client with an address of its own (X-Forwarded-For behind a trusted proxy). Every answer has to be 200. It prints the resident memory, open
files and threads as a table and a plot, and fails if memory in the last third exceeds that of the second by more than a tenth: what grows with
every generation or client does not stop growing. With MATERIA_BENCH_SHORT=1 it takes seconds and has no limit.
"""

import argparse
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PAGES = [
    "/",
    "/dashboard/pulse",
    "/dashboard/supply",
    "/dashboard/supply?years_from={year}",
    "/dashboard/trade",
    "/tables",
    "/tables/coffee_prices",
    "/tables/global_balance",
    "/pricing",
    "/ready",
]
CALLS = [
    "/api/v1/tables",
    "/api/v1/tables/coffee_prices/rows?limit=200",
    "/api/v1/tables/commodity_metrics/rows?limit=100&offset={page}",
    "/api/v1/tables/coffee_prices/download?format=csv",
    "/api/v1/dashboards",
]
WIDTH, HEIGHT = 72, 14


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, path, headers):
    """Returns the status of a request on a connection of its own, and its head."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as stream:
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close", "Accept-Encoding: zstd", *headers]
        stream.sendall("\r\n".join([*lines, "", ""]).encode())
        response = bytearray()
        while chunk := stream.recv(65_536):
            response += chunk
    head = response.split(b"\r\n\r\n", 1)[0].decode("latin-1")
    return int(head.split(" ")[1]), head


class Traffic:
    """Requests at a fixed rate, in threads, until it is stopped."""

    def __init__(self, port, cookie, key, rate):
        self.port, self.cookie, self.key, self.pause = port, cookie, key, 4 / rate
        self.stopped, self.lock = threading.Event(), threading.Lock()
        self.statuses, self.addresses = {}, 0
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(4)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        chance = random.Random(number)
        while not self.stopped.wait(self.pause):
            with self.lock:
                self.addresses += 1
                own = self.addresses
            address = f"2001:db8:{own >> 16:x}:{own & 0xFFFF:x}::1" if own % 2 else f"{10 + (own >> 24)}.{own >> 16 & 255}.{own >> 8 & 255}.{own & 255}"
            is_call = chance.random() < 0.3
            path = chance.choice(CALLS if is_call else PAGES).format(year=chance.randint(1990, 2024), page=chance.randint(1, 400))
            credentials = f"Authorization: Bearer {self.key}" if is_call else self.cookie if chance.random() < 0.7 else None
            try:
                status, _ = ask(self.port, path, [f"X-Forwarded-For: {address}", *([credentials] if credentials else [])])
            except OSError as error:
                status = type(error).__name__
            # Pages for customers send visitors to the sign-in form.
            good = status in (200, 303) if not is_call else status == 200
            outcome = "ok" if good else f"{status} {path.split('?')[0]}"
            with self.lock:
                self.statuses[outcome] = self.statuses.get(outcome, 0) + 1

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def used(pid):
    """Resident megabytes, open files and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    number = lambda name: int(re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[1])
    return number("VmRSS") / 1024, len(os.listdir(f"/proc/{pid}/fd")), number("Threads")


def plot(samples):
    """Memory over time, the largest value of each column."""
    most = max(memory for _, memory, *_ in samples)
    end = samples[-1][0]
    columns = [0.0] * WIDTH
    for at, memory, *_ in samples:
        column = min(WIDTH - 1, int(at / end * WIDTH))
        columns[column] = max(columns[column], memory)
    for row in range(HEIGHT, 0, -1):
        label = f"{most * row / HEIGHT:6.0f} MB" if row % 4 == 2 or row == HEIGHT else " " * 9
        print(f"{label} |" + "".join("#" if value >= most * (row - 0.5) / HEIGHT else " " for value in columns))
    print(" " * 10 + "+" + "-" * WIDTH)
    print(" " * 11 + f"0{end / 60:>{WIDTH - 5}.1f} min")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("materia", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--swaps", type=int, default=300)
    parser.add_argument("--rate", type=float, default=30)
    parser.add_argument("--lake", type=Path, metavar="EXTENSIONS", help="serve a DuckLake, with the extensions in this folder")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    if is_short := bool(os.environ.get("MATERIA_BENCH_SHORT")):
        options.minutes, options.swaps = 0.1, 3
    materia = str(options.materia.resolve())
    with tempfile.TemporaryDirectory() as folder:
        run(materia, folder, options, is_short)


def run(materia, folder, options, is_short):
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MATERIA_")} | {
        "DEBUG": "true",
        "ADMIN_EMAILS": "admin@example.test",
        "DATABASE_URL": f"sqlite://{folder}/accounts.db",
        "MATERIA_LISTEN": f"127.0.0.1:{port}",
        "MATERIA_TRUSTED_PROXIES": "127.0.0.1",
        "RUST_LOG": "warn",
    }
    if options.lake:
        environment |= {
            "SERVING_DUCKDB_PATH": f"ducklake:sqlite:{folder}/lake.sqlite",
            "MATERIA_LAKE_DATA": f"{folder}/data",
            "MATERIA_LAKE_GRACE": "0s",
            "MATERIA_EXTENSIONS": str(options.lake.resolve()),
        }
    command = lambda *args: subprocess.run([materia, *args], cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
    command("demo", ".")
    command("export", "--quiet")
    command("users", "seed")
    # No limit of a day or minute is what is tried.
    key = command("users", "key", "pro@example.test").strip()
    with open(f"{folder}/site.log", "w") as log:
        site = subprocess.Popen([materia, "web"], cwd=folder, env=environment, stderr=log)
    try:
        for _ in range(600):
            try:
                if ask(port, "/ready", [])[0] == 200:
                    break
            except OSError:
                time.sleep(0.1)
        head = ask(port, "/auth/dev-login?email=pro@example.test", [])[1]
        cookie = "Cookie: " + re.search(r"set-cookie: ([^;]*)", head)[1]
        traffic = Traffic(port, cookie, key, options.rate)
        began, samples, published, over = time.monotonic(), [], 0, threading.Event()

        def watch():
            while not over.wait(0.5):
                samples.append((time.monotonic() - began, *used(site.pid), published, traffic.addresses))

        watcher = threading.Thread(target=watch)
        watcher.start()
        interval = options.minutes * 60 / options.swaps
        while published < options.swaps:
            command("demo", ".", "--refresh")
            command("export", "--quiet")
            published += 1
            time.sleep(max(0, began + published * interval - time.monotonic()))
        over.set()
        watcher.join()
        traffic.stop()
    finally:
        site.send_signal(signal.SIGTERM)
        site.wait()
    report(samples, traffic, options, is_short)


def report(samples, traffic, options, is_short):
    if options.csv:
        rows = [f"{at:.1f},{memory:.1f},{files},{threads},{swaps},{addresses}" for at, memory, files, threads, swaps, addresses in samples]
        options.csv.write_text("\n".join(["seconds,megabytes,files,threads,generations,addresses", *rows, ""]))
    plot(samples)
    print(f"{'minutes':>8} {'MB':>7} {'files':>6} {'threads':>8} {'generations':>12} {'addresses':>10}")
    step = max(1, len(samples) // 12)
    for at, memory, files, threads, swaps, addresses in [*samples[::step], samples[-1]]:
        print(f"{at / 60:8.1f} {memory:7.0f} {files:6} {threads:8} {swaps:12} {addresses:10}")
    end = samples[-1][0]
    largest = lambda start, stop: max(memory for at, memory, *_ in samples if start * end <= at <= stop * end + 1)
    first, second, last = largest(0, 1 / 3), largest(1 / 3, 2 / 3), largest(2 / 3, 1)
    print(f"largest of the first third {first:.0f} MB, of the second {second:.0f} MB, of the last {last:.0f} MB: {last / second:.2f} of the second (at most 1.10)")
    failed = {outcome: count for outcome, count in traffic.statuses.items() if outcome != "ok"}
    print(f"requests {sum(traffic.statuses.values())}, failed {sum(failed.values())}")
    if failed:
        sys.exit(f"failed requests: {failed}")
    if last / second > 1.1 and not is_short:
        sys.exit("memory has not reached a plateau")


main()
