"""What a client may ask about the workers, and calls on all of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from inspect import signature
from typing import TYPE_CHECKING, Any

from . import worker_api
from ._bireme import printed
from ._bireme import wait_for_workers as _wait_for_workers
from .completed import fire_and_forget
from .errors import WorkerLost, worker_lost
from .future import Future
from .task import PENDING

if TYPE_CHECKING:
    from ._bireme import Session
    from .client import Client
    from .cluster import LocalCluster
    from .link import Known, Link

#: How often is looked whether a worker is still there that a call waits for, in seconds.
_LOOK_S = 0.5
#: So many looks in a row may find it absent before it is taken to be gone.
_LOOKS = 4

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
    present = _wait_for_workers(session, wanted, timeout)
    if present < wanted:
        raise TimeoutError(f"the cluster has {present} of {wanted} workers after {timeout:g} s")


def run(
    client: Client,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    workers: str | Iterable[str] | None,
    wait: bool,
    on_error: str,
) -> dict[str, Any] | None:
    """Calls a function once on every worker that runs Python, or on some of them."""
    if on_error not in ("raise", "return", "ignore"):
        raise ValueError(f"on_error is {on_error!r}; give 'raise', 'return' or 'ignore'")
    link = client._live()
    called, given = (call_with_worker, (function, *args)) if _takes_worker(function) else (function, tuple(args))
    calls: dict[str, Future[Any]] = {}
    names: dict[str, str] = {}
    for worker in chosen(link.session, workers):
        if "python" in worker["runtimes"]:
            options = link.options.number(workers=[worker["name"]], resources={"cpus": 0})
            calls[worker["address"]] = Future(client, link.call(called, given, kwargs, options=options))
            names[worker["address"]] = str(worker["name"])
    link.submitter.flush()
    if not wait:
        fire_and_forget(list(calls.values()))
        return None
    results = {}
    with client._waiting([future.task for future in calls.values()]):
        lost = wait_at(link, {names[address]: future.task for address, future in calls.items()})
        for address, future in calls.items():
            try:
                results[address] = _result(link, future.task, lost.get(names[address]))
            except Exception as error:
                if on_error == "raise":
                    raise
                if on_error == "return":
                    results[address] = error
    return results


def wait_at(link: Link, calls: Mapping[str, Known]) -> dict[str, WorkerLost]:
    """Waits until calls have ended, each of which can run on the worker of one name only. Those of a worker that is gone are
    cancelled; returns why, by the workers' names.
    """
    ended, absent, lost = threading.Event(), Counter[str](), dict[str, WorkerLost]()
    if not calls:
        return lost
    link.watch_all(list(calls.values()), ended.set)
    while not ended.wait(_LOOK_S):
        present = {str(worker["name"]) for worker in link.session.workers()}
        for name, call in calls.items():
            absent[name] = 0 if name in present else absent[name] + 1
            # Once may be a scheduler that has just started again, and has not heard of all workers yet.
            if absent[name] > _LOOKS and name not in lost and link.status(call) == PENDING:
                lost[name] = worker_lost(f"worker {name} left before it had ended a call made on it alone")
                link.cancel([call])
    return lost


def _result(link: Link, call: Known, lost: WorkerLost | None) -> Any:
    if lost is not None:
        raise lost
    return link.result(call, None)


def task_logs(client: Client, future: Future[Any], lines: int) -> list[str]:
    """What a task has printed."""
    link = client._live()
    graph, index = link.place_of_task(future.task)
    pieces = printed(link.session, graph, index, lines)
    return b"".join(text for _, text in pieces).decode(errors="replace").splitlines()


def worker_logs(
    session: Session, cluster: LocalCluster, lines: int | None, workers: str | Iterable[str] | None
) -> dict[str, list[tuple[str, str]]]:
    """What workers of a cluster of this process have logged."""
    logs = {}
    for worker in chosen(session, workers):
        text = (cluster.directory / f"{worker['name']}.log").read_text(errors="replace").splitlines()
        wanted = text if lines is None else text[len(text) - min(lines, len(text)) :]
        logs[str(worker["address"])] = [(_level(line), line) for line in wanted]
    return logs


def _level(line: str) -> str:
    levels = ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
    return next((level for level in levels if level in line.split()[:3]), "INFO")


def restart(client: Client, cluster: LocalCluster, timeout: float | None, wait: bool) -> None:
    """Drops what a client has submitted, and starts workers anew."""
    link = client._live()
    link.reset()
    count = cluster.restart()
    if wait:
        wait_for_workers(link.session, count, timeout)


def chosen(session: Session, workers: str | Iterable[str] | None) -> list[WorkerStatus]:
    """The workers of these names or addresses; all by default. Raises ValueError for one that is not there."""
    present = session.workers()
    if workers is None:
        return present
    wanted = {workers} if isinstance(workers, str) else set(workers)
    found = [worker for worker in present if wanted & {worker["name"], worker["address"]}]
    unknown = wanted - {name for worker in found for name in (worker["name"], worker["address"])}
    if unknown:
        raise ValueError(f"the cluster has no worker {sorted(unknown)[0]!r}; scheduler_info() lists those it has")
    return found


def call_with_worker(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What runs on a worker where a function wants to be told of it."""
    return function(*args, dask_worker=worker_api.get_worker(), **kwargs)


def _takes_worker(function: Callable[..., Any]) -> bool:
    try:
        return "dask_worker" in signature(function).parameters
    except (TypeError, ValueError):
        return False  # It does not say what it takes.


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
