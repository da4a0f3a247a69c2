"""``python -m materia`` and ``materia-duckdb``: the command materia of the same environment."""

from __future__ import annotations

import os
import sys
import sysconfig
from typing import NoReturn


def main() -> NoReturn:
    folders = [
        sysconfig.get_path("scripts"),
        sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")),
        os.path.dirname(sys.argv[0]),
    ]
    for folder in folders:
        command = os.path.join(folder, "materia")
        if os.access(command, os.X_OK):
            os.execv(command, ["materia", *sys.argv[1:]])
    sys.exit("materia-duckdb: the command materia is missing; install the package again")


if __name__ == "__main__":
    main()
