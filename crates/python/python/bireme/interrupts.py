"""What signals do in an executor process."""

from __future__ import annotations

import signal
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
        """Takes the signals over."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(STACKS, _tell_stack)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        attempt = self.running
        # The order comes through another channel than the signal.
        if attempt is not None and attempt.wait_stop(_BEHIND_S):
            raise KeyboardInterrupt(f"the task was ended from outside: {attempt.key}")


def _tell_stack(number: int, frame: FrameType | None) -> None:
    # Loaded by those few processes that are asked.
    from .stacks import answer

    answer(frame)
