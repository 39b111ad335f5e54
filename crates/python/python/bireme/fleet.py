"""What a client may ask about the workers, and calls on all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from html import escape
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._bireme import Session
    from .client import Client

#: How often the cluster is asked how many workers it has, in seconds.
_ASK_S = 0.01

WorkerStatus = dict[str, Any]


def scheduler_info(session: Session, n_workers: int) -> dict[str, Any]:
    """The scheduler's address and its workers, by their addresses; at most `n_workers` of them, unless negative."""
    workers = session.workers()
    shown = workers if n_workers < 0 else workers[:n_workers]
    return {
        "type": "Scheduler",
        "address": session.address,
        "n_workers": len(workers),
        "total_threads": int(cpus_of(workers)),
        "total_memory": sum(int(worker["memory"]) for worker in workers),
        "workers": {
            worker["address"]: {
                "type": "Worker",
                "id": worker["name"],
                "name": worker["name"],
                "nthreads": int(worker["cpus"]),
                "memory_limit": int(worker["memory"]),
                "status": worker["state"],
            }
            for worker in shown
        },
    }


def nthreads(session: Session, workers: Iterable[str] | None) -> dict[str, int]:
    """How many cpus workers have."""
    wanted = None if workers is None else set(workers)
    return {
        worker["address"]: int(worker["cpus"])
        for worker in session.workers()
        if wanted is None or wanted & {worker["address"], worker["name"]}
    }


def wait_for_workers(session: Session, wanted: int, timeout: float | None) -> None:
    """Waits until there are so many workers."""
    pause = threading.Event()
    until = None if timeout is None else monotonic() + timeout
    while (present := len(session.workers())) < wanted:
        if until is not None and monotonic() > until:
            raise TimeoutError(f"the cluster has {present} of {wanted} workers after {timeout:g} s")
        pause.wait(_ASK_S)


def run(
    client: Client,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    workers: Iterable[str] | None,
    wait: bool,
    on_error: str,
) -> dict[str, Any] | None:
    """Calls a function on every worker."""
    link = client._live()
    wanted = None if workers is None else set(workers)
    calls = {}
    for worker in link.session.workers():
        name, address = worker["name"], worker["address"]
        if wanted is None or wanted & {name, address}:
            options = link.options.number(workers=[name], resources={"cpus": 0})
            calls[address] = link.call(function, args, kwargs, options=options)
    link.submitter.flush()
    if not wait:
        return None
    results = {}
    for address, task in calls.items():
        try:
            results[address] = link.result(task, None)
        except Exception as error:
            if on_error == "raise":
                raise
            if on_error == "return":
                results[address] = error
    return results


def cpus_of(workers: Sequence[WorkerStatus]) -> float:
    """The cpus of workers together."""
    return sum(float(worker["cpus"]) for worker in workers)


def table(address: str, workers: Sequence[WorkerStatus]) -> str:
    """The cluster as a table for notebooks."""
    rows = "".join(
        f"<tr><td>{escape(str(worker['name']))}</td><td>{escape(str(worker['address']))}</td>"
        f"<td>{worker['cpus']:g}</td><td>{int(worker['memory']) / 2**30:.1f} GiB</td>"
        f"<td>{escape(str(worker['state']))}</td></tr>"
        for worker in workers
    )
    return (
        f"<b>Client</b> <code>{escape(address)}</code>: {len(workers)} workers, {cpus_of(workers):g} cpus"
        "<table><tr><th>worker</th><th>address</th><th>cpus</th><th>memory</th><th>state</th></tr>"
        f"{rows}</table>"
    )
