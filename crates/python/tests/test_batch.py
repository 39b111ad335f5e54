"""When batches leave, with a session that only notes what it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from bireme._bireme import Session
from bireme.batch import BATCH_TASKS, Submitter


class Noted:
    """A session that has no cluster."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.released: list[tuple[int, list[int]]] = []
        self.changed = threading.Condition()

    def submit(self, rows: list[Any], **_: Any) -> int:
        with self.changed:
            self.batches.append(list(rows))
            self.changed.notify_all()
            return len(self.batches)

    def release(self, graph: int, indices: list[int]) -> None:
        with self.changed:
            self.released.append((graph, sorted(indices)))
            self.changed.notify_all()


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def submitter(noted: Noted) -> Iterator[Submitter]:
    submitter = Submitter(cast(Session, noted))
    yield submitter
    submitter.close()


def test_a_full_batch_leaves_at_once(submitter: Submitter, noted: Noted, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing leaves by itself.
    monkeypatch.setattr("bireme.batch.TICK_S", 60.0)
    tasks = [submitter.add(f"t{n}", b"", b"", (), 0) for n in range(BATCH_TASKS)]
    assert all(task.is_sent for task in tasks)
    assert sum(len(batch) for batch in noted.batches) == BATCH_TASKS


def test_the_rest_leaves_by_itself(submitter: Submitter, noted: Noted) -> None:
    task = submitter.add("alone", b"", b"", (), 0)
    with noted.changed:
        assert noted.changed.wait_for(lambda: noted.batches, 30)
    submitter.flush()
    assert task.place == (1, 0)


def test_inputs_are_named_by_batch_and_place(submitter: Submitter, noted: Noted) -> None:
    first = submitter.add("first", b"", b"", (), 0)
    submitter.flush()
    with submitter._sending:  # Nothing leaves between these two.
        second = submitter.add("second", b"", b"", (), 0)
        third = submitter.add("third", b"", b"", (first, second), 0)
    submitter.flush()
    assert (second.place, third.place) == ((2, 0), (2, 1))
    assert noted.batches[1][1] == ("third", b"", b"", [(1, 0), 0], 0)


def test_what_nobody_holds_is_released(submitter: Submitter, noted: Noted) -> None:
    kept = submitter.add("kept", b"", b"", (), 0)
    submitter.add("dropped", b"", b"", (), 0)
    submitter.flush()
    with noted.changed:
        assert noted.changed.wait_for(lambda: noted.released, 30)
    graph, index = kept.place
    assert (graph, [index]) not in noted.released
    del kept
    with noted.changed:
        assert noted.changed.wait_for(lambda: sum(len(indices) for _, indices in noted.released) == 2, 30)


def test_who_sleeps_is_woken(submitter: Submitter, noted: Noted) -> None:
    task = submitter.add("early", b"", b"", (), 0)
    with noted.changed:
        assert noted.changed.wait_for(lambda: noted.batches, 30)
    assert submitter._thread is not None
    while not submitter._is_asleep:
        submitter._thread.join(0.001)
    del task  # No call that would wake it follows.
    with noted.changed:
        assert noted.changed.wait_for(lambda: noted.released, 30)


def test_what_cannot_be_sent_says_why(submitter: Submitter, noted: Noted, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(rows: list[Any], **_: Any) -> int:
        raise ConnectionError("gone")

    monkeypatch.setattr(noted, "submit", refuse)
    task = submitter.add("lost", b"", b"", (), 0)
    submitter.flush()
    assert task.is_sent
    with pytest.raises(ConnectionError, match="gone"):
        _ = task.place


def test_a_closed_one_refuses(submitter: Submitter) -> None:
    submitter.close()
    with pytest.raises(RuntimeError, match="closed"):
        submitter.add("late", b"", b"", (), 0)
