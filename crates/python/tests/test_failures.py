"""Whatever a task does to its process ends that task, with an error that can be read, and nothing else.

With real daemons and processes. Every wait is bounded; a task that is to be seen running says so through a pipe.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bireme import LocalCluster
from bireme import _bireme as native
from bireme.errors import TaskError, exception
from bireme.serialize import EncodeError, decode, encode_call, encode_function

#: Longest wait for anything, in seconds.
GUARD_S = 50.0
#: How long the interpreter's lock is held, in seconds: longer than any heartbeat takes to be missed.
HELD_S = float(os.environ.get("BIREME_TEST_HELD_S", "3"))


class Caller:
    """A session, and functions to pickle for it."""

    def __init__(self, session: native.Session) -> None:
        self.session = session

    def submit(self, function: Callable[..., Any], *args: Any, **options: Any) -> tuple[int, int]:
        digest = self.session.put_blob(encode_function(function))
        call = encode_call(args, {}, function.__name__)
        return self.session.submit([("work", digest, call, (), self.session.options(**options))]), 0

    def result(self, task: tuple[int, int]) -> Any:
        try:
            return decode(*self.session.result(*task, GUARD_S))
        except native.Failed as failed:
            error = failed.args[0]
        raise exception(error)

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self.result(self.submit(function, *args, **options))

    def error(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Why a task failed."""
        return self.end(self.submit(function, *args, **options))

    def end(self, task: tuple[int, int]) -> Any:
        """Why a task that was submitted failed."""
        with pytest.raises(native.Failed) as failed:
            self.session.result(*task, GUARD_S)
        return failed.value.args[0]


@pytest.fixture(scope="module")
def caller(daemons: None) -> Iterator[Caller]:
    """A cluster of one worker with two cpus."""
    with LocalCluster(1, 2) as cluster:
        session = native.Session(access_file=str(cluster.access_file))
        yield Caller(session)
        session.close()


@pytest.fixture(autouse=True)
def innocent(caller: Caller) -> Iterator[None]:
    """A task that runs in its own process all the while must not notice; and tasks must run afterwards."""
    here, there = os.pipe()
    gate = Path(f"/proc/{os.getpid()}/fd/{here}")

    def wait() -> str:
        with gate.open("rb") as file:
            return file.read().decode()

    task = caller.submit(wait)
    yield
    os.write(there, b"unharmed")
    os.close(there)
    os.close(here) if caller.result(task) == "unharmed" else pytest.fail("the innocent task was harmed")
    assert caller.call(lambda: "still here") == "still here"


