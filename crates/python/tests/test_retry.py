"""Tasks that are tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from bireme import Client
from calls import increment


def value_in(path: str) -> int:
    return int(Path(path).read_text())


def test_what_failed_is_tried_again(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "value"
    failing = client.submit(value_in, str(path))
    dependent = client.submit(increment, failing)
    for future in (failing, dependent):
        with pytest.raises(FileNotFoundError):
            future.result(30)
        assert future.status == "error"
    path.write_text("7")
    client.retry([failing, dependent])
    assert (failing.result(30), dependent.result(30)) == (7, 8)
    assert (failing.status, dependent.status) == ("finished", "finished")


def test_a_future_is_tried_again(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "value"
    failing = client.submit(value_in, str(path))
    assert isinstance(failing.exception(30), FileNotFoundError)
    path.write_text("1")
    failing.retry()
    assert failing.result(30) == 1
    failing.retry()
    assert failing.result(30) == 1
