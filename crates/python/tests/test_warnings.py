"""What a client is told before anything has failed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from bireme import Client
from calls import increment


@pytest.fixture
def told() -> Iterator[SimpleQueue[str]]:
    """The warnings that are logged meanwhile."""
    messages: SimpleQueue[str] = SimpleQueue()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.put(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("bireme")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


class Idle:
    """An actor."""


def test_a_task_that_no_worker_can_take(client: Client, told: SimpleQueue[str]) -> None:
    future = client.submit(increment, 1, resources={"gpu": 1})
    assert "gpu=1" in told.get(timeout=60)
    future.cancel()


def test_an_actor_that_no_worker_can_host(client: Client, told: SimpleQueue[str]) -> None:
    future = client.submit(Idle, actor=True, resources={"gpu": 1})
    warning = told.get(timeout=60)
    assert "no worker can host" in warning
    assert "gpu" in warning
    future.cancel()
