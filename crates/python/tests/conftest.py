"""One cluster for all tests, and a guard: a test that does not end is shown where it hangs, and ends the run."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bireme import Client, LocalCluster

#: Longest that anything may take, in seconds.
GUARD_S = 60.0
#: Standard error as it is outside of the tests, where what one prints is kept back.
_STDERR = pytest.StashKey[int]()
#: Where the daemons of this tree are built.
_BUILT = Path(__file__).parents[3] / "target"


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is kept back here yet."""
    config.stash[_STDERR] = os.dup(2)


@pytest.fixture(autouse=True)
def guard(pytestconfig: pytest.Config) -> Iterator[None]:
    """Ends the run with the stacks of all threads where a test hangs."""
    faulthandler.dump_traceback_later(GUARD_S, exit=True, file=pytestconfig.stash[_STDERR])
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session", autouse=True)
def daemons(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Takes the daemons of this tree, unless told otherwise; the environment leads to no cluster."""
    for name in ("BIREME_SCHEDULER", "BIREME_ACCESS_FILE"):
        os.environ.pop(name, None)
    os.environ["XDG_RUNTIME_DIR"] = str(tmp_path_factory.mktemp("run"))
    if "BIREME_BIN" not in os.environ:
        built = [_BUILT / profile for profile in ("debug", "release")]
        present = [directory for directory in built if (directory / "bireme-worker").exists()]
        if present:
            os.environ["BIREME_BIN"] = str(max(present, key=lambda found: (found / "bireme-worker").stat().st_mtime))


@pytest.fixture(scope="session")
def cluster(daemons: None) -> Iterator[LocalCluster]:
    """A cluster of two workers, each with a cpu."""
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """A client of its own for each test."""
    with Client(cluster) as client:
        yield client
