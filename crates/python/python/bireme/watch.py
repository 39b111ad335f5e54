"""Tells whoever waits that a task has ended: one thread that listens, started when somebody first asks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from .task import CANCELLED, ERROR, FINISHED, PENDING, Task

if TYPE_CHECKING:
    from ._bireme import Session

log = logging.getLogger(__name__)

#: What the numbers of the session mean.
STATES = (PENDING, FINISHED, ERROR, CANCELLED)


class Watcher:
    """Listens to the ends of tasks, and calls back."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        # Holds on to the tasks, so that nobody's result is released while it is waited for.
        self._waiting: dict[tuple[int, int], list[tuple[Task, Callable[[], object]]]] = {}
        self._thread: threading.Thread | None = None
        self._is_over = False

    def watch(self, task: Task, call: Callable[[], object]) -> None:
        """Calls `call` when a task that was sent has ended; at once if it has. It must be short and not wait."""
        place = task.place
        with self._lock:
            is_over = self._is_over
            if not is_over:
                self._waiting.setdefault(place, []).append((task, call))
                if self._thread is None:
                    self._thread = threading.Thread(target=self._listen, name="bireme-watch", daemon=True)
                    self._thread.start()
        if is_over:
            call()
            return
        state = self._session.state(*place)
        if STATES[state] != PENDING:
            self._ended(place, state)

    def _listen(self) -> None:
        try:
            while True:
                for graph, index, state in self._session.ends():
                    if state:
                        self._ended((graph, index), state)
        except Exception as error:
            log.debug("nothing more is heard of tasks: %s", error)
        finally:
            self._end_all()

    def _ended(self, place: tuple[int, int], state: int) -> None:
        with self._lock:
            waiting = self._waiting.pop(place, ())
        for task, call in waiting:
            if task.status == PENDING:
                task.status = STATES[state]
            call_safely(call)

    def _end_all(self) -> None:
        """Lets everybody go who would wait for ever: asking for the result tells them what is wrong."""
        with self._lock:
            self._is_over = True
            waiting, self._waiting = self._waiting, {}
        for calls in waiting.values():
            for task, call in calls:
                if task.status == PENDING:
                    task.status = ERROR
                call_safely(call)


def call_safely(call: Callable[[], object]) -> None:
    """Calls back: whoever failed is not to end the thread that listens."""
    try:
        call()
    except Exception:
        log.exception("a callback failed")