class Bell:
    """A task rings it to say that it runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def wait(self) -> None:
        assert select.select([self._end], [], [], GUARD_S)[0], "the task does not start"
        os.close(self._end)


@pytest.fixture
def bell(tmp_path: Path) -> Bell:
    return Bell(tmp_path / "bell")


def text(error: Any) -> str:
    """What a person sees."""
    return str(exception(error))


# ---- the process dies ----------------------------------------------------------------------------------------------


def test_a_segmentation_fault_shows_where(caller: Caller) -> None:
    def crash() -> None:
        print("about to crash")
        ctypes.string_at(0)

    error = caller.error(crash)
    assert (error["kind"], error["exit"]) == ("process_died", (0, signal.SIGSEGV))
    assert "killed by signal 11" in text(error)
    assert "about to crash" in text(error)
    assert "Segmentation fault" in text(error)
    assert "in crash" in text(error), "the stack"


def test_an_exit_behind_pythons_back(caller: Caller) -> None:
    def leave() -> None:
        print("leaving")
        os._exit(3)

    error = caller.error(leave)
    assert (error["kind"], error["exit"]) == ("process_died", (3, 0))
    assert "exited with 3" in text(error)
    assert "leaving" in text(error)


def test_an_abort_shows_where(caller: Caller) -> None:
    error = caller.error(lambda: os.abort())
    assert (error["kind"], error["exit"]) == ("process_died", (0, signal.SIGABRT))
    assert "Fatal Python error: Aborted" in text(error)


def test_a_kill_from_outside(caller: Caller) -> None:
    error = caller.error(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert (error["kind"], error["exit"]) == ("process_died", (0, signal.SIGKILL))
    assert "killed by signal 9" in text(error)


def test_a_process_without_its_connection(caller: Caller) -> None:
    def cut_off() -> None:
        os.closerange(3, 1024)
        threading.Event().wait()

    assert caller.error(cut_off)["kind"] == "process_died"


def test_log_records_are_among_the_last_lines(caller: Caller) -> None:
    def warn() -> None:
        import logging

        logging.getLogger("model").warning("low on licences")
        os._exit(1)

    assert "WARNING model: low on licences" in text(caller.error(warn))


# ---- the process does not end -----------------------------------------------------------------------------------------


def ring(path: Path) -> None:
    with path.open("w") as file:
        file.write("running")


def test_an_endless_loop_is_cancelled(caller: Caller, bell: Bell) -> None:
    path = bell.path

    def spin() -> None:
        ring(path)
        while True:
            pass

    graph, index = caller.submit(spin)
    bell.wait()
    caller.session.cancel(graph, [index])
    assert caller.end((graph, index))["kind"] == "cancelled"


def test_a_loop_that_ignores_interrupts_is_killed(caller: Caller, bell: Bell) -> None:
    path = bell.path

    def spin() -> None:
        ring(path)
        while True:
            try:
                while True:
                    pass
            except KeyboardInterrupt:
                pass

    graph, index = caller.submit(spin)
    bell.wait()
    caller.session.cancel(graph, [index])
    assert caller.end((graph, index))["kind"] == "cancelled"


def test_a_task_sees_that_it_is_cancelled(caller: Caller, bell: Bell, tmp_path: Path) -> None:
    path, seen = bell.path, Bell(tmp_path / "seen")
    behind = seen.path

    def work() -> None:
        from bireme.worker_api import get_worker

        ring(path)
        if get_worker().wait_cancelled(GUARD_S):
            ring(behind)

    graph, index = caller.submit(work)
    bell.wait()
    caller.session.cancel(graph, [index], GUARD_S)
    seen.wait()
    assert caller.end((graph, index))["kind"] == "cancelled"


def test_an_endless_loop_runs_out_of_time(caller: Caller) -> None:
    def spin() -> None:
        while True:
            pass

    error = caller.error(spin, timeout=0.2)
    assert error["kind"] == "timeout"
    assert isinstance(exception(error), TimeoutError)
    assert "the attempt ran longer than" in text(error)


def test_the_worker_is_well_while_a_task_holds_the_interpreter(caller: Caller, bell: Bell, tmp_path: Path) -> None:
    path, gate = bell.path, tmp_path / "gate"
    os.mkfifo(gate)

    def hold() -> str:
        with gate.open("rb", buffering=0) as file:
            ring(path)
            # Unlike `CDLL`, this keeps the interpreter's lock during the call.
            ctypes.PyDLL(None).read(file.fileno(), ctypes.create_string_buffer(1), 1)
        return "held"

    task = caller.submit(hold, cpus=0.1)
    with gate.open("wb", buffering=0) as file:
        bell.wait()
        begun, rounds = time.monotonic(), 0
        # With the rest of the cpu; the innocent has the other one.
        while rounds < 3 or time.monotonic() - begun < HELD_S:
            assert caller.call(lambda: 1, cpus=0.1) == 1
            assert [worker["state"] for worker in caller.session.workers()] == ["running"]
            rounds += 1
        assert caller.session.state(*task) == native.PENDING
        file.write(b"x")
    assert caller.result(task) == "held"


def test_an_allocation_beyond_the_limit_is_named(caller: Caller) -> None:
    def swell() -> None:
        kept = [b"x" * (16 << 20) for _ in range(32)]
        threading.Event().wait()
        del kept

    error = caller.error(swell, memory=256 << 20)
    assert error["kind"] == "out_of_memory"
    assert isinstance(exception(error), MemoryError)
    assert "bytes of memory, the attempt stated 268435456" in text(error)


# ---- what cannot be sent -------------------------------------------------------------------------------------------------


def test_an_argument_that_cannot_be_pickled(caller: Caller) -> None:
    def work(value: Any) -> None: ...

    with pytest.raises(EncodeError) as raised:
        caller.submit(work, {"lock": threading.Lock()})
    assert str(raised.value) == (
        "['lock'] of argument 0 of work (a _thread.lock) cannot be pickled: TypeError: cannot pickle '_thread.lock' object"
    )


class Poisoned:
    """Pickles, and does not unpickle."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_an_argument_that_cannot_be_unpickled(caller: Caller) -> None:
    error = caller.error(lambda value: value, Poisoned())
    assert error["kind"] == "deserialize"
    assert "the arguments of 'work' cannot be unpickled: ValueError: invalid literal for int()" in text(error)


