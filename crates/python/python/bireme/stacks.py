"""Where tasks are in their code: each process of a worker tells it when a signal asks.

The signal is taken by a thread that does nothing else, which looks at the main thread, where tasks run. A process of which
native code holds the interpreter does not answer, and is named by its number instead.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from threading import main_thread
from time import monotonic, sleep
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
    began = monotonic()
    asked = {pid for pid in _siblings() if _handles(pid) and _ask(pid)}
    stacks: dict[str, tuple[str, ...]] = {}
    while asked and monotonic() < began + _ANSWER_S:
        for pid in list(asked):
            said = _said(directory, pid, began)
            if said is not None:
                asked.remove(pid)
                stacks.update(said)
            elif not _handles(pid):
                asked.remove(pid)  # It has left meanwhile.
        if asked:
            sleep(_LOOK_S)
    _clear(directory)
    for pid in asked:
        stacks[f"process {pid}"] = (f"it does not answer from native code; `py-spy dump --native --pid {pid}` shows more",)
    return stacks


def answer() -> None:
    """Tells where the main thread of this process is."""
    # Before the stack is taken: whoever asked earlier can use it.
    told: dict[str, Any] = {"at": monotonic()}
    attempt, frame = worker_api.running(), sys._current_frames().get(main_thread().ident or 0)
    if attempt is not None and frame is not None:
        stack = traceback.extract_stack(frame)
        ours = [n for n, entry in enumerate(stack) if entry.filename == _EXECUTOR]
        told["stacks"] = {attempt.key: traceback.format_list(stack[max(ours, default=-1) + 1 :])}
    directory = _directory()
    # Whole at once, for whoever looks.
    part = directory / f".{os.getpid()}"
    part.write_text(json.dumps(told))
    part.rename(directory / str(os.getpid()))


def _said(directory: Path, pid: int, since: float) -> dict[str, tuple[str, ...]] | None:
    """What a process has said since then; None if it has not."""
    try:
        told = json.loads((directory / str(pid)).read_text())
    except FileNotFoundError:
        return None
    if told["at"] < since:
        return None  # To somebody who asked earlier, whose file it stays: several may ask at a time.
    return {key: tuple(stack) for key, stack in told.get("stacks", {}).items()}


def _clear(directory: Path) -> None:
    """Removes what processes said that have left."""
    for told in directory.iterdir():
        if not Path("/proc", told.name.removeprefix(".")).exists():
            told.unlink(missing_ok=True)


def _directory() -> Path:
    # Those of actors, and of environments, have directories beside this one's: this is above all of a worker.
    return directory_of_process().parent / "stacks"


def _siblings() -> list[int]:
    """The other children of this process's worker."""
    found: list[int] = []
    for children in Path(f"/proc/{os.getppid()}/task").glob("*/children"):
        found += [int(pid) for pid in _read(children).split()]
    return [pid for pid in found if pid != os.getpid()]


def _ask(pid: int) -> bool:
    """Sends a process the signal, unless it has left."""
    try:
        os.kill(pid, STACKS)
    except ProcessLookupError:
        return False
    return True


def _handles(pid: int) -> bool:
    """Whether a process would handle the signal, which ends those that do not."""
    lines = _read(f"/proc/{pid}/status").splitlines()
    caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)
    return bool(caught >> (STACKS - 1) & 1)


def _read(path: str | Path) -> str:
    """A file about a thread or a process; empty where that has ended."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""
