"""Finds the oldest glibc that a wheel runs on, and tags the wheel accordingly.

    tag_wheel.py WHEEL FOLDER

auditwheel repair is not needed: the only library that its policies do not allow is DuckDB's, which the wheel contains.
"""

import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

wheel, folder = Path(sys.argv[1]), Path(sys.argv[2])


def glibc_of(wheel):
    """Returns the newest glibc symbol version that any ELF file in the wheel uses."""
    newest = (0, 0)
    with tempfile.TemporaryDirectory() as unpacked:
        subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, unpacked], check=True)
        for file in Path(unpacked).rglob("*"):
            if not file.is_file() or file.open("rb").read(4) != b"\x7fELF":
                continue
            symbols = subprocess.run(
                ["objdump", "-T", file], check=True, capture_output=True, text=True
            ).stdout
            for found in re.finditer(r"GLIBC_(\d+)\.(\d+)", symbols):
                newest = max(newest, (int(found[1]), int(found[2])))
    return newest


major, minor = glibc_of(wheel)
tag = f"manylinux_{major}_{minor}_{platform.machine()}"
tools = Path(sys.executable).parent
subprocess.run(
    [tools / "wheel", "tags", "--remove", "--platform-tag", tag, wheel],
    check=True,
    stdout=subprocess.DEVNULL,
)
[tagged] = wheel.parent.glob("*.whl")
# A cross-check in the build log: auditwheel prints the policy that it finds.
shown = subprocess.run(
    [tools / "auditwheel", "show", tagged], capture_output=True, text=True, check=False
)
print(shown.stdout.strip() or shown.stderr.strip())
target = folder / tagged.name
tagged.replace(target)
print(target)
