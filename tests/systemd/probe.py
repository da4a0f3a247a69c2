"""Requests a page at a fixed rate, and optionally reads one long download, until a file appears; prints what came of it.

probe.py URL STOP [--download URL KEY LINES GO]

Each request is sent at its time on a connection of its own, whether or not earlier ones have been answered. The download is read slowly
until the file GO exists, and then to its end.
"""

import http.client
import os
import ssl
import sys
import threading
import time
from urllib.parse import urlsplit

RATE = 50
CONTEXT = ssl._create_unverified_context()


def connect(url, timeout):
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if parts.scheme == "https":
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=CONTEXT), path
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout), path


def probe(url, began, results):
    try:
        connection, path = connect(url, 60)
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        connection.close()
        results.append((time.monotonic() - began, str(response.status)))
    except (OSError, http.client.HTTPException) as error:
        results.append((time.monotonic() - began, type(error).__name__))


def download(url, key, lines, go, result):
    connection, path = connect(url, 120)
    connection.request("GET", path, headers={"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"})
    response = connection.getresponse()
    read = found = 0
    try:
        while chunk := response.read(65_536):
            read += len(chunk)
            found += chunk.count(b"\n")
            if not os.path.exists(go):
                open(go + ".open", "w").close()
                time.sleep(0.1)
        result.append(f"status {response.status} megabytes {read // 1_000_000} {'whole' if found == lines + 1 else 'short'}")
    except (OSError, http.client.HTTPException) as error:
        result.append(f"status {response.status} megabytes {read // 1_000_000} {type(error).__name__}")


def main():
    url, stop = sys.argv[1:3]
    reading, result = None, []
    if len(sys.argv) > 4:
        address, key, lines, go = sys.argv[4:8]
        reading = threading.Thread(target=download, args=(address, key, int(lines), go, result))
        reading.start()
    results, threads, due = [], [], time.monotonic()
    while not os.path.exists(stop):
        thread = threading.Thread(target=probe, args=(url, time.monotonic(), results))
        thread.start()
        threads.append(thread)
        due += 1 / RATE
        time.sleep(max(0, due - time.monotonic()))
    for thread in threads:
        thread.join()
    failed = [outcome for _, outcome in results if outcome != "200"]
    print(f"probes {len(results)} failed {len(failed)} slowest {max(results)[0]:.3f}")
    if failed:
        print("failures", {outcome: failed.count(outcome) for outcome in failed})
    if reading:
        reading.join()
        print("download", *result)


main()
