"""Actors, in a cluster of real daemons."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors import Awkward, Caller, Counter, Desk, Ledger, Meeting, Recorder, Unreadable, use, use_by_name
from bireme import (
    Actor,
    ActorError,
    ActorGone,
    ActorPool,
    ArgumentFailed,
    CallPoisoned,
    CallTimeout,
    CallUnknown,
    CallUnreadable,
    CallUnsendable,
    Client,
    Deadlock,
    LocalCluster,
    MailboxFull,
    NoSuchMethod,
    NotFound,
    RemoteTraceback,
    as_completed,
    every,
    wait,
)
from calls import add, increment, refuse

#: Longest wait for a call, in seconds.
WAIT_S = 30.0


def test_the_founding_example(cluster: LocalCluster) -> None:
    class Counter:
        """A simple class to manage an incrementing counter"""

        n = 0

        def __init__(self) -> None:
            self.n = 0

        def increment(self) -> int:
            self.n += 1
            return self.n

        def add(self, x: int) -> int:
            self.n += x
            return self.n

    client = Client(cluster)
    future = client.submit(Counter, actor=True)
    counter: Any = future.result()
    assert repr(counter).startswith("<Actor: Counter, key=Counter-")
    future = counter.increment()
    assert future.result() == 1
    future = counter.add(10)
    assert future.result() == 11
    assert counter.n == 11
    client.close()


def test_calls_run_in_the_order_in_which_they_were_made_whatever_their_sizes(client: Client) -> None:
    recorder = client.actor(Recorder)
    sizes = [1, 200_000, 10, 70_000, 3_000_000, 0, 5] * 3
    for n, size in enumerate(sizes):
        recorder.keep((n, bytes(size)))
    assert recorder.kept_sizes().result(WAIT_S) == list(enumerate(sizes))


def test_an_array_may_change_once_the_call_was_made(client: Client) -> None:
    recorder = client.actor(Recorder)
    array = np.zeros(300_000)
    kept = recorder.keep(array)
    array[:] = 1
    kept.result(WAIT_S)
    assert recorder.kept[0].sum() == 0


def test_constructors_take_arguments_and_futures(client: Client) -> None:
    assert client.actor(Counter, 5).increment().result(WAIT_S) == 6
    assert client.actor(Counter, n=client.submit(increment, 6)).increment().result(WAIT_S) == 8


def test_what_a_method_raises_is_raised_with_its_traceback(client: Client) -> None:
    actor = client.actor(Awkward)
    with pytest.raises(KeyError, match="missing") as raised:
        actor.refuse("missing").result(WAIT_S)
    assert isinstance(raised.value.__cause__, RemoteTraceback)
    assert "in refuse" in raised.value.__cause__.text
    assert actor.print_and_return("still there").result(WAIT_S) == "still there"


def test_a_call_that_failed_is_not_kept_by_its_error(client: Client) -> None:
    actor = client.actor(Awkward)
    # Circles would last until garbage is collected, and with them the handles that the call was given.
    gc.disable()
    try:
        failing = actor.refuse("missing")
        known = weakref.ref(failing.task)
        with contextlib.suppress(KeyError):
            failing.result(WAIT_S)
        del failing
        assert known() is None
    finally:
        gc.enable()


def test_a_constructor_that_raises_is_the_error_of_the_actor(client: Client) -> None:
    with pytest.raises(ValueError, match="no actor"):
        client.actor(Awkward, "no actor")
    failed = client.submit(Awkward, "nor this", actor=True)
    assert isinstance(failed.exception(WAIT_S), ValueError)
    assert failed.status == "error"


def test_results_and_methods_that_cannot_be_are_told_apart(client: Client) -> None:
    actor = client.actor(Awkward)
    with pytest.raises(CallUnsendable, match="lock"):
        actor.lock().result(WAIT_S)
    with pytest.raises(AttributeError, match=r"^Awkward has no method or attribute 'nothing_such'$"):
        _ = actor.nothing_such
    with pytest.raises(AttributeError, match=r"no method or attribute 'refused'; the method most like it is 'refuse'$"):
        actor.refused("text")
    handle = client.actor(Awkward)
    handle._methods = {"nothing_such": False}
    with pytest.raises(NoSuchMethod, match="print_and_return") as raised:
        handle.nothing_such().result(WAIT_S)
    assert raised.value.code == "NO_SUCH_METHOD"
    with pytest.raises(CallUnreadable, match="no number"):
        actor.print_and_return(Unreadable()).result(WAIT_S)
    with pytest.raises(Exception, match="cannot be pickled"):
        actor.print_and_return(threading.Lock())


def test_futures_of_calls_are_futures(client: Client) -> None:
    counter = client.actor(Counter)
    futures = [counter.increment() for _ in range(20)]
    assert client.gather({"all": futures}) == {"all": list(range(1, 21))}
    assert sorted(future.result() for future in as_completed([counter.increment(), client.submit(increment, 40)])) == [21, 41]
    done, not_done = wait([counter.increment(), counter.increment()], timeout=WAIT_S)
    assert (len(done), len(not_done)) == (2, 0)
    called: list[int] = []
    last = counter.increment()
    last.add_done_callback(lambda future: called.append(future.result()))
    assert last.exception(WAIT_S) is None
    assert client.submit(lambda: None).result() is None
    wait([last])
    assert last.done() and not last.cancelled()


def test_results_of_calls_are_arguments_of_tasks(client: Client, tmp_path: Path) -> None:
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    recorder = client.actor(Recorder)
    waits = recorder.wait_for(pipe)
    task = client.submit(add, waits, " and more")
    after = client.submit(add, task, "!")
    assert task.status == "pending"
    with open(pipe, "w") as file:
        file.write("text")
    assert after.result(WAIT_S) == "text and more!"
    assert client.gather([task, after]) == ["text and more", "text and more!"]


def test_large_results_stay_where_they_are_until_wanted(client: Client) -> None:
    recorder = client.actor(Recorder)
    recorder.keep(np.arange(500_000))
    kept = recorder.all_kept()
    assert client.submit(lambda kept: int(kept[0].sum()), kept).result(WAIT_S) == 499_999 * 250_000
    assert kept.result(WAIT_S)[0][7] == 7


def test_failed_calls_fail_what_takes_their_results(client: Client) -> None:
    actor, counter = client.actor(Awkward), client.actor(Counter)
    failed = actor.refuse("gone wrong")
    task = client.submit(increment, failed)
    with pytest.raises(KeyError, match="gone wrong"):
        task.result(WAIT_S)
    assert task.status == "error"
    assert client.gather([task, client.submit(increment, 1)], errors="skip") == [2]
    with pytest.raises(ArgumentFailed) as raised:
        counter.add(failed).result(WAIT_S)
    assert isinstance(raised.value.__cause__, KeyError)
    assert counter.increment().result(WAIT_S) == 1


def test_futures_are_arguments_of_calls(client: Client, tmp_path: Path) -> None:
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    counter = client.actor(Counter)
    recorder = client.actor(Recorder)
    slow = recorder.wait_for(pipe)
    first, second = counter.add(client.submit(int, slow)), counter.increment()
    with open(pipe, "w") as file:
        file.write("41")
    assert (first.result(WAIT_S), second.result(WAIT_S)) == (41, 42)
    assert counter.add(second).result(WAIT_S) == 84
    assert counter.add(client.submit(increment, 0)).result(WAIT_S) == 85
    with pytest.raises(ArgumentFailed):
        counter.add(client.submit(refuse, "no")).result(WAIT_S)
    assert counter.add(client.scatter(5)).result(WAIT_S) == 90


def test_a_killed_actor_is_gone(client: Client) -> None:
    counter: Any = client.actor(Counter)
    assert counter.increment().result(WAIT_S) == 1
    counter.kill()
    gone = until_gone(counter)
    assert gone.code == "GONE"
    assert "ended it" in str(gone)


def until_gone(counter: Any) -> ActorGone:
    """Calls an actor that is to end until it has. A call may be under way when it does."""
    while True:
        error = counter.increment().exception(WAIT_S)
        if isinstance(error, ActorGone):
            return error
        assert error is None or isinstance(error, CallUnknown)


def test_an_actor_can_end_itself(client: Client) -> None:
    actor = client.actor(Awkward)
    assert actor.leave().result(WAIT_S) is None
    with pytest.raises(ActorGone):
        actor.print_and_return("nobody is there").result(WAIT_S)


def test_a_crash_ends_the_call_that_ran_and_those_that_waited(client: Client) -> None:
    counter = client.actor(Counter)
    crash, waiting = counter.crash(), counter.increment()
    with pytest.raises(CallUnknown):
        crash.result(WAIT_S)
    with pytest.raises(ActorGone):
        waiting.result(WAIT_S)


def test_a_restarted_actor_runs_the_calls_that_waited(client: Client) -> None:
    counter = client.actor(Counter, 10, max_restarts=1)
    counter.increment()
    crash, waiting = counter.crash(), [counter.increment() for _ in range(3)]
    assert isinstance(crash.exception(WAIT_S), CallUnknown)
    assert client.gather(waiting) == [11, 12, 13]
    assert isinstance(counter.crash().exception(WAIT_S), CallUnknown)
    assert isinstance(counter.increment().exception(WAIT_S), ActorGone)


def test_effectively_once_survives_kills(client: Client) -> None:
    ledger = client.actor(Ledger, delivery="effectively_once", checkpoint=every(n=10), max_restarts=-1)
    paid = []
    for round in range(4):
        paid += [ledger.pay(1) for _ in range(25)]
        os.kill(ledger.pid().result(WAIT_S), signal.SIGKILL)
        assert paid[-1].result(WAIT_S) == 25 * (round + 1)
    assert client.gather(paid) == list(range(1, 101))
    assert ledger.pay(0).result(WAIT_S) == 100
    assert ledger.times_restored().result(WAIT_S) > 0


def test_what_is_not_the_same_each_time_is_kept_or_found_out(client: Client) -> None:
    ledger = client.actor(Ledger, delivery="effectively_once")
    drawn = ledger.drawn().result(WAIT_S)
    os.kill(ledger.pid().result(WAIT_S), signal.SIGKILL)
    assert ledger.pay(0).result(WAIT_S) == drawn
    counter = client.actor(Counter, delivery="effectively_once")
    os.kill(counter.pid().result(WAIT_S), signal.SIGKILL)
    with pytest.raises(ActorError) as raised:
        counter.increment().result(WAIT_S)
    assert "REPLAY_DIVERGED" in str(raised.value.__cause__) + str(raised.value)


def test_a_checkpoint_is_the_state_that_an_actor_has(client: Client) -> None:
    counter: Any = client.actor(Counter, delivery="effectively_once")
    client.gather([counter.increment() for _ in range(5)])
    made = counter.checkpoint()
    assert made["bytes"] > 0
    client.kill_actor(counter, restart=True)
    assert counter.increment().result(WAIT_S) == 6


def test_a_call_that_always_crashes_is_set_aside(client: Client) -> None:
    counter = client.actor(Counter, delivery="effectively_once", max_restarts=-1)
    poison, after = counter.crash(), counter.increment()
    assert isinstance(poison.exception(WAIT_S), CallPoisoned)
    assert after.result(WAIT_S) == 1


def test_an_actor_moves_with_its_state(client: Client) -> None:
    counter: Any = client.actor(Counter, 5, name="moving")
    before = counter.increment()
    worker = next(actor["worker"] for actor in client.list_actors() if actor["name"] == "moving")
    moved = counter.move()
    assert moved["worker"] != worker
    assert (before.result(WAIT_S), counter.increment().result(WAIT_S)) == (6, 7)
    with pytest.raises(ValueError, match="nowhere"):
        counter.move("nowhere")


def test_a_full_mailbox_refuses_where_it_was_told_to(client: Client, tmp_path: Path) -> None:
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    recorder = client.actor(Recorder, mailbox={"calls": 2, "on_full": "refuse"})
    calls = [recorder.wait_for(pipe), *(recorder.keep(n) for n in range(20))]
    assert isinstance(calls[-1].exception(WAIT_S), MailboxFull)
    with open(pipe, "w") as file:
        file.write("x")
    assert calls[0].result(WAIT_S) == "x"


def test_actors_are_found_by_name(client: Client) -> None:
    first = client.actor(Counter, name="shared", namespace="tests")
    first.increment()
    with pytest.raises(ActorError) as raised:
        client.actor(Counter, name="shared", namespace="tests")
    assert "shared" in str(raised.value)
    same = client.actor(Counter, name="shared", namespace="tests", get_if_exists=True)
    assert same == first
    found: Any = client.get_actor("shared", namespace="tests")
    assert (found.increment().result(WAIT_S), found.n) == (2, 2)
    assert any(actor["name"] == "shared" and actor["state"] == "alive" for actor in client.list_actors())
    with pytest.raises(NotFound, match=r"^ACTOR_UNKNOWN: there is no actor named nobody$"):
        client.get_actor("nobody")


def test_an_actor_that_nobody_takes_in_time_says_why(client: Client) -> None:
    with pytest.raises(CallTimeout, match=r"Counter is waiting after 0\.2 s: local-[12] has 0 of gpu in all, the actor takes 1"):
        client.actor(Counter, name="gpu", resources={"gpu": 1}, timeout=0.2)
    with pytest.raises(TimeoutError, match="no worker has the actor class builtin/Conter: the nearest are builtin/Counter"):
        client.actor("builtin/Conter", timeout="200ms")
    assert client.actor(Counter, 2, timeout=WAIT_S).increment().result(WAIT_S) == 3
    with pytest.raises(ValueError, match="max_restarts is -2"):
        client.actor(Counter, max_restarts=-2)


def test_an_actor_that_is_found_and_tells_nothing_says_why(client: Client, tmp_path: Path) -> None:
    later = client.submit(Counter, actor=True, name="later", resources={"gpu": 1}, timeout=0.2)
    with pytest.raises(CallTimeout, match="Counter is waiting"):
        later.result(WAIT_S)
    assert "Counter is waiting" in str(later.exception(WAIT_S))
    with pytest.raises(CallTimeout, match=r"later is waiting after 0\.2 s: local-[12] has 0 of gpu in all, the actor takes 1"):
        client.get_actor("later", timeout=0.2)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    busy = client.actor(Recorder, name="busy")
    holds = busy.wait_for(str(gate))
    with pytest.raises(CallTimeout, match=r"busy has not told its methods after 0\.2 s: other calls keep it busy"):
        client.get_actor("busy", timeout="200ms")
    gate.write_text("open")
    assert holds.result(WAIT_S) == "open"
    found: Any = client.get_actor("busy", timeout=WAIT_S)
    assert found.all_kept().result(WAIT_S) == []


def test_a_detached_actor_outlives_its_client(cluster: LocalCluster, client: Client) -> None:
    with Client(cluster, set_as_default=False) as other:
        other.actor(Counter, name="staying", detached=True).increment().result(WAIT_S)
        other.actor(Counter, name="leaving").increment().result(WAIT_S)
    staying = client.get_actor("staying")
    assert staying.increment().result(WAIT_S) == 2
    staying.kill()


def test_an_actor_ends_with_its_handle(client: Client) -> None:
    counter = client.actor(Counter, name="short")
    found = client.get_actor("short")
    del counter
    until_gone(found)


def test_coroutines_interleave_where_a_lane_lets_them(client: Client) -> None:
    meeting = client.actor(Meeting, lanes={"default": 3})
    assert client.gather([meeting.meet(3) for _ in range(3)]) == [3, 3, 3]
    alone = client.actor(Meeting)
    assert client.gather([alone.alone() for _ in range(10)]) == [1] * 10


def test_items_come_one_by_one(client: Client) -> None:
    meeting = client.actor(Meeting)
    assert list(meeting.upwards(2_000)) == list(range(2_000))
    assert list(meeting.downwards(3)) == [3, 2, 1]
    items = meeting.breaks()
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)


def test_a_lane_is_served_while_another_is_busy(client: Client) -> None:
    desk = client.actor(Desk, lanes={"questions": 1})
    work = desk.work()
    assert desk.open().result(WAIT_S) == "open"
    assert work.result(WAIT_S) == "worked"
    with pytest.raises(ValueError, match="questions"):
        client.actor(Desk)


def test_a_call_can_be_given_up(client: Client, tmp_path: Path) -> None:
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    recorder = client.actor(Recorder)
    busy = recorder.wait_for(pipe)
    with pytest.raises(CallTimeout):
        recorder.wait_for.options(timeout=0.05)(pipe).result(WAIT_S)
    waiting = recorder.keep(1)
    waiting.cancel()
    wait([waiting], timeout=WAIT_S)
    assert waiting.cancelled()
    with open(pipe, "w") as file:
        file.write("x")
    assert busy.result(WAIT_S) == "x"
    assert recorder.kept == []


def test_tasks_and_actors_call_actors(client: Client) -> None:
    counter = client.actor(Counter, name="called")
    assert client.submit(use, counter, 5).result(WAIT_S) == 5
    assert client.submit(use_by_name, "called").result(WAIT_S) == 6
    caller = client.actor(Caller, counter)
    assert caller.ask("increment").result(WAIT_S) == 7
    assert caller.ask_async("increment").result(WAIT_S) == 8
    assert counter.n == 8


def test_a_call_that_waits_for_itself_is_an_error(client: Client) -> None:
    one, other = client.actor(Caller), client.actor(Caller)
    one.know(other)
    other.know(one)
    with pytest.raises(Deadlock):
        one.ask_back().result(WAIT_S)
    assert one.answer().result(WAIT_S) == "answered"


def test_a_pool_shares_calls_out(client: Client) -> None:
    counters = [client.actor(Counter) for _ in range(2)]
    pool = ActorPool(counters)
    assert len(list(pool.map("add", [1] * 10))) == 10
    assert sum(counter.n for counter in counters) == 10
    assert all(counter.n for counter in counters)
    assert sorted(pool.map_unordered("pid", [], [])) == []
    assert pool.submit("add", 1).result(WAIT_S) > 1
    with pytest.raises(ValueError, match="at least one"):
        ActorPool([])


def test_shared_actors_have_a_process_in_common(client: Client) -> None:
    worker = str(next(iter(client.scheduler_info()["workers"].values()))["name"])
    counters = [client.actor(Counter, isolation="shared", workers=[worker]) for _ in range(3)]
    assert len({counter.pid().result(WAIT_S) for counter in counters}) == 1
    assert [counter.increment().result(WAIT_S) for counter in counters] == [1, 1, 1]


def test_an_asynchronous_client_awaits(cluster: LocalCluster) -> None:
    async def program() -> tuple[Any, ...]:
        async with Client(cluster, asynchronous=True, set_as_default=False) as client:
            counter: Any = await client.submit(Counter, actor=True)
            first = await counter.increment()
            other = await client.actor(Counter, 5, name="awaited")
            found = await client.get_actor("awaited")
            meeting = await client.actor(Meeting)
            items = [item async for item in meeting.upwards(3)]
            return first, await counter.n, await other.increment(), await found.n, items

    assert asyncio.run(program()) == (1, 1, 6, 6, [0, 1, 2])


def test_handles_are_equal_where_they_are_of_one_actor(client: Client) -> None:
    counter = client.actor(Counter)
    back = client.submit(lambda handle: handle, counter).result(WAIT_S)
    assert isinstance(back, Actor)
    assert back == counter
    assert back.increment().result(WAIT_S) == 1



def test_whoever_waits_is_let_go_when_the_client_is_closed(cluster: LocalCluster, tmp_path: Path) -> None:
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    other = Client(cluster, set_as_default=False)
    recorder = other.actor(Recorder)
    future = recorder.wait_for(pipe)
    ended = threading.Event()
    future.add_done_callback(lambda _: None)
    other._watch(future.task, ended.set)
    raised: list[BaseException] = []

    def take() -> None:
        try:
            future.result()
        except Exception as error:
            raised.append(error)

    waiting = threading.Thread(target=take)
    waiting.start()
    other.close()
    waiting.join(WAIT_S)
    assert len(raised) == 1
    assert ended.wait(WAIT_S)


@pytest.mark.parametrize("example", ["counter", "bank", "parameter_server"])
def test_the_examples_do_what_they_say(cluster: LocalCluster, example: str) -> None:
    script = Path(__file__).parents[3] / "examples" / "actors" / f"{example}.py"
    environment = os.environ | {"BIREME_ACCESS_FILE": str(cluster.access_file)}
    ran = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=50)
    assert ran.returncode == 0, ran.stderr
    expected = {"counter": "1\n11\n11\n", "bank": "100 transfers", "parameter_server": "after 90 steps"}
    assert expected[example] in ran.stdout
