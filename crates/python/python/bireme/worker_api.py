"""What a task may ask about where it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import Reschedule

if TYPE_CHECKING:
    from ._bireme import Attempt

__all__ = ["Reschedule", "Worker", "get_task_key", "get_worker"]


class Worker:
    """Where a task runs: one in each executor process. Tasks may leave things on it for those that follow."""

    def __init__(self) -> None:
        self._attempt: Attempt | None = None

    @property
    def attempt(self) -> Attempt:
        """The execution that is going on. Raises ValueError where none is."""
        if self._attempt is None:
            raise ValueError("no task runs in this process; call this from the code of a task")
        return self._attempt

    @property
    def cpus(self) -> float:
        """Cpus that the task holds."""
        return self.attempt.cpus

    @property
    def memory(self) -> int:
        """Bytes of memory that the task may take; 0 is no limit."""
        return self.attempt.memory

    @property
    def resources(self) -> dict[str, float]:
        """What else the task holds."""
        return self.attempt.resources

    @property
    def directory(self) -> str | None:
        """Directory for the task's files, removed when it ends; None is the process's own."""
        return self.attempt.directory

    def is_cancelled(self) -> bool:
        """Whether the task is unwanted or over its time: then it had better return."""
        return self.attempt.stop_asked()

    def wait_cancelled(self, seconds: float) -> bool:
        """Sleeps for so long, or until the task is unwanted; whether it is."""
        return self.attempt.wait_stop(seconds)

    def __repr__(self) -> str:
        running = "idle" if self._attempt is None else f"task {self._attempt.key!r}"
        return f"<bireme.Worker: {running}>"


_here = Worker()


def get_worker() -> Worker:
    """Where the calling task runs. Raises ValueError outside of tasks."""
    _ = _here.attempt
    return _here


def get_task_key() -> str:
    """Key of the calling task. Raises ValueError outside of tasks."""
    return _here.attempt.key


def enter(attempt: Attempt | None) -> None:
    """Notes which attempt this process runs, if any."""
    _here._attempt = attempt
