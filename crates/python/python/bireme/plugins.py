"""Plugins and uploaded files of a client: what its functions travel with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from . import fleet
from .preload import Luggage, Part, UploadedFile
from .serialize import encode_function

if TYPE_CHECKING:
    from .client import Client
    from .link import Link

#: Largest file that travels with functions, in bytes.
UPLOAD_BYTES = 8 << 20

#: What dask has that runs no code of tasks' processes, and what to use instead.
_ELSEWHERE = {
    "SchedulerPlugin": "the scheduler runs no code of clients; watch it by scheduler_info() or its metrics",
    "NannyPlugin": "nobody runs code for a client where workers are started; set `env=` of tasks, or how workers are started",
}


def register(client: Client, plugin: Any, name: str | None, idempotent: bool | None) -> dict[str, dict[str, str]]:
    """Has every process that runs tasks of this client set a plugin up first. Returns who has done so already."""
    for base in type(plugin).__mro__:
        if base.__name__ in _ELSEWHERE:
            raise NotImplementedError(f"{type(plugin).__name__} is a {base.__name__}: {_ELSEWHERE[base.__name__]}")
    if isinstance(plugin, type):
        raise TypeError(f"the plugin is the class {plugin.__name__}; give an object of it: {plugin.__name__}()")
    name = name or getattr(plugin, "name", None) or f"{type(plugin).__name__}-{uuid4().hex[:12]}"
    link, pickled = client._live(), _pickled(plugin, name)
    # What was submitted before it goes without.
    link.submitter.flush()
    with link.functions.changing:
        before = _parts(link).get(name)
        if before is not None and (idempotent or getattr(plugin, "idempotent", False)):
            return {}
        _change(link, name, pickled)
    try:
        return _everywhere(client)
    except BaseException:
        with link.functions.changing:
            # Unless somebody else has registered another meanwhile.
            if _parts(link).get(name) == pickled:
                _change(link, name, before)
        raise


def unregister(client: Client, name: str) -> dict[str, dict[str, str]]:
    """Has processes take a plugin down before their next task of this client."""
    link = client._live()
    link.submitter.flush()
    with link.functions.changing:
        parts = _parts(link)
        if name not in parts:
            known = ", ".join(sorted(parts)) or "none"
            raise ValueError(f"no plugin {name!r} is registered; there are: {known}")
        _change(link, name, None)
    return _everywhere(client)


def upload_file(client: Client, filename: str | os.PathLike[str], load: bool) -> dict[str, dict[str, str]]:
    """Has every process that runs tasks of this client find a file by its imports."""
    path = Path(filename)
    length = path.stat().st_size
    if length > UPLOAD_BYTES:
        raise ValueError(f"{path.name} has {length} bytes, at most {UPLOAD_BYTES} travel with functions; give `env=` to tasks")
    return register(client, UploadedFile(path.name, path.read_bytes(), load), f"file {path.name}", idempotent=False)


def _everywhere(client: Client) -> dict[str, dict[str, str]]:
    """Has one process of each worker do it at once, so that what is wrong is told here."""
    done = fleet.run(client, _nothing, (), {}, None, wait=True, on_error="raise") or {}
    return {address: {"status": "OK"} for address in done}


def _nothing() -> None:
    pass


def _parts(link: Link) -> dict[str, bytes]:
    luggage = link.functions.luggage
    return {} if luggage is None else {part.name: part.pickled for part in luggage.parts}


def _change(link: Link, name: str, pickled: bytes | None) -> None:
    """Has functions travel with this plugin under a name, or with none. Whoever calls holds `changing`."""
    luggage = link.functions.luggage
    parts = _parts(link)
    parts.pop(name, None)
    if pickled is not None:
        parts[name] = pickled
    owner = f"{link.session.address} {link.session.number}" if luggage is None else luggage.owner
    version = 1 if luggage is None else luggage.version + 1
    kept = tuple(Part(*part) for part in parts.items())
    link.functions.travel_with(Luggage(owner, version, kept))


def _pickled(plugin: Any, name: str) -> bytes:
    # As functions are: with its code, where nobody could import it.
    return encode_function(plugin, f"the plugin {name!r}")
