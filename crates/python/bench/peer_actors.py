"""Actors: calls one at a time and many at once, from clients and from each other, and what it takes to make one."""

from __future__ import annotations

import time
from typing import Any

from bodies import Counter
from lines import Bench, percentile, warm, weigh_up, workload
from pinned import pinned, rounds

from bireme import Client

#: By then a worker has a process ready for the next actor, in seconds.
_SPARE_READY_S = 0.5
#: What calls of a size carry.
_KIB, _MIB = b"x" * 2**10, b"x" * 2**20


@workload("actor_rtt", 200, topology=(1, 1))
def actor_rtt(bench: Bench) -> None:
    """One call after the other's result, beside a bare exchange over TCP."""

    def trips(client: Client) -> dict[str, Any]:
        actor = client.actor(Counter)
        actor.inc().result()
        weigh_up()
        return {
            "": lambda: actor.inc().result(),
            "_1k": lambda: actor.take(_KIB).result(),
            "_1m": lambda: actor.take(_MIB).result(),
        }

    rounds(bench, trips)


def _pipelined(bench: Bench, **options: Any) -> None:
    """Calls of one actor, made before the first result is asked for."""
    with bench.cluster() as cluster, Client(cluster) as client:
        actor = client.actor(Counter, **options)
        weigh_up()

        def run(n: int) -> None:
            for future in [actor.inc() for _ in range(n)]:
                future.result()

        run(200)
        walls = bench.seconds(lambda: run(bench.n))
        bench.emit([1e6 / bench.n * wall for wall in walls], "us/call")


@workload("actor_pipeline", 20_000, topology=(1, 1))
def actor_pipeline(bench: Bench) -> None:
    """Many calls at once."""
    _pipelined(bench)


@workload("actor_once", 20_000, topology=(1, 1))
def actor_once(bench: Bench) -> None:
    """The same of an actor that forgets none of them when it is killed."""
    _pipelined(bench, delivery="effectively_once", durability="process")


@workload("actor_once_disk", 20_000, topology=(1, 1))
def actor_once_disk(bench: Bench) -> None:
    """The same of one that outlives a power cut."""
    _pipelined(bench, delivery="effectively_once", durability="disk")


@workload("actor_create", 20, topology=(1, 1))
def actor_create(bench: Bench) -> None:
    """Makes an actor and calls it once: one after the other as fast as can be; after a while, in which the worker makes a
    process ready for the next; and in a process that all share.
    """
    with bench.cluster() as cluster, Client(cluster) as client:
        warm(client)
        for suffix, isolation, pause in (("", "process", 0.0), ("_spare", "process", _SPARE_READY_S), ("_shared", "shared", 0.0)):
            medians = []
            for _ in range(bench.repeats):
                times = []
                for _ in range(bench.n):
                    weigh_up()
                    time.sleep(pause)
                    before = time.perf_counter()
                    actor = client.actor(Counter, isolation=isolation)
                    actor.inc().result()
                    times.append(time.perf_counter() - before)
                    actor.kill()
                medians.append(1e3 * percentile(times, 0.5))
            bench.emit(medians, "ms", suffix)


@workload("actor_to_actor", 200)
def actor_to_actor(bench: Bench) -> None:
    """Calls that an actor makes of one on another worker, beside a bare exchange of its client's."""
    with pinned(bench) as (client, exchange):
        first, second = sorted(client.scheduler_info()["workers"])
        callee = client.actor(Counter, workers=[first])
        caller = client.actor(Counter, callee, workers=[second])
        caller.ping_other(20).result()
        weigh_up()
        calls, ratios = [], []
        for _ in range(max(bench.repeats, 10)):
            raw = []
            for _ in range(bench.n):
                before = time.perf_counter()
                exchange()
                raw.append(time.perf_counter() - before)
            calls.append(percentile(caller.ping_other(bench.n).result(), 0.5))
            ratios.append(calls[-1] / percentile(raw, 0.5))
        bench.emit([1e3 * call for call in calls], "ms/call")
        bench.emit(ratios, "x", "_to_raw")
