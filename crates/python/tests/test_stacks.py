"""Where tasks are in their code, as other processes of their worker find it out."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bireme import Client, LocalCluster
from calls import read


@pytest.fixture
def lone() -> Iterator[Client]:
    """A client of a cluster with one worker."""
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


class Idle:
    def here(self) -> int:
        return os.getpid()


def asked() -> list[int]:
    """The processes that whoever runs this would ask."""
    from bireme import stacks

    return [pid for pid in stacks._siblings() if stacks._handles(pid)]


def test_idle_processes_answer_that_they_run_nothing_and_go_on(lone: Client) -> None:
    actor = lone.submit(Idle, actor=True).result()
    here = actor.here().result()
    (siblings,) = lone.run(asked).values()
    assert here in siblings
    assert lone.call_stack() == {}
    assert actor.here().result() == here


def read_natively(pipe: str) -> str:
    file = os.open(pipe, os.O_RDONLY)
    buffer = ctypes.create_string_buffer(4)
    count = ctypes.CDLL(None).read(file, buffer, len(buffer))
    return buffer.raw[:count].decode()


def test_native_code_that_gives_up_the_interpreter_is_seen(lone: Client, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    future = lone.submit(read_natively, str(pipe), pure=False)
    with pipe.open("w") as end:
        (stacks,) = lone.call_stack().values()
        assert list(stacks) == [future.key]
        assert "read_natively" in stacks[future.key][0]
        end.write("done")
    assert future.result() == "done"


def read_unable_to_tell(pipe: str) -> str:
    from bireme import stacks

    answer = stacks.answer

    def broken() -> None:
        raise OSError("no room")

    stacks.answer = broken
    try:
        return Path(pipe).read_text()
    finally:
        stacks.answer = answer


def test_a_task_does_not_pay_for_being_asked(lone: Client, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    future = lone.submit(read_unable_to_tell, str(pipe), pure=False)
    with pipe.open("w") as end:
        (stacks,) = lone.call_stack().values()
        assert any("does not answer" in lines[0] for lines in stacks.values())
        end.write("done")
    assert future.result() == "done"


def test_several_may_ask_at_a_time(lone: Client, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    future = lone.submit(read, str(pipe), pure=False)
    with pipe.open("w") as end, ThreadPoolExecutor(4) as askers:
        together = threading.Barrier(4)

        def ask(_: int) -> Any:
            together.wait(60)
            return lone.call_stack(future)

        for found in askers.map(ask, range(4)):
            (stacks,) = found.values()
            assert future.key in stacks
        end.write("done")
    future.result()
