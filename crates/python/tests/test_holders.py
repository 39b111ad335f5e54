"""Where values are, and copies for workers that are to have them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bireme import Client, LocalCluster, WorkerLost
from bireme.fleet import wait_at
from bireme.rebalance import Move, plan
from calls import read

#: More than messages carry.
LARGE = 1 << 20


def test_who_has_what(client: Client) -> None:
    first, second = list(client.nthreads())
    large = client.submit(os.urandom, LARGE, workers=[first], pure=False)
    assert len(large.result()) == LARGE
    assert client.who_has(large) == {large.key: [first]}
    named = client.submit(os.urandom, LARGE, workers=[second], key="large-of-the-second")
    assert len(named.result()) == LARGE
    assert "large-of-the-second" in client.has_what()[second]
    assert client.has_what([first]) == {first: []}


def test_scattered_values_go_where_they_are_told(client: Client) -> None:
    addresses = list(client.nthreads())
    everywhere = client.scatter(os.urandom(LARGE), broadcast=True)
    assert client.who_has(everywhere)[everywhere.key] == sorted(addresses)
    for address in addresses:
        there = client.scatter(os.urandom(LARGE), workers=[address])
        assert address in client.who_has(there)[there.key]
    with pytest.raises(ValueError, match="no worker 'nobody'"):
        client.scatter(1, workers=["nobody"])
    with pytest.raises(ValueError, match="no timeout"):
        client.scatter(1, timeout=1)


def test_a_call_on_a_worker_that_leaves_ends(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1) as cluster,
        Client(cluster, set_as_default=False) as client,
        ThreadPoolExecutor(1) as thread,
    ):
        called = thread.submit(client.run, read, str(pipe), workers="local-2")
        # Opened once the call reads it.
        with pipe.open("w"):
            cluster.scale(1)
            with pytest.raises(WorkerLost, match="worker local-2 left"):
                called.result()


def test_a_copy_for_a_worker_that_leaves_is_given_up(client: Client) -> None:
    link = client._live()
    gone = link.options.number(workers=["nobody"])
    call = link.call(os.getpid, (), {}, options=gone)
    lost = wait_at(link, {"nobody": call})
    assert "worker nobody left" in str(lost["nobody"])


def test_values_are_moved_until_workers_have_as_much(client: Client) -> None:
    first, second = sorted(client.nthreads())
    values = [client.submit(os.urandom, LARGE, workers=[first], pure=False) for _ in range(4)]
    before = client.gather(values)
    client.rebalance(values)
    homes = [client.who_has(value)[value.key] for value in values]
    assert sorted(homes) == [[first], [first], [second], [second]]
    assert client.gather(values) == before
    client.rebalance(values, workers=[first])
    assert [client.who_has(value)[value.key] for value in values] == homes, "there is nobody to move anything to"
    client.rebalance()
    with pytest.raises(ValueError, match="no worker 'nobody'"):
        client.rebalance(values, workers="nobody")


def test_only_what_makes_workers_more_equal_is_moved() -> None:
    assert plan([(4, [1]), (3, [1]), (2, [1])], [1, 2]) == [Move(0, 1, 2)]
    assert plan([(1, [1]), (1, [1]), (1, [1])], [1, 2, 3]) == [Move(0, 1, 2), Move(1, 1, 3)]
    assert plan([(9, [1])], [1, 2]) == [], "the other would have it all"
    assert plan([(5, [1, 2]), (5, [1])], [1, 2]) == [], "the other would have it all"
    assert plan([(5, []), (5, [3])], [1, 2]) == [], "none of these has it"
