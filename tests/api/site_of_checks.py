"""A separate site for the checks in this folder: a served file, accounts, a key."""

import atexit
import http.cookiejar
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request


class Site:
    """Serves `lakehouse` (a path, created by `make(connection)`), or the sample figures."""

    def __init__(self, materia, make=None, settings=""):
        self.materia = str(pathlib.Path(materia).resolve())
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="materia-api-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.base = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.env = dict(
            os.environ,
            DEBUG="true",
            BASE_URL=self.base,
            ADMIN_EMAILS="admin@example.test",
            MATERIA_REQUESTS_PER_MINUTE="0",
            DATABASE_URL=f"sqlite://{self.folder}/accounts.db",
        )
        if make is None:
            self.run("demo", ".")
        else:
            (self.folder / "materia.toml").write_text(settings)
            make(self.folder / "lakehouse.duckdb")
        self.run("export")
        self.run("users", "seed")
        listen = self.base.removeprefix("http://")
        log = open(self.folder / "web.log", "wb")
        self.server = subprocess.Popen([self.materia, "web", "--listen", listen], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        atexit.register(self.stop)
        self.eventually(lambda: urllib.request.urlopen(f"{self.base}/ready").status == 200)

    def run(self, *args):
        subprocess.run([self.materia, *args], cwd=self.folder, env=self.env, check=True, capture_output=True)

    def eventually(self, holds, most=20):
        deadline = time.monotonic() + most
        while True:
            try:
                if holds():
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                sys.exit(f"in vain; see {self.folder}/web.log")
            time.sleep(0.05)

    def key(self, email="pro@example.test"):
        """Creates a key as the settings page does."""
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        opener.open(f"{self.base}/auth/dev-login?email={email}").read()
        form = urllib.parse.urlencode({"key-name": "checks", "days": "30"}).encode()
        request = urllib.request.Request(f"{self.base}/settings/keys", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        return re.search(r"materia_[0-9a-f]{64}", opener.open(request).read().decode()).group()

    def get(self, path, key):
        return urllib.request.urlopen(urllib.request.Request(self.base + path, headers={"Authorization": f"Bearer {key}"}))

    def stop(self):
        if self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
        self.server.wait(40)


class Checks:
    """Prints a line for each guarantee; `end` exits with 1 if one was violated."""

    def __init__(self):
        self.broken = 0

    def promise(self, what, check):
        begun = time.monotonic()
        try:
            check()
            print(f"ok      {what} ({(time.monotonic() - begun) * 1000:.0f} ms)", flush=True)
        except Exception as error:
            self.broken += 1
            print(f"BROKEN  {what}: {type(error).__name__}: {error}", flush=True)

    def end(self):
        sys.exit(1 if self.broken else 0)
