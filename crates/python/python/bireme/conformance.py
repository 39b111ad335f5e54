"""The functions that `cargo xtask conformance executor` calls, by their names, and the class of which it makes actors."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TypeVar

from .actor_api import actor_exit, current_call

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


class Counter:
    """Counts from a number that must not be negative."""

    def __init__(self, n: float) -> None:
        if n < 0:
            raise ValueError(f"cannot count from {n}")
        self.n = n

    def add(self, x: float) -> float:
        """The count, after adding a number."""
        self.n += x
        return self.n

    def echo(self, value: T) -> T:
        """What it is given."""
        return value

    def fail(self, message: str) -> None:
        """Fails with a message."""
        raise RuntimeError(message)

    def sleep(self, seconds: float) -> None:
        """Does nothing for so many seconds, unless somebody wants it to end."""
        current_call().wait_cancelled(seconds)

    def upwards(self, count: int) -> Iterator[float]:
        """So many numbers, from the count on."""
        for n in range(count):
            yield self.n + n

    def leave(self) -> None:
        """Ends the actor."""
        actor_exit()
