"""Tests the API with schemathesis, with requests that its OpenAPI document allows and many that it does not: python contract.py path/to/materia

Requires schemathesis. Its check that every request that matches the document succeeds is disabled: JSON Schema cannot express the valid values of a
filter (a number in the range of its column, a date that exists), and an invalid one is refused with a problem document.
"""

import pathlib
import subprocess
import sys

from site_of_checks import Checks, Site

site = Site(sys.argv[1])
key = site.key()
command = [
    str(pathlib.Path(sys.executable).with_name("schemathesis")),
    "run",
    f"{site.base}/api/v1/openapi.json",
    "--header",
    f"Authorization: Bearer {key}",
    "--exclude-checks",
    "positive_data_acceptance",
    "--max-examples",
    sys.argv[2] if len(sys.argv) > 2 else "40",
    "--suppress-health-check",
    "all",
    "--request-timeout",
    "30",
]
checks = Checks()


def finds_nothing():
    ran = subprocess.run(command, cwd=site.folder, capture_output=True, text=True)
    print(ran.stdout[-6000:])
    assert ran.returncode == 0, f"it ended with {ran.returncode}\n{ran.stderr[-500:]}"
    log = (site.folder / "web.log").read_text()
    assert " ERROR " not in log and "panicked" not in log, "the site's log has errors"


checks.promise("schemathesis finds no failure", finds_nothing)
checks.end()
