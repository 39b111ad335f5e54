"""Bireme: tasks on a cluster, or on this machine, for those who know dask.

    from bireme import Client

    with Client() as client:
        squares = client.map(lambda x: x * x, range(10))
        print(client.submit(sum, squares).result())

What a name needs is loaded when the name is first used: an executor process needs little of it, and starts the sooner.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._bireme import Refused, __version__
    from .client import Client, get_client
    from .cluster import LocalCluster
    from .completed import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, as_completed, fire_and_forget, wait
    from .errors import (
        BiremeError,
        InputLost,
        OutOfMemory,
        ProcessDied,
        RemoteTraceback,
        Reschedule,
        TaskCancelled,
        TaskError,
        TaskTimeout,
        Unreadable,
        Unsendable,
        WorkerLost,
        WouldDeadlock,
    )
    from .future import Future, futures_of
    from .worker_api import Worker, get_task_key, get_worker

#: The module that has each name.
_MODULES = {
    "ALL_COMPLETED": "completed",
    "FIRST_COMPLETED": "completed",
    "FIRST_EXCEPTION": "completed",
    "BiremeError": "errors",
    "Client": "client",
    "Future": "future",
    "InputLost": "errors",
    "LocalCluster": "cluster",
    "OutOfMemory": "errors",
    "ProcessDied": "errors",
    "Refused": "_bireme",
    "RemoteTraceback": "errors",
    "Reschedule": "errors",
    "TaskCancelled": "errors",
    "TaskError": "errors",
    "TaskTimeout": "errors",
    "Unreadable": "errors",
    "Unsendable": "errors",
    "Worker": "worker_api",
    "WorkerLost": "errors",
    "WouldDeadlock": "errors",
    "__version__": "_bireme",
    "as_completed": "completed",
    "fire_and_forget": "completed",
    "futures_of": "future",
    "get_client": "client",
    "get_task_key": "worker_api",
    "get_worker": "worker_api",
    "wait": "completed",
}

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "BiremeError",
    "Client",
    "Future",
    "InputLost",
    "LocalCluster",
    "OutOfMemory",
    "ProcessDied",
    "Refused",
    "RemoteTraceback",
    "Reschedule",
    "TaskCancelled",
    "TaskError",
    "TaskTimeout",
    "Unreadable",
    "Unsendable",
    "Worker",
    "WorkerLost",
    "WouldDeadlock",
    "__version__",
    "as_completed",
    "fire_and_forget",
    "futures_of",
    "get_client",
    "get_task_key",
    "get_worker",
    "wait",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
