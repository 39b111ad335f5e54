"""Plugins and uploaded files: what processes have before they run tasks of a client."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bireme import Client, LocalCluster, Unreadable, WorkerPlugin, executor, get_client, plugins, preload, worker_api
from bireme.calls import FUNCTIONS, Functions
from bireme.preload import Luggage, Part
from bireme.serialize import encode_function
from calls import increment


@pytest.fixture
def lone() -> Iterator[Client]:
    """A client of a cluster with one worker."""
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


class Notes(WorkerPlugin):
    """Leaves a line where it is set up and taken down."""

    name = "notes"

    def __init__(self, path: Path, text: str = "") -> None:
        self.path = path
        self.text = text

    def setup(self, worker: Any) -> None:
        os.environ["NOTES"] = self.text
        self._note("up")

    def teardown(self, worker: Any) -> None:
        os.environ.pop("NOTES", None)
        self._note("down")

    def _note(self, what: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{what} {self.text} {os.getpid()}\n")


def notes() -> tuple[str | None, int]:
    return os.environ.get("NOTES"), os.getpid()


def nested_notes() -> tuple[str | None, int]:
    return get_client().submit(notes, pure=False).result()  # type: ignore[no-any-return]


def words(path: Path) -> list[str]:
    return [line.rpartition(" ")[0] for line in path.read_text().splitlines()] if path.exists() else []


def test_every_process_sets_a_plugin_up_before_its_first_task(lone: Client, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    assert lone.submit(notes, pure=False).result()[0] is None
    assert lone.register_plugin(Notes(path, "a")) == {address: {"status": "OK"} for address in lone.nthreads()}
    assert {lone.submit(notes, pure=False).result()[0] for _ in range(3)} == {"a"}
    assert words(path) == ["up a"]
    # A worker that comes later.
    assert lone.cluster is not None
    lone.cluster.scale(2)
    lone.wait_for_workers(2, timeout=30)
    found = lone.run(notes)
    assert {text for text, _ in found.values()} == {"a"}
    assert len({pid for _, pid in found.values()}) == 2
    assert words(path) == ["up a", "up a"]


def test_another_plugin_of_its_name_takes_its_place(lone: Client, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    lone.register_plugin(Notes(path, "a"))
    lone.register_plugin(Notes(path, "b"))
    assert lone.register_plugin(Notes(path, "c"), idempotent=True) == {}
    assert words(path) == ["up a", "down a", "up b"]
    lone.unregister_worker_plugin("notes")
    assert words(path) == ["up a", "down a", "up b", "down b"]
    assert lone.submit(notes, pure=False).result()[0] is None
    with pytest.raises(ValueError, match="no plugin 'notes' is registered; there are: none"):
        lone.unregister_worker_plugin("notes")


def test_tasks_of_tasks_have_it_too(tmp_path: Path) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster, set_as_default=False) as client:
        client.register_plugin(Notes(tmp_path / "notes", "a"))
        # While its parent waits in one process it runs in another.
        parent, (text, child) = os.getpid(), client.submit(nested_notes).result()
        assert text == "a" and child != parent


class Broken(WorkerPlugin):
    def setup(self, worker: Any) -> None:
        raise OSError("no licence")


class SchedulerPlugin:
    pass


def test_a_plugin_that_cannot_be_set_up_says_so_and_is_not_registered(lone: Client) -> None:
    with pytest.raises(Unreadable, match="no licence"):
        lone.register_plugin(Broken(), name="broken")
    assert lone.submit(increment, 1).result() == 2
    with pytest.raises(NotImplementedError, match="the scheduler runs no code of clients"):
        lone.register_plugin(SchedulerPlugin())
    with pytest.raises(TypeError, match=r"give an object of it: Broken\(\)"):
        lone.register_plugin(Broken)


def uploaded_value() -> int:
    import uploaded_for_tests  # type: ignore[import-not-found]

    return uploaded_for_tests.VALUE  # type: ignore[no-any-return]


def test_an_uploaded_module_is_found_by_imports(lone: Client, tmp_path: Path) -> None:
    module = tmp_path / "uploaded_for_tests.py"
    module.write_text("VALUE = 1\n")
    lone.upload_file(module)
    assert lone.submit(uploaded_value).result() == 1
    module.write_text("VALUE = 2\n")
    lone.upload_file(str(module))
    assert lone.submit(uploaded_value, pure=False).result() == 2
    assert lone.cluster is not None
    lone.cluster.scale(2)
    lone.wait_for_workers(2, timeout=30)
    assert set(lone.run(uploaded_value).values()) == {2}


def zipped_value() -> int:
    import zipped_for_tests.inner  # type: ignore[import-not-found]

    return zipped_for_tests.inner.VALUE  # type: ignore[no-any-return]


def test_an_uploaded_archive_is_found_by_imports(lone: Client, tmp_path: Path) -> None:
    archive = tmp_path / "modules.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped_for_tests/__init__.py", "")
        file.writestr("zipped_for_tests/inner.py", "VALUE = 7\n")
    lone.upload_file(archive)
    assert lone.submit(zipped_value).result() == 7


def test_a_file_that_is_too_large_to_travel_is_refused(client: Client, tmp_path: Path) -> None:
    large = tmp_path / "large.zip"
    with large.open("wb") as file:
        file.truncate(9 << 20)
    with pytest.raises(ValueError, match="at most 8388608 travel"):
        client.upload_file(large)


def test_threads_may_register_at_a_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_everywhere", lambda client: {})
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            names = [f"plugin-{n}" for n in range(64)]
            for _ in threads.map(lambda name: client.register_plugin(WorkerPlugin(), name), names):
                pass
            luggage = client._live().functions.luggage
            assert luggage is not None and {part.name for part in luggage.parts} == set(names)
            for _ in threads.map(client.unregister_worker_plugin, names):
                pass
    finally:
        sys.setswitchinterval(interval)
    luggage = client._live().functions.luggage
    assert luggage is not None and luggage.parts == ()


class Given:
    """A function of a task, as a client sends it."""

    def __init__(self, owner: str, number: int, parts: tuple[Part, ...] = ()) -> None:
        self.key = self.function = f"{owner} {number}".encode()
        self._code = Luggage(owner, 1, parts).packed(encode_function(increment))

    def code(self) -> bytes:
        return self._code


def test_a_process_forgets_what_came_with_a_function_when_it_forgets_the_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preload, "_of_function", {})
    monkeypatch.setattr(preload, "_owners", {})
    functions = Functions(executor._forget)

    def call(given: Given) -> Luggage | None:
        monkeypatch.setattr(worker_api._here, "_attempt", SimpleNamespace(given=given))
        functions.find(cast(Any, given))
        return preload.inherited()

    path = tmp_path / "notes"
    passing = Given("passing", 0, (Part("notes", encode_function(cast(Any, Notes(path, "a")))),))
    lasting = Given("lasting", 0)
    assert call(passing) is not None and words(path) == ["up a"]
    for number in range(1, FUNCTIONS + 2):
        assert call(lasting) is not None
        assert call(Given("others", number)) is not None
    assert words(path) == ["up a", "down a"], "no function of that client is known any more"
    assert set(preload._owners) == {"lasting", "others"}
    assert len(preload._of_function) == FUNCTIONS
