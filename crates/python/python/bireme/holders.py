"""Which workers have which values, and copies of values for workers that are to have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .called import Called
from .fleet import chosen, wait_at
from .link import Known
from .task import Task

if TYPE_CHECKING:
    from ._bireme import Session
    from .client import Client
    from .future import Future


def who_has(session: Session, futures: Sequence[Future[Any]]) -> dict[Any, list[str]]:
    """The addresses of the workers that have each value, by its key."""
    addresses = {worker["number"]: str(worker["address"]) for worker in session.workers()}
    tasks = {future.key: future.task for future in futures}
    sent = {key: place_of(task) for key, task in tasks.items() if not isinstance(task, Task) or task.is_sent}
    found = zip(sent, session.holders(list(sent.values())), strict=True)
    holders = {key: workers for key, (_size, workers) in found}
    return {
        key: sorted(addresses[number] for number in holders.get(key, ()) if number in addresses) for key in tasks
    }


def has_what(
    session: Session, futures: Sequence[Future[Any]], workers: Iterable[str] | None
) -> dict[str, list[Any]]:
    """The keys of the values that each worker has, by its address."""
    wanted = None if workers is None else set(workers)
    kept: dict[str, list[Any]] = {
        str(worker["address"]): []
        for worker in session.workers()
        if wanted is None or wanted & {worker["address"], worker["name"]}
    }
    for key, addresses in who_has(session, futures).items():
        for address in addresses:
            if address in kept:
                kept[address].append(key)
    return kept


def spread(
    client: Client, futures: Sequence[Future[Any]], workers: str | Iterable[str] | None, broadcast: bool | int
) -> None:
    """Has workers take copies of values: with `broadcast` all of the workers or so many, else each value one, in turn."""
    names = python_workers(client, workers)
    if broadcast is not False and broadcast is not True:
        names = names[:broadcast]
    have_taken(client, {name: futures if broadcast else futures[n :: len(names)] for n, name in enumerate(names)})


def replicate(
    client: Client, futures: Sequence[Future[Any]], n: int | None, workers: str | Iterable[str] | None
) -> None:
    """Has so many workers have each value, all of them unless said otherwise. Waits for the tasks that make them."""
    if n is not None and n < 1:
        raise ValueError(f"n is {n}; give 1 or more")
    wait_for(client, [future.task for future in futures])
    session = client._live().session
    by_address = {worker["address"]: worker["name"] for worker in chosen(session, workers)}
    names = python_workers(client, workers)
    wanted = len(names) if n is None else min(n, len(names))
    lacking: dict[str, list[Future[Any]]] = {name: [] for name in names}
    holders = who_has(session, futures)
    for place, future in enumerate(futures):
        have = {by_address[address] for address in holders[future.key] if address in by_address}
        # Others begin with another worker, so that none gets all.
        in_turn = [names[(place + step) % len(names)] for step in range(len(names))]
        for name in [name for name in in_turn if name not in have][: max(wanted - len(have), 0)]:
            lacking[name].append(future)
    have_taken(client, lacking)


def wait_for(client: Client, values: Sequence[Known]) -> None:
    """Waits for values, and raises what went wrong."""
    link = client._live()
    with client._waiting(values):
        errors = [link.error(value, None) for value in values]
    for error in errors:
        if error is not None:
            raise error


def have_taken(client: Client, plan: dict[str, Sequence[Future[Any]]] | dict[str, list[Future[Any]]]) -> None:
    """Has each of these workers take its values."""
    link = client._live()
    calls: dict[str, Known] = {}
    for name, futures in plan.items():
        if futures:
            options = link.options.number(workers=[name], resources={"cpus": 0})
            calls[name] = link.call(take, tuple(futures), {}, options=options)
    link.submitter.flush()
    with client._waiting(calls.values()):
        for error in wait_at(link, calls).values():
            raise error
    for call, value in zip(calls.values(), link.results(list(calls.values())), strict=True):
        link.taken(call, value)


def take(*values: Any) -> None:
    """What runs on a worker so that it has values."""


def python_workers(client: Client, workers: str | Iterable[str] | None) -> list[str]:
    """The names of workers that run Python."""
    names = [str(worker["name"]) for worker in chosen(client._live().session, workers) if "python" in worker["runtimes"]]
    if not names:
        raise ValueError("no worker is there to have a copy; wait_for_workers() first")
    return names


def place_of(value: Known) -> Any:
    """What the session knows a value by."""
    if isinstance(value, Called):
        raise TypeError(f"{value.key} is the result of a call, which lies with its actor; pass it to a task to have it elsewhere")
    return value.place if isinstance(value, Task) else value.object
