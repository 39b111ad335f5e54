"""Functions for tests to run on workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bireme import get_client


def increment(x: int) -> int:
    return x + 1


def add(x: Any, y: Any = 0) -> Any:
    return x + y


def refuse(text: str) -> None:
    raise ValueError(text)


def note(path: str, value: int) -> int:
    """Leaves a line that tells that it ran."""
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return value


def read(path: str) -> str:
    """Waits for whoever writes into a named pipe."""
    return Path(path).read_text()


def process(_: Any = None) -> int:
    return os.getpid()


def nested(x: int) -> int:
    """Submits a task of its own, and waits for it."""
    return int(get_client().submit(increment, x).result()) + 10
