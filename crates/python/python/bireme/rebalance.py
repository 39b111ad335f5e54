"""Values moved between workers, until each has about as many bytes of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .called import Called
from .fleet import chosen
from .holders import have_taken, place_of, python_workers, wait_for
from .task import Task

if TYPE_CHECKING:
    from .client import Client
    from .future import Future


class Move(NamedTuple):
    """A value, by its place in a list, and the workers that it goes from and to."""

    value: int
    source: int
    target: int


def rebalance(client: Client, futures: Sequence[Future[Any]] | None, workers: str | Iterable[str] | None) -> None:
    """Moves values between workers. Waits for the tasks that make them, if they are named."""
    if futures is None:
        values = [future for future in client._futures() if _is_stored(future)]
    else:
        values = list({future.key: future for future in futures}.values())
        wait_for(client, [future.task for future in values])
    session = client._live().session
    names = set(python_workers(client, workers))
    takers = {int(worker["number"]): str(worker["name"]) for worker in chosen(session, workers) if worker["name"] in names}
    held = session.holders([place_of(future.task) for future in values])
    moves = plan(held, list(takers))
    copies: dict[str, list[Future[Any]]] = {}
    for move in moves:
        copies.setdefault(takers[move.target], []).append(values[move.value])
    have_taken(client, copies)
    # What others have too by now: a copy that did not come about costs no value.
    session.drop_replicas([(place_of(values[move.value].task), move.source) for move in moves])


def plan(held: Sequence[tuple[int, Collection[int]]], workers: Sequence[int]) -> list[Move]:
    """What to move, given the size of each value and who has it: the largest first, each from the fullest worker that has it
    to the emptiest that has not, as long as that makes them more equal."""
    load = {worker: sum(size for size, holders in held if worker in holders) for worker in workers}
    moves = []
    for value in sorted(range(len(held)), key=lambda value: -held[value][0]):
        size, holders = held[value]
        sources = [worker for worker in workers if worker in holders]
        targets = [worker for worker in workers if worker not in holders]
        if not sources or not targets:
            continue
        source, target = max(sources, key=load.__getitem__), min(targets, key=load.__getitem__)
        if load[target] + size < load[source]:
            moves.append(Move(value, source, target))
            load[source] -= size
            load[target] += size
    return moves


def _is_stored(future: Future[Any]) -> bool:
    """Whether workers may have its value by now: not that of a call, which lies with its actor."""
    known = future.task
    if isinstance(known, Called):
        return False
    return not isinstance(known, Task) or known.is_sent
