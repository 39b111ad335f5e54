"""Which versions of what matters the client, the scheduler and the workers have."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from typing import TYPE_CHECKING, Any

from . import fleet

if TYPE_CHECKING:
    from .client import Client

#: Of these a difference breaks what is pickled.
REQUIRED = ("bireme", "cloudpickle")
#: Of these people want to know.
OPTIONAL = ("msgpack", "numpy", "pandas", "dask", "pyarrow", "lz4")


def get_versions(client: Client, check: bool, packages: Iterable[str]) -> dict[str, Any]:
    """The versions of all. With `check`, ValueError where they do not fit."""
    wanted = (*REQUIRED, *OPTIONAL, *packages)
    found: dict[str, Any] = {
        "client": versions(wanted),
        "scheduler": {"packages": {"bireme": client._live().session.status()["version"]}},
        "workers": fleet.run(client, versions, (wanted,), {}, None, wait=True, on_error="raise"),
    }
    if check:
        _check(found["client"], found["workers"] or {})
    return found


def versions(packages: Iterable[str]) -> dict[str, Any]:
    """Those of this process; None for packages that are not there."""
    return {
        "host": {
            "python": platform.python_version(),
            "executable": sys.executable,
            "OS": platform.system(),
            "machine": platform.machine(),
        },
        "packages": {name: _version(name) for name in packages},
    }


def _version(package: str) -> str | None:
    if package == "bireme":
        from ._bireme import __version__

        return __version__
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _check(client: dict[str, Any], workers: dict[str, Any]) -> None:
    for address, worker in workers.items():
        ours, theirs = (_minor(each["host"]["python"]) for each in (client, worker))
        if ours != theirs:
            raise ValueError(f"worker {address} runs Python {theirs}, this process {ours}; use the same")
        for name in REQUIRED:
            ours, theirs = client["packages"][name], worker["packages"][name]
            if ours != theirs:
                raise ValueError(f"worker {address} has {name} {theirs}, this process {ours}; install the same")


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
