"""What tests call in environments: nothing is imported here that these lack."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
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


def pid(_: Any = None) -> int:
    """The number of this process."""
    return os.getpid()


class Host:
    """An actor that looks around."""

    def version(self) -> str:
        return version_here()
