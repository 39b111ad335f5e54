"""What signals do in an executor process."""

from __future__ import annotations

import os
import signal
from _thread import start_new_thread
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._bireme import Attempt

#: How long the word that an attempt is unwanted may come behind the signal, in seconds.
_BEHIND_S = 0.05


#: Asks a process where its task is.
STACKS = signal.SIGRTMIN + 7


class Interrupts:
    """Ends a task that is unwanted by `KeyboardInterrupt`, and nothing else.

    The worker sends SIGINT to a process whose task does not return when it should. By the time it arrives that task may
    have ended and the next one run, which must not pay for it; and Ctrl-C in the terminal of a worker reaches its
    executors, too, while the worker lets their tasks finish.
    """

    def __init__(self) -> None:
        #: The attempt whose code runs.
        self.running: Attempt | None = None

    def install(self) -> None:
        """Takes the signals over. Called on the main thread, before there are others."""
        signal.signal(signal.SIGINT, self._on_signal)
        # It waits for a thread of its own, and never gets in the way of a task. The handler says that the process takes it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {STACKS})
        signal.signal(STACKS, _ignore)
        start_new_thread(_tell_stacks, ())

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        attempt = self.running
        # The order comes through another channel than the signal.
        if attempt is not None and attempt.wait_stop(_BEHIND_S):
            raise KeyboardInterrupt(f"the task was ended from outside: {attempt.key}")


def _tell_stacks() -> None:
    """Tells where the main thread is, whenever somebody asks."""
    while True:
        signal.sigwait({STACKS})
        try:
            # Loaded by those few processes that are asked.
            from .stacks import answer

            answer()
        except Exception as error:
            # Who asks is told as much by hearing nothing. Not by way of `sys.stderr`, which may be a task's by now.
            os.write(2, f"bireme: where this process is cannot be told: {type(error).__name__}: {error}\n".encode())


def _ignore(number: int, frame: FrameType | None) -> None:
    """What reaches a thread that a library started before the signal was blocked."""
