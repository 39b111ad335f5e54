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
    from ._bireme import __version__
    from .actor import Actor, ActorFuture
    from .actor_api import actor_exit, current_call, every, method
    from .actor_pool import ActorPool
    from .client import Client, get_client
    from .cluster import LocalCluster
    from .completed import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, as_completed, fire_and_forget, wait
    from .environment import Environment
    from .errors import (
        ActorError,
        ActorGone,
        ArgumentFailed,
        BiremeError,
        CallCancelled,
        CallNotRun,
        CallPoisoned,
        CallTimeout,
        CallUnknown,
        CallUnreadable,
        CallUnsendable,
        Deadlock,
        DecodeError,
        EncodeError,
        EnvironmentBroken,
        InputLost,
        MailboxFull,
        NoSuchMethod,
        NotFound,
        OutOfMemory,
        ProcessDied,
        Refused,
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
    from .preload import WorkerPlugin
    from .progress import progress
    from .worker_api import Worker, get_task_key, get_worker, rejoin, secede, worker_client

#: The module that has each name.
_MODULES = {
    "ALL_COMPLETED": "completed",
    "FIRST_COMPLETED": "completed",
    "FIRST_EXCEPTION": "completed",
    "Actor": "actor",
    "ActorError": "errors",
    "ActorFuture": "actor",
    "ActorGone": "errors",
    "ActorPool": "actor_pool",
    "ArgumentFailed": "errors",
    "BiremeError": "errors",
    "CallCancelled": "errors",
    "CallNotRun": "errors",
    "CallPoisoned": "errors",
    "CallTimeout": "errors",
    "CallUnknown": "errors",
    "CallUnreadable": "errors",
    "CallUnsendable": "errors",
    "Client": "client",
    "Deadlock": "errors",
    "DecodeError": "errors",
    "EncodeError": "errors",
    "Environment": "environment",
    "EnvironmentBroken": "errors",
    "Future": "future",
    "InputLost": "errors",
    "LocalCluster": "cluster",
    "MailboxFull": "errors",
    "NoSuchMethod": "errors",
    "NotFound": "errors",
    "OutOfMemory": "errors",
    "ProcessDied": "errors",
    "Refused": "errors",
    "RemoteTraceback": "errors",
    "Reschedule": "errors",
    "TaskCancelled": "errors",
    "TaskError": "errors",
    "TaskTimeout": "errors",
    "Unreadable": "errors",
    "Unsendable": "errors",
    "Worker": "worker_api",
    "WorkerLost": "errors",
    "WorkerPlugin": "preload",
    "WouldDeadlock": "errors",
    "__version__": "_bireme",
    "actor_exit": "actor_api",
    "as_completed": "completed",
    "current_call": "actor_api",
    "every": "actor_api",
    "fire_and_forget": "completed",
    "futures_of": "future",
    "get_client": "client",
    "get_task_key": "worker_api",
    "get_worker": "worker_api",
    "method": "actor_api",
    "progress": "progress",
    "rejoin": "worker_api",
    "secede": "worker_api",
    "wait": "completed",
    "worker_client": "worker_api",
}

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Actor",
    "ActorError",
    "ActorFuture",
    "ActorGone",
    "ActorPool",
    "ArgumentFailed",
    "BiremeError",
    "CallCancelled",
    "CallNotRun",
    "CallPoisoned",
    "CallTimeout",
    "CallUnknown",
    "CallUnreadable",
    "CallUnsendable",
    "Client",
    "Deadlock",
    "DecodeError",
    "EncodeError",
    "Environment",
    "EnvironmentBroken",
    "Future",
    "InputLost",
    "LocalCluster",
    "MailboxFull",
    "NoSuchMethod",
    "NotFound",
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
    "WorkerPlugin",
    "WouldDeadlock",
    "__version__",
    "actor_exit",
    "as_completed",
    "current_call",
    "every",
    "fire_and_forget",
    "futures_of",
    "get_client",
    "get_task_key",
    "get_worker",
    "method",
    "progress",
    "rejoin",
    "secede",
    "wait",
    "worker_client",
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
