"""Latency: the client on one core, everything else on another, in rounds with a bare exchange over TCP between the same two
cores. What is judged is the median of the rounds' ratios: whatever else happens on the machine happens to all of a round.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lines import CLIENT_CORE, DAEMON_CORE, Bench, percentile, warm

from bireme import Client, LocalCluster

#: Rounds, at least.
_ROUNDS_MIN = 10
#: Round trips of each kind before the first round, at most.
_WARM_UP = 50
#: Bytes of a bare exchange.
_PING = b"7" * 64

#: A round trip, whose result says nothing.
Trip = Callable[[], object]


def rounds(bench: Bench, trips: Callable[[Client], Mapping[str, Trip]], **options: Any) -> None:
    """Measures round trips, by the suffixes of their figures, on a cluster with these options."""
    with pinned(bench, **options) as (client, exchange):
        kinds = {"_raw": exchange, **trips(client)}
        for trip in kinds.values():
            _times(trip, min(bench.n, _WARM_UP))
        found: dict[str, list[list[float]]] = {suffix: [] for suffix in kinds}
        for _ in range(max(bench.repeats, _ROUNDS_MIN)):
            for suffix, trip in kinds.items():
                # Large ones take their time, and fewer tell as much.
                found[suffix].append(_times(trip, bench.n // 10 if suffix == "_1m" else bench.n))
    for suffix, times in found.items():
        bench.emit([1e3 * percentile(those, 0.5) for those in times], "ms", f"{suffix}_p50")
        bench.emit([1e3 * percentile(those, 0.99) for those in times], "ms", f"{suffix}_p99")
        if suffix != "_raw":
            both = zip(times, found["_raw"], strict=True)
            bench.emit([percentile(own, 0.5) / percentile(raw, 0.5) for own, raw in both], "x", f"{suffix}_to_raw")


@contextmanager
def pinned(bench: Bench, **options: Any) -> Iterator[tuple[Client, Trip]]:
    """A client on one core of a cluster on the other, and a bare exchange with a process there."""
    cores, bench.is_pinned = os.sched_getaffinity(0), True
    os.sched_setaffinity(0, {DAEMON_CORE})
    listener = socket.create_server(("127.0.0.1", 0))
    echo = os.fork()
    if echo == 0:
        _echo(listener)
    try:
        with LocalCluster(bench.workers, bench.threads, **options) as cluster:
            os.sched_setaffinity(0, {CLIENT_CORE})
            with Client(cluster) as client, socket.create_connection(listener.getsockname()) as stream:
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                warm(client)

                def exchange() -> None:
                    stream.sendall(_PING)
                    left = len(_PING)
                    while left:
                        left -= len(stream.recv(left))

                yield client, exchange
    finally:
        os.kill(echo, signal.SIGKILL)
        os.waitpid(echo, 0)
        listener.close()
        os.sched_setaffinity(0, cores)


def _echo(listener: socket.socket) -> None:
    """The other end of the bare exchange, until it is killed."""
    stream, _ = listener.accept()
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while piece := stream.recv(len(_PING)):
        stream.sendall(piece)
    os._exit(0)


def _times(trip: Trip, n: int) -> list[float]:
    times = []
    for _ in range(n):
        before = time.perf_counter()
        trip()
        times.append(time.perf_counter() - before)
    return times
