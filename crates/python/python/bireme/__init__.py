"""Bireme: tasks on a cluster, or on this machine, for those who know dask.

    from bireme import Client

    with Client() as client:
        squares = client.map(lambda x: x * x, range(10))
        print(client.submit(sum, squares).result())
"""

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
from .future import Future
from .future import futures_in as futures_of
from .worker_api import Worker, get_task_key, get_worker

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
