"""Classes for tests to make actors of."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import bireme


class Counter:
    """A simple class to manage an incrementing counter."""

    n = 0

    def __init__(self, n: int = 0) -> None:
        self.n = n

    def increment(self) -> int:
        self.n += 1
        return self.n

    def add(self, x: int) -> int:
        self.n += x
        return self.n

    def pid(self) -> int:
        return os.getpid()

    def crash(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Recorder:
    """Keeps what it is told, in the order in which it is told."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def keep(self, what: Any) -> None:
        self.kept.append(what)

    def all_kept(self) -> list[Any]:
        return self.kept

    def kept_sizes(self) -> list[tuple[int, int]]:
        return [(n, len(data)) for n, data in self.kept]

    def wait_for(self, path: str) -> str:
        """Waits for whoever writes into a named pipe."""
        return Path(path).read_text()


class Awkward:
    """Does what actors should not."""

    def __init__(self, problem: str = "") -> None:
        if problem:
            raise ValueError(problem)

    def refuse(self, text: str) -> None:
        raise KeyError(text)

    def lock(self) -> Any:
        return threading.Lock()

    def leave(self) -> None:
        bireme.actor_exit()

    def print_and_return(self, text: str) -> str:
        print(text)
        return text


class Meeting:
    """Coroutines that wait for each other."""

    def __init__(self) -> None:
        self.here = 0
        self.all_here = asyncio.Event()
        self.most = 0

    async def meet(self, expected: int) -> int:
        self.here += 1
        if self.here == expected:
            self.all_here.set()
        await self.all_here.wait()
        return self.here

    async def alone(self) -> int:
        self.here += 1
        self.most = max(self.most, self.here)
        await asyncio.sleep(0)
        self.here -= 1
        return self.most

    def upwards(self, count: int) -> Iterator[int]:
        assert bireme.current_call().method == "upwards"
        yield from range(count)

    async def downwards(self, count: int) -> AsyncIterator[int]:
        for n in range(count, 0, -1):
            await asyncio.sleep(0)
            yield n

    def breaks(self) -> Iterator[int]:
        yield 1
        raise ValueError("no more")


class Desk:
    """Has a lane for questions beside the one for work."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def work(self) -> str:
        self.opened.wait()
        return "worked"

    @bireme.method(lane="questions")
    def open(self) -> str:
        self.opened.set()
        return "open"


class Caller:
    """Calls other actors."""

    def __init__(self, other: Any = None) -> None:
        self.other = other

    def know(self, other: Any) -> None:
        self.other = other

    def ask(self, method: str, *args: Any) -> Any:
        return getattr(self.other, method)(*args).result(30)

    def ask_of(self, other: Any, method: str) -> Any:
        return getattr(other, method)().result(30)

    async def ask_async(self, method: str, *args: Any) -> Any:
        return await getattr(self.other, method)(*args)

    def ask_back(self) -> Any:
        return self.other.ask("answer").result(30)

    def answer(self) -> str:
        return "answered"


class Left:
    """Calls another actor while that calls it."""

    def __init__(self) -> None:
        self.other: Any = None

    def know(self, other: Any) -> None:
        self.other = other

    def cross(self, pipe: str, mode: str) -> Any:
        # Each end opens when the other does: both methods run.
        open(pipe, mode).close()
        return self.other.answer().result()

    def answer(self) -> str:
        return "answered"


class Right(Left):
    """Its like."""


class Ledger:
    """Keeps a total, and says how it is written down."""

    def __init__(self) -> None:
        self.total = 0
        self.restored = 0

    def pay(self, amount: int) -> int:
        self.total += amount
        return self.total

    def times_restored(self) -> int:
        return self.restored

    @bireme.method(delivery="at_most_once")
    def pid(self) -> int:
        return os.getpid()

    @bireme.method(journal="result")
    def drawn(self) -> int:
        """Another one each time it is called."""
        self.total += int.from_bytes(os.urandom(4), "big")
        return self.total

    def __checkpoint__(self) -> tuple[int, int]:
        return self.total, self.restored

    def __restore__(self, state: tuple[int, int]) -> None:
        self.total, self.restored = state[0], state[1] + 1


class Unreadable:
    """Can be pickled, and not be read back."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("no number",)


def use(counter: Any, x: int) -> int:
    """A task that calls an actor."""
    return int(counter.add(x).result(30))


def use_by_name(name: str) -> int:
    return int(bireme.get_client().get_actor(name).increment().result(30))


class Forwarder:
    """Passes on to another actor what it is told, and counts what it passes on."""

    def __init__(self, other: Any, first: int = 0) -> None:
        self.other = other
        self.passed = 0
        if first:
            other.pay(first)

    def forward(self, amount: int) -> int:
        self.passed += 1
        return int(self.other.pay(amount).result(30))

    def leave_behind(self, amounts: list[int]) -> int:
        for amount in amounts:
            self.other.pay(amount)
        self.passed += len(amounts)
        return self.passed

    def forward_and_die(self, amount: int) -> None:
        self.other.pay(amount).result(30)
        os._exit(9)

    @bireme.method(lane="aside", delivery="at_most_once")
    def pid(self) -> int:
        return os.getpid()


def ask_back(caller: Any) -> Any:
    return caller.ask_back().result(30)
