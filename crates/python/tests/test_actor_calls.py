"""Calls that actors make, and tasks that take results of calls."""

from __future__ import annotations

import os
import random
import signal
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from actors import Caller, Counter, Forwarder, Ledger, Left, Recorder, Right, ask_back, use
from bireme import CallNotRun, CallPoisoned, CallUnknown, Client, Deadlock, every
from calls import add, increment

#: Longest wait for a call, in seconds.
WAIT_S = 50.0
#: What an actor promises that counts each call once.
ONCE: dict[str, Any] = {"delivery": "effectively_once", "max_restarts": -1}


def forwarder(client: Client, ledger: Any, n: int, **options: Any) -> Any:
    lanes = {"aside": 1}
    return client.actor(Forwarder, ledger, 5, lanes=lanes, checkpoint=every(n=n), **ONCE, **options)


def kill(actor: Any) -> None:
    # A call that meets the end of the life before gives no number.
    while isinstance((asked := actor.pid()).exception(WAIT_S), CallUnknown):
        pass
    os.kill(asked.result(WAIT_S), signal.SIGKILL)


def test_what_an_actor_passes_on_is_done_once_however_often_it_is_killed(client: Client) -> None:
    ledger = client.actor(Ledger, **ONCE)
    passes: Any = forwarder(client, ledger, 20)
    sure = random.Random(7)
    futures = [passes.forward(1) for _ in range(200)]
    for last in range(19, 200, 20):
        futures[last - sure.randrange(10)].result(WAIT_S)
        kill(passes)
    assert client.gather(futures) == list(range(6, 206))
    assert (passes.passed, ledger.total) == (200, 205)


def test_both_ends_may_be_killed(client: Client) -> None:
    ledger: Any = client.actor(Ledger, checkpoint=every(n=15), **ONCE)
    passes: Any = forwarder(client, ledger, 20)
    futures = [passes.forward(1) for _ in range(60)]
    for last in range(9, 60, 10):
        futures[last].result(WAIT_S)
        kill(ledger if last % 20 == 9 else passes)
    assert client.gather(futures) == list(range(6, 66))
    assert ledger.total == 65


def test_what_follows_a_call_that_was_set_aside_is_given_replies_of_its_own(client: Client) -> None:
    ledger: Any = client.actor(Ledger, **ONCE)
    passes: Any = forwarder(client, ledger, 1000)
    assert passes.forward(1).result(WAIT_S) == 6
    with pytest.raises(CallPoisoned):
        passes.forward_and_die(10).result(WAIT_S)
    assert passes.forward(100).result(WAIT_S) == 116
    kill(passes)
    assert passes.forward(1000).result(WAIT_S) == 1116
    passes.checkpoint()
    with pytest.raises(CallPoisoned):
        passes.forward_and_die(10_000).result(WAIT_S)
    assert passes.forward(100_000).result(WAIT_S) == 111_116
    passes.move()
    kill(passes)
    assert passes.forward(1_000_000).result(WAIT_S) == 1_111_116
    assert (passes.passed, ledger.total) == (5, 1_111_116)


def test_calls_that_a_method_leaves_behind_are_not_lost(client: Client) -> None:
    ledger = client.actor(Ledger, **ONCE)
    passes: Any = forwarder(client, ledger, 3)
    futures = [passes.leave_behind([1] * 10) for _ in range(20)]
    for last in (4, 9, 14):
        futures[last].result(WAIT_S)
        kill(passes)
    assert client.gather(futures) == list(range(10, 210, 10))
    assert ledger.total == 205


def test_a_cycle_that_a_task_began_is_shown(client: Client) -> None:
    one, other = client.actor(Caller), client.actor(Caller)
    one.know(other)
    other.know(one)
    with pytest.raises(Deadlock) as raised:
        client.submit(ask_back, one).result(WAIT_S)
    for caller in (one, other):
        assert caller._native.id.hex() in str(raised.value)


@pytest.mark.parametrize("options", [{}, ONCE], ids=["at_most_once", "effectively_once"])
def test_of_two_actors_that_wait_for_each_other_one_is_told_so(client: Client, tmp_path: Path, options: dict[str, Any]) -> None:
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    left: Any = client.actor(Left, **options)
    right: Any = client.actor(Right, **options)
    left.know(right)
    right.know(left)
    both = left.cross(pipe, "w"), right.cross(pipe, "r")
    errors = [future.exception(WAIT_S) for future in both]
    (deadlock,) = [error for error in errors if error is not None]
    assert isinstance(deadlock, Deadlock)
    for name in ("Left.answer behind Left.cross", "Right.answer behind Right.cross"):
        assert name in str(deadlock)
    (other,) = [future for future, error in zip(both, errors, strict=True) if error is None]
    assert other.result(WAIT_S) == "answered"


def test_a_task_that_takes_a_result_is_submitted_at_once_and_nested_as_deep_as_it_is(client: Client, tmp_path: Path) -> None:
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    recorder, counter = client.actor(Recorder), client.actor(Counter)
    nested = {"a": [recorder.wait_for(pipe), {"b": (counter.add(5), client.submit(increment, 1))}]}
    task = client.submit(str, nested)
    assert not task.done()
    with open(pipe, "w") as file:
        file.write("x")
    assert task.result(WAIT_S) == str({"a": ["x", {"b": (5, 2)}]})
    assert counter.add(client.submit(add, counter.add(1), counter.add(1))).result(WAIT_S) == 20


def test_a_task_is_cancelled_with_the_call_whose_result_it_takes(client: Client, tmp_path: Path) -> None:
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    recorder = client.actor(Recorder)
    busy, waits = recorder.wait_for(pipe), recorder.all_kept()
    task = client.submit(len, waits)
    after = client.submit(increment, task)
    waits.cancel()
    for future in (waits, task, after):
        with pytest.raises(CancelledError):
            future.result(WAIT_S)
        assert future.cancelled()
    with open(pipe, "w") as file:
        file.write("x")
    assert busy.result(WAIT_S) == "x"


def test_handles_among_arguments_stay_while_what_takes_them_does(client: Client) -> None:
    assert client.submit(use, client.actor(Counter, 4), 5).result(WAIT_S) == 9
    caller = client.actor(Caller, client.actor(Counter, 6))
    assert caller.ask("increment").result(WAIT_S) == 7
    asked = client.actor(Caller).ask_of(client.actor(Counter, 7), "increment")
    assert asked.result(WAIT_S) == 8


def test_calls_behind_one_that_may_have_run_stop_where_that_is_asked_for(client: Client) -> None:
    counter = client.actor(Counter, max_restarts=1, on_unknown="stop")
    assert counter.increment().result(WAIT_S) == 1
    crash, behind = counter.crash(), counter.increment()
    assert isinstance(crash.exception(WAIT_S), CallUnknown)
    assert isinstance(behind.exception(WAIT_S), CallNotRun)
    with pytest.raises(ValueError, match="give continue or stop"):
        client.actor(Counter, on_unknown="wait")