def test_a_result_that_cannot_be_pickled(caller: Caller) -> None:
    error = caller.error(lambda: {"lock": threading.Lock()})
    assert error["kind"] == "serialize"
    assert "['lock'] of the result of 'work' (a _thread.lock) cannot be pickled" in text(error)


def test_a_generator_as_result(caller: Caller) -> None:
    error = caller.error(lambda: (n for n in range(3)))
    assert error["kind"] == "serialize"
    assert "is a generator, which cannot leave its process; return a list of its items: list(...)" in text(error)


def test_a_module_that_the_worker_lacks(caller: Caller) -> None:
    digest = caller.session.put_blob(b"\x80\x05cabsent_module\nfunction\n.")
    task = caller.session.submit([("work", digest, encode_call((), {}), (), 0)]), 0
    error = caller.end(task)
    assert error["kind"] == "not_found"
    assert "the function of 'work' cannot be read without the module 'absent_module'" in text(error)


def test_a_class_of_main_comes_back(caller: Caller) -> None:
    point = type("Point", (), {"__module__": "__main__", "x": 1})
    back = caller.call(lambda value: value, point())
    assert type(back).__name__ == "Point"
    assert back.x == 1


# ---- exceptions -----------------------------------------------------------------------------------------------------------


class Demanding(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Holding(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def raiser(make: Callable[[], BaseException]) -> Callable[[], None]:
    def work() -> None:
        raise make()

    return work


def test_an_exception_is_raised_again_with_its_traceback(caller: Caller) -> None:
    def divide(n: int) -> float:
        return n / 0

    with pytest.raises(ZeroDivisionError, match="division by zero") as raised:
        caller.call(divide, 1)
    assert "in divide" in str(raised.value.__cause__)
    assert "bireme/executor.py" not in str(raised.value.__cause__)


def test_an_exception_whose_constructor_needs_arguments(caller: Caller) -> None:
    with pytest.raises(Exception, match=r"^3: no$") as raised:
        caller.call(raiser(lambda: Demanding(3, "no")))
    assert (type(raised.value).__name__, raised.value.code) == ("Demanding", 3)  # type: ignore[attr-defined]


def test_an_exception_that_cannot_be_pickled(caller: Caller) -> None:
    with pytest.raises(TaskError, match="Holding: holds a lock") as raised:
        caller.call(raiser(Holding))
    assert "lock of the Holding (a _thread.lock) cannot be pickled" in str(raised.value)
    assert "holds a lock" in str(raised.value.__cause__)


def test_endless_recursion(caller: Caller) -> None:
    def dive(n: int) -> int:
        return dive(n + 1) + 1

    with pytest.raises(RecursionError, match="maximum recursion depth exceeded") as raised:
        caller.call(dive, 0)
    assert "in dive" in str(raised.value.__cause__)


def test_a_task_asks_to_be_run_again(caller: Caller, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def work() -> str:
        from bireme.worker_api import Reschedule

        if not mark.exists():
            mark.touch()
            raise Reschedule("not yet")
        return "now"

    assert caller.call(work) == "now"


def test_exit_ends_the_task_and_not_the_process(caller: Caller) -> None:
    error = caller.error(lambda: sys.exit(3))
    assert (error["kind"], error["reason"]) == ("user", "SystemExit")
    assert "the task asked its process to exit with 3" in text(error)


def test_fifty_megabytes_of_traceback(caller: Caller) -> None:
    with pytest.raises(TaskError) as raised:
        caller.call(raiser(lambda: ValueError("begin" + "x" * 50_000_000 + "end")))
    shown = str(raised.value.__cause__)
    assert "ValueError: begin" in shown
    assert "characters in all, cut ...]" in shown
    assert shown.rstrip('"\n').endswith("end")
    assert len(shown) < 20_000
    assert len(str(raised.value)) < 10_000
