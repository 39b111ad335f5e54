"""Which workers have which values, and copies of values for workers that are to have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .called import Called
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
    sent = {key: _place(task) for key, task in tasks.items() if not isinstance(task, Task) or task.is_sent}
    holders = dict(zip(sent, session.holders(list(sent.values())), strict=True))
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
    names = _names(client._live().session, workers)
    if not names:
        raise ValueError("no worker is there to have a copy; wait_for_workers() first")
    if broadcast is not False and broadcast is not True:
        names = names[:broadcast]
    link = client._live()
    parts = [(name, futures if broadcast else futures[n :: len(names)]) for n, name in enumerate(names)]
    calls = []
    for name, part in parts:
        if part:
            options = link.options.number(workers=[name], resources={"cpus": 0})
            calls.append(link.call(take, tuple(part), {}, options=options))
    for value in link.results(calls):
        if isinstance(value, Exception):
            raise value


def take(*values: Any) -> None:
    """What runs on a worker so that it has values."""


def _names(session: Session, workers: str | Iterable[str] | None) -> list[str]:
    present = session.workers()
    if workers is None:
        return [str(worker["name"]) for worker in present]
    wanted = {workers} if isinstance(workers, str) else set(workers)
    found = [worker for worker in present if wanted & {worker["name"], worker["address"]}]
    unknown = wanted - {name for worker in found for name in (worker["name"], worker["address"])}
    if unknown:
        raise ValueError(f"the cluster has no worker {sorted(unknown)[0]!r}; scheduler_info() lists those it has")
    return [str(worker["name"]) for worker in found]


def _place(value: Known) -> Any:
    if isinstance(value, Called):
        raise TypeError(f"{value.key} is the result of a call, which lies with its actor; pass it to a task to have it elsewhere")
    return value.place if isinstance(value, Task) else value.object
