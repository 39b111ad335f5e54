"""The cluster as an executor of the standard library."""

from __future__ import annotations

import os
from concurrent import futures
from pathlib import Path

import pytest

from bireme import Client
from calls import increment, read, refuse


def test_it_is_an_executor(client: Client) -> None:
    with client.get_executor() as executor:
        assert isinstance(executor, futures.Executor)
        assert executor.submit(increment, 1).result(30) == 2
        assert list(executor.map(increment, range(10), timeout=30)) == list(range(1, 11))
        with pytest.raises(ValueError, match="bad"):
            executor.submit(refuse, "bad").result(30)
        ended = futures.wait([executor.submit(increment, n) for n in range(3)], timeout=30)
        assert not ended.not_done
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(increment, 1)
    assert client.submit(increment, 1).result() == 2


def test_cancelling_reaches_the_task(client: Client, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    executor = client.get_executor()
    waiting = executor.submit(read, str(pipe))
    assert waiting.cancel()
    with pytest.raises(futures.CancelledError):
        waiting.result(30)
    executor.shutdown(wait=True, cancel_futures=True)
