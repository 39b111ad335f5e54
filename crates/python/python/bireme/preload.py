"""What a process of a worker needs before it runs functions of a client: plugins, and files that the client uploaded.

It travels with the functions. Whoever unpickles one that needs something sees to that first, so that no task runs without
it, in whatever process of whichever worker, those that come later too.
"""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from . import worker_api
from .serialize import decode_function

#: Clients for which something is set up here at a time; beyond them those go of which no function is known here.
_OWNERS = 1024


class WorkerPlugin:
    """Something that every process that runs tasks of a client is to have. Any class with these methods will do."""

    #: Under this name it is registered; a new one for each if it has none.
    name: str

    def setup(self, worker: worker_api.Worker) -> None:
        """Called in a process before the first task of the client that runs there."""

    def teardown(self, worker: worker_api.Worker) -> None:
        """Called where it was set up: when another has its place or none has, or the process leaves in order."""


class Part(NamedTuple):
    """A plugin, as it travels."""

    name: str
    pickled: bytes


class Luggage(NamedTuple):
    """What functions of a client travel with."""

    #: Whose it is.
    owner: str
    #: Counts the changes.
    version: int
    parts: tuple[Part, ...]

    def packed(self, function: bytes) -> bytes:
        """The pickle of a function, with this before it."""
        return pickle.dumps(_Packed(self, function), 5)


class _Packed:
    """Unpickled, it is the function."""

    def __init__(self, luggage: Luggage, function: bytes) -> None:
        self._luggage, self._function = luggage, function

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return unpack, (self._luggage.owner, self._luggage.version, tuple(map(tuple, self._luggage.parts)), self._function)


class _SetUp(NamedTuple):
    pickled: bytes
    plugin: Any


class _Owned:
    """What is set up here for a client."""

    def __init__(self) -> None:
        self.version = 0
        self.plugins: dict[str, _SetUp] = {}


# Held while something is set up: a process of small actors makes several at a time.
_setting_up = threading.RLock()
_owners: dict[str, _Owned] = {}
_of_function: dict[Any, Luggage] = {}


def unpack(owner: str, version: int, parts: Sequence[tuple[str, bytes]], function: bytes) -> Callable[..., Any]:
    """Sets up what a function needs, and unpickles it."""
    luggage = Luggage(owner, version, tuple(Part(*part) for part in parts))
    with _setting_up:
        _set_up(luggage)
    unpacked = decode_function(function)
    attempt = worker_api.running()
    if attempt is not None:
        # From here on until `forget`.
        _of_function[attempt.given.function] = luggage
    return unpacked


def forget(function: Any) -> None:
    """A function of tasks is not known here any more; nor is its client, if it was the last of that one."""
    luggage = _of_function.pop(function, None)
    if luggage is not None and not _has_functions(luggage.owner):
        with _setting_up:
            _drop(luggage.owner)


def inherited() -> Luggage | None:
    """What the function of the running task came with: those that it submits travel with the same."""
    attempt = worker_api.running()
    return None if attempt is None else _of_function.get(attempt.given.function)


def end() -> None:
    """Takes everything down: the process leaves."""
    for owner in list(_owners):
        _drop(owner)


def _set_up(luggage: Luggage) -> None:
    owned = _owners.get(luggage.owner)
    if owned is None:
        if len(_owners) >= _OWNERS and (idle := next((it for it in _owners if not _has_functions(it)), None)) is not None:
            _drop(idle)
        owned = _owners[luggage.owner] = _Owned()
    if luggage.version <= owned.version:
        return  # A function that was sent earlier.
    wanted = dict(luggage.parts)
    for name, (pickled, _) in list(owned.plugins.items()):
        if wanted.get(name) != pickled:
            _take_down(owned, name)
    for name, pickled in wanted.items():
        if name not in owned.plugins:
            plugin = pickle.loads(pickled)
            try:
                getattr(plugin, "setup", _nothing)(worker_api.here())
            except Exception as error:
                raise RuntimeError(f"the plugin {name!r} cannot be set up: {type(error).__name__}: {error}") from error
            owned.plugins[name] = _SetUp(pickled, plugin)
    # Only now: what failed is tried again by the next function.
    owned.version = luggage.version


def _has_functions(owner: str) -> bool:
    """Whether functions of a client's tasks are known here, which are called without being unpacked again."""
    return any(luggage.owner == owner for luggage in _of_function.values())


def _drop(owner: str) -> None:
    """Takes down what is set up for a client, and forgets the client."""
    owned = _owners.pop(owner)
    for name in list(owned.plugins):
        _take_down(owned, name)


def _take_down(owned: _Owned, name: str) -> None:
    plugin = owned.plugins.pop(name).plugin
    try:
        getattr(plugin, "teardown", _nothing)(worker_api.here())
    except Exception as error:
        print(f"the plugin {name!r} could not be taken down: {type(error).__name__}: {error}", file=sys.stderr)


def _nothing(_: object) -> None:
    pass


class UploadedFile:
    """A file that a client uploaded: a module, or an archive of modules, is found by imports."""

    def __init__(self, name: str, content: bytes, load: bool) -> None:
        self.name = name
        self._content = content
        self._load = load
        self._path: str | None = None

    def setup(self, _: object) -> None:
        """Puts it where imports look."""
        digest = blake2b(self._content, digest_size=16).hexdigest()
        directory = uploads() / digest
        file = directory / self.name
        if not file.exists():
            directory.mkdir(parents=True, exist_ok=True)
            # Whole at once: other processes of the worker may be at it too.
            part = directory / f".{self.name}.{os.getpid()}"
            part.write_bytes(self._content)
            part.rename(file)
        is_module = file.suffix == ".py"
        self._path = str(file if file.suffix in (".zip", ".egg") else directory)
        sys.path.insert(0, self._path)
        importlib.invalidate_caches()
        if is_module:
            sys.modules.pop(file.stem, None)
            if self._load:
                importlib.import_module(file.stem)

    def teardown(self, _: object) -> None:
        """Imports find it no more."""
        if self._path in sys.path:
            sys.path.remove(self._path)
        importlib.invalidate_caches()


def uploads() -> Path:
    """Where files that were uploaded lie."""
    return directory_of_process() / "uploads"


def directory_of_process() -> Path:
    """A directory that this process has in common with the others of its worker; removed with the worker's own files."""
    socket = os.environ.get("BIREME_EXECUTOR_SOCKET")
    return Path(socket).parent if socket else Path(tempfile.gettempdir())
