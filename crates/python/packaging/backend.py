"""Builds the package: the daemons and the command line first, which go into the wheel, then with maturin the rest.

An embedded cluster starts the daemons of its own package, so that all are always of one version.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import maturin  # type: ignore[import-untyped]

PACKAGE = Path(__file__).resolve().parent.parent
BIN = PACKAGE / "python" / "bireme" / "bin"
#: Programs of the package, by the packages of cargo that they are built from.
PROGRAMS = {"bireme-scheduler": "bireme-scheduler", "bireme-worker": "bireme-worker", "bireme-cli": "bireme"}
#: How they are built, and the extension; a check of the packaging is content with less.
PROFILE = os.environ.get("BIREME_WHEEL_PROFILE", "wheel")

build_sdist = maturin.build_sdist


def get_requires_for_build_wheel(settings: Any = None) -> list[str]:
    """Nothing: maturin would have a toolchain downloaded, of which nobody knows."""
    _cargo()
    return []


get_requires_for_build_sdist = get_requires_for_build_wheel
get_requires_for_build_editable = get_requires_for_build_wheel


def prepare_metadata_for_build_wheel(directory: str, settings: Any = None) -> str:
    return str(maturin.prepare_metadata_for_build_wheel(directory, _settings(settings)))


def prepare_metadata_for_build_editable(directory: str, settings: Any = None) -> str:
    return str(maturin.prepare_metadata_for_build_editable(directory, _settings(settings)))


def build_wheel(directory: str, settings: Any = None, metadata: str | None = None) -> str:
    _build_programs()
    return str(maturin.build_wheel(directory, _settings(settings), metadata))


def build_editable(directory: str, settings: Any = None, metadata: str | None = None) -> str:
    _build_programs()
    return str(maturin.build_editable(directory, _settings(settings), metadata))


def _settings(settings: Any) -> Any:
    """The stable ABI has buffers from Python 3.11 on: an older one gets a build of its own."""
    settings = dict(settings or {})
    own = ["--profile", PROFILE] + ([] if sys.version_info >= (3, 11) else ["--no-default-features"])
    settings.setdefault("build-args", " ".join(own))
    return settings


def _build_programs() -> None:
    """Builds them in the target directory that maturin uses too, and copies them into the package."""
    packages = [word for package in PROGRAMS for word in ("--package", package)]
    command = [_cargo(), "build", "--profile", PROFILE, "--bins", *packages, "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=PACKAGE, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit(f"the daemons and the command line cannot be built; above, cargo says why ({' '.join(command)})")
    BIN.mkdir(exist_ok=True)
    for line in built.stdout.splitlines():
        message = json.loads(line)
        executable = message.get("executable")
        if executable and message["target"]["name"] in PROGRAMS.values():
            shutil.copy(executable, BIN)


def _cargo() -> str:
    """The path of cargo. Ends the build where there is none, in words that pip shows."""
    named = os.environ.get("CARGO", "cargo")
    cargo = shutil.which(named)
    if cargo is None:
        sys.exit(
            f"bireme is built by Rust 1.95 or newer, and {named!r} is not found; install it from https://rustup.rs, "
            "or put it on PATH"
        )
    return cargo
