"""What tests call in environments: nothing is imported here that these lack."""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from sysconfig import get_path
from typing import Any


def version_here(_: Any = None) -> str:
    """The version of the package that this process finds."""
    try:
        import greeting  # type: ignore[import-not-found]
    except ModuleNotFoundError:
        return ""
    return str(greeting.VERSION)


def found_here() -> list[str]:
    """Which of some packages this process finds."""
    return [name for name in ("bireme", "cloudpickle", "msgpack", "pytest", "numpy") if find_spec(name)]


def prefix(_: Any = None) -> str:
    """Where the environment of this process is."""
    return sys.prefix


def digest_here(name: str) -> str:
    """The digest of a file that lies with the packages of this process."""
    return sha256((Path(sys.prefix) / get_path("purelib", vars={"base": sys.prefix}) / name).read_bytes()).hexdigest()


def conda_here() -> dict[str, str]:
    """What this process has of an environment of conda."""
    tool = Path(sys.prefix, "bin", "tool").read_text()
    return {"prefix": sys.prefix, "executable": sys.executable, "CONDA_PREFIX": os.environ["CONDA_PREFIX"], "tool": tool}


def pid(_: Any = None) -> int:
    """The number of this process."""
    return os.getpid()


class Host:
    """An actor that looks around."""

    def version(self) -> str:
        return version_here()
