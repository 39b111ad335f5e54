"""Where tasks are in their code: each process of a worker tells it when a signal asks.

The signal is handled by Python on the main thread, which runs the task. So a process that is deep in native code, or holds
the interpreter, does not answer, and is named by its number instead.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Iterable
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import TYPE_CHECKING, Any

from . import fleet, worker_api
from .interrupts import STACKS
from .preload import directory_of_process

if TYPE_CHECKING:
    from .client import Client

#: How long to wait for answers, in seconds.
_ANSWER_S = 2.0
#: How often to look for them, in seconds.
_LOOK_S = 0.005
#: Stacks of tasks begin behind it.
_EXECUTOR = os.path.join(os.path.dirname(__file__), "executor.py")


def call_stack(client: Client, keys: Iterable[Any] | None) -> dict[str, dict[str, tuple[str, ...]]]:
    """The stacks of tasks that run, by workers' addresses and keys."""
    wanted = None if keys is None else {str(key) for key in keys}
    found = fleet.run(client, stacks_of_worker, (), {}, None, wait=True, on_error="raise") or {}
    stacks = {}
    for address, by_key in found.items():
        chosen = {key: stack for key, stack in by_key.items() if wanted is None or key in wanted}
        if chosen:
            stacks[address] = chosen
    return stacks


def stacks_of_worker() -> dict[str, tuple[str, ...]]:
    """What runs on a worker: asks the other processes of the one that runs this."""
    directory = _directory()
    directory.mkdir(exist_ok=True)
    asked = [pid for pid in _siblings() if _handles(pid)]
    for pid in asked:
        (directory / str(pid)).unlink(missing_ok=True)
        os.kill(pid, STACKS)
    until = monotonic() + _ANSWER_S
    stacks: dict[str, tuple[str, ...]] = {}
    while asked and monotonic() < until:
        for pid in [pid for pid in asked if (directory / str(pid)).exists()]:
            asked.remove(pid)
            told = json.loads((directory / str(pid)).read_text())
            if told is not None:
                stacks[told["key"]] = tuple(told["stack"])
        sleep(_LOOK_S)
    for pid in asked:
        stacks[f"process {pid}"] = (f"it does not answer from native code; `py-spy dump --native --pid {pid}` shows more",)
    return stacks


def answer(frame: FrameType | None) -> None:
    """Tells where this process is, which a signal has interrupted there."""
    attempt = worker_api.running()
    told = None
    if attempt is not None:
        stack = traceback.extract_stack(frame)
        ours = [n for n, entry in enumerate(stack) if entry.filename == _EXECUTOR]
        told = {"key": attempt.key, "stack": traceback.format_list(stack[max(ours, default=-1) + 1 :])}
    directory = _directory()
    # Whole at once, for whoever looks.
    part = directory / f".{os.getpid()}"
    part.write_text(json.dumps(told))
    part.rename(directory / str(os.getpid()))


def _directory() -> Path:
    return directory_of_process() / "stacks"


def _siblings() -> list[int]:
    """The other children of this process's worker."""
    worker = os.getppid()
    found: list[int] = []
    for children in Path(f"/proc/{worker}/task").glob("*/children"):
        found += [int(pid) for pid in children.read_text().split()]
    return [pid for pid in found if pid != os.getpid()]


def _handles(pid: int) -> bool:
    """Whether a process would handle the signal, which ends those that do not."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False  # It has left.
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
    return bool(caught >> (STACKS - 1) & 1)
