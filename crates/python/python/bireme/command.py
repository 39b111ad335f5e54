"""The command line `bireme`, which is a program of the package, as its daemons are."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    """Becomes the program, which gets all arguments."""
    # Not on PATH: there it is this script.
    places = [os.environ.get("BIREME_BIN"), str(Path(__file__).parent / "bin")]
    program = shutil.which("bireme", path=os.pathsep.join(place for place in places if place))
    if program is None:
        sys.exit(
            "this installation of the package has no command line; install the package anew, or build the program by "
            "`cargo install --path crates/cli` and name its directory in BIREME_BIN"
        )
    os.execv(program, ["bireme", *sys.argv[1:]])
