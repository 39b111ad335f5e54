"""What a client is told before anything has failed."""

from __future__ import annotations

import logging
import threading
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


def test_whoever_logs_a_warning_may_use_the_client(client: Client) -> None:
    done: SimpleQueue[int] = SimpleQueue()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: done.put(client.submit(increment, 1).result())  # type: ignore[method-assign]
    logger = logging.getLogger("bireme")
    logger.addHandler(handler)
    try:
        future = client.submit(increment, 1, resources={"gpu": 1}, pure=False)
        assert done.get(timeout=60) == 2
    finally:
        logger.removeHandler(handler)
    future.cancel()


def test_a_slow_handler_holds_nobody_up(client: Client) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            begun.set()
            go_on.wait(60)

    handler, logger = Slow(logging.WARNING), logging.getLogger("bireme")
    logger.addHandler(handler)
    try:
        future = client.submit(increment, 2, resources={"gpu": 1}, pure=False)
        assert begun.wait(60)
        assert client.submit(increment, 3, pure=False).result(timeout=60) == 4
    finally:
        go_on.set()
        logger.removeHandler(handler)
    future.cancel()


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
