"""The functions that `cargo xtask conformance executor` calls, by their names."""

from __future__ import annotations

import os
import time
from typing import TypeVar

T = TypeVar("T")


def echo(value: T) -> T:
    """What it is given."""
    return value


def add(a: float, b: float) -> float:
    """The sum of two numbers."""
    return a + b


def fail(message: str) -> None:
    """Fails with a message."""
    raise RuntimeError(message)


def sleep(seconds: float) -> None:
    """Does nothing for so many seconds, unless somebody wants it to end."""
    time.sleep(seconds)


def print(line: str) -> None:
    """Prints a line."""
    import builtins

    builtins.print(line)


def bytes(count: int) -> bytearray:
    """So many bytes: each is its place modulo 251."""
    return (bytearray(range(251)) * (count // 251 + 1))[:count]


def variable(name: str) -> str | None:
    """A variable of its environment, or nothing."""
    return os.environ.get(name)
