"""What goes wrong with tasks, on both sides of the wire.

A task that raised an exception raises the same exception where its result is asked for, with the remote traceback as
its cause. Whatever else ended a task, and whatever exception cannot be sent, is a `TaskError` that has everything as
text.
"""

from __future__ import annotations

import concurrent.futures
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .base import BiremeError
from .formats import Buffer
from .serialize import DecodeError, Encoded, EncodeError, decode, encode_pickle
from .texts import MESSAGE_BYTES, TRACEBACK_BYTES, shorten

if TYPE_CHECKING:
    from ._bireme import Error

#: A pickled exception beyond this does not travel: its text does, in bytes.
OPAQUE_BYTES = 4096
# Of a traceback, how many calls are shown at both ends. Any recursion within Python's own limit is shown whole.
_OUTER_FRAMES = 10
_INNER_FRAMES = 1000

__all__ = [
    "ActorError",
    "ActorGone",
    "ArgumentFailed",
    "BiremeError",
    "CallCancelled",
    "CallNotRun",
    "CallPoisoned",
    "CallTimeout",
    "CallUnknown",
    "CallUnreadable",
    "CallUnsendable",
    "Deadlock",
    "DecodeError",
    "EncodeError",
    "InputLost",
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
    "WorkerLost",
    "WouldDeadlock",
    "describe",
    "exception",
]


class TaskError(BiremeError):
    """Why a task failed, as text: it raised something that cannot be sent, or something else ended it."""

    def __init__(self, error: Error) -> None:
        super().__init__(_text(error))
        #: The kind of failure: `user`, `process_died` and so on.
        self.kind = error["kind"]
        #: Stable name: a reason of Bireme, or the name of the exception's class.
        self.reason = error["reason"]
        #: What happened, without where.
        self.message = error["message"]
        #: The remote traceback; empty where there is none.
        self.traceback = error["traceback"]
        #: Name of the worker; empty where none is to blame.
        self.worker = error["worker"]
        #: The attempt that failed.
        self.attempt = error["attempt"]
        #: Exit code and signal of the process, where one ended.
        self.exit = error["exit"]
        #: What the attempt printed last.
        self.last_lines = list(error["last_lines"])
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._error,)


class ProcessDied(TaskError):
    """The process that ran the task died."""


class OutOfMemory(TaskError, MemoryError):
    """The task took more memory than it may."""


class TaskTimeout(TaskError, TimeoutError):
    """The task ran longer than it may."""


class TaskCancelled(TaskError, concurrent.futures.CancelledError):
    """Somebody cancelled the task."""


class WorkerLost(TaskError):
    """The worker was lost while the task may have run."""


class InputLost(TaskError):
    """An input is gone and cannot be made again."""


class Unreadable(TaskError):
    """The function or an argument cannot be decoded where the task runs."""


class Unsendable(TaskError):
    """The result cannot be encoded. The task did run."""


class WouldDeadlock(TaskError):
    """Waiting would never have ended."""


class EnvironmentBroken(TaskError):
    """The environment that the task asks for could not be built on the worker; the last lines printed say why."""


class ActorError(TaskError):
    """A call of an actor gave no result of its own, or an actor was not made: `code` says why."""

    @property
    def code(self) -> str:
        """Stable name: a code of calls, such as `UNKNOWN`, or a reason, such as `NAME_TAKEN`."""
        return self.reason


class ActorGone(ActorError):
    """The actor has ended for good: the cause says why."""


class CallNotRun(ActorError):
    """The call did not run: it is safe to make it again."""


class CallUnknown(ActorError):
    """The call may have run: the process or the worker that had it is lost."""


class CallPoisoned(ActorError):
    """The call was running each time its actor crashed, and is not tried again."""


class CallTimeout(ActorError, TimeoutError):
    """The call's time was up. It may have run."""


class CallCancelled(ActorError, concurrent.futures.CancelledError):
    """Somebody cancelled the call. It may have run in part."""


class CallUnreadable(ActorError, Unreadable):
    """The arguments cannot be decoded by the actor. The call did not run."""


class CallUnsendable(ActorError, Unsendable):
    """The result cannot be encoded. The call did run."""


class NoSuchMethod(ActorError, AttributeError):
    """The actor has no such method."""


class MailboxFull(ActorError):
    """So many calls wait already that this one was refused."""


class Deadlock(ActorError, WouldDeadlock):
    """The call waits for itself, by way of other actors."""


class ArgumentFailed(ActorError):
    """An argument is a value that was lost, or whose task or call failed: the cause. The call did not run."""

    @classmethod
    def of(cls, key: Any, cause: BaseException | None) -> ArgumentFailed:
        """Of a call whose argument came to nothing here."""
        error = cls(_plain_error("ARGUMENT_FAILED", f"argument {key} came to nothing: {_message(cause)}"))
        error.__cause__ = cause
        return error


class Refused(BiremeError):
    """The cluster did not do what it was asked for."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        #: Stable name, such as `NOT_DETACHED`.
        self.reason = reason
        #: What is wrong, for people.
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class NotFound(Refused, KeyError):
    """The cluster has nothing of that name."""


class RemoteTraceback(Exception):
    """The traceback of an exception in another process, as its text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text.rstrip()}\n"""'


class Reschedule(Exception):
    """Raised by a task that wants to be run again, elsewhere if possible. It does not count as a failure."""


_BY_KIND: Mapping[str, type[TaskError]] = {
    "cancelled": TaskCancelled,
    "deserialize": Unreadable,
    "input_lost": InputLost,
    "malformed": Unreadable,
    "not_found": Unreadable,
    "out_of_memory": OutOfMemory,
    "process_died": ProcessDied,
    "serialize": Unsendable,
    "timeout": TaskTimeout,
    "worker_lost": WorkerLost,
    "would_deadlock": WouldDeadlock,
}


_BY_CODE: Mapping[str, type[ActorError]] = {
    "ARGUMENT_FAILED": ArgumentFailed,
    "CANCELLED": CallCancelled,
    "DEADLINE": CallTimeout,
    "DEADLOCK": Deadlock,
    "GONE": ActorGone,
    "MAILBOX_FULL": MailboxFull,
    "NOT_RUN": CallNotRun,
    "NO_SUCH_METHOD": NoSuchMethod,
    "POISONED": CallPoisoned,
    "UNKNOWN": CallUnknown,
    "UNSERIALIZABLE_ARGS": CallUnreadable,
    "UNSERIALIZABLE_RESULT": CallUnsendable,
}


def exception(error: Error) -> BaseException:
    """The exception to raise for a task's error: the original one where it could be sent."""
    cause = error["cause"]
    if error["kind"] == "dependency" and cause is not None:
        return exception(cause)
    raised = _original(error) or _class(error)(error)
    if error["traceback"]:
        raised.__cause__ = RemoteTraceback(error["traceback"])
    elif cause is not None:
        raised.__cause__ = exception(cause)
    return raised


def _class(error: Error) -> type[TaskError]:
    if error["kind"] == "call":
        return _BY_CODE.get(error["reason"], ActorError)
    if error["reason"] == "ENVIRONMENT_BROKEN":
        return EnvironmentBroken
    return _BY_KIND.get(error["kind"], TaskError)


def worker_lost(message: str) -> WorkerLost:
    """The error of a call that only one worker could have run, which is gone."""
    return WorkerLost(_plain_error("WORKER_LOST", message) | {"kind": "worker_lost"})


def not_alive(message: str) -> CallTimeout:
    """The error of an actor that does not take calls in time."""
    return CallTimeout(_plain_error("DEADLINE", message))


def _plain_error(reason: str, message: str) -> Error:
    return {
        "kind": "call",
        "reason": reason,
        "message": message,
        "traceback": "",
        "language": "",
        "worker": "",
        "attempt": "",
        "exit": None,
        "last_lines": [],
        "cause": None,
        "opaque": None,
    }


def _original(error: Error) -> BaseException | None:
    if error["opaque"] is None:
        return None
    try:
        original = decode(*error["opaque"], what="the exception")
    except DecodeError:
        return None  # Its class is not known here.
    return original if isinstance(original, BaseException) else None


def _text(error: Error) -> str:
    """Everything about an error that fits on a few lines."""
    where = f" (attempt {error['attempt']} on {error['worker']})" if error["worker"] else ""
    text = f"{error['reason']}: {error['message']}{where}"
    if error["last_lines"]:
        text += "\nlast lines printed:\n" + "\n".join(f"  {line}" for line in error["last_lines"])
    return text


def describe(raised: BaseException, kind: str = "user", hide: str = "") -> dict[str, Any]:
    """An exception as `_bireme.serve` takes it. The traceback begins behind the outermost frames of the file `hide`."""
    opaque, problem = _opaque(raised) if kind == "user" else (None, "")
    message = shorten(_message(raised), MESSAGE_BYTES - len(problem.encode()))
    return {
        "kind": kind,
        "reason": type(raised).__name__,
        "message": message + problem,
        "traceback": shorten(_traceback(raised, hide), TRACEBACK_BYTES),
        "language": "python",
        "opaque": opaque,
    }


def _message(raised: BaseException | None) -> str:
    try:
        text = str(raised)
    except Exception as error:
        return f"its text cannot be had: __str__ raised {type(error).__name__}"
    if isinstance(raised, SystemExit):
        return f"the task asked its process to exit with {text or 0}; return, or raise an Exception, to end a task"
    return text


def _traceback(raised: BaseException, hide: str) -> str:
    behind = raised.__traceback__
    while behind is not None and behind.tb_frame.f_code.co_filename == hide:
        behind = behind.tb_next
    surplus = _depth(behind) - _INNER_FRAMES
    lines = []
    if surplus > _OUTER_FRAMES:
        outer = traceback.format_tb(behind, _OUTER_FRAMES)
        lines = ["Outermost calls:\n", *outer, f"[... {surplus - _OUTER_FRAMES:,} calls left out ...]\n"]
        for _ in range(surplus):
            behind = behind and behind.tb_next
    try:
        lines += traceback.format_exception(type(raised), raised, behind, -_INNER_FRAMES)
    except Exception:  # Its text, or that of an exception behind it, raises.
        lines += [*traceback.format_tb(behind, -_INNER_FRAMES), type(raised).__qualname__]
    return "".join(lines)


def _depth(behind: TracebackType | None) -> int:
    depth = 0
    while behind is not None:
        depth, behind = depth + 1, behind.tb_next
    return depth


def _opaque(raised: BaseException) -> tuple[tuple[int, list[Buffer]] | None, str]:
    """The pickled exception, if it comes back as what it was; else what to add to its message."""
    if not isinstance(raised, Exception):
        return None, ""  # One that would end whoever asks for the result.
    problem = ""
    for form in (raised, _Parts(raised, _construct), _Parts(raised, _restore)):
        try:
            encoded = encode_pickle(form, f"the {type(raised).__name__}")
            size = sum(memoryview(buffer).nbytes for buffer in encoded.buffers)
            if size > OPAQUE_BYTES:
                return None, f" [sent as text: pickled it has {size:,} bytes]"
            _check_return(encoded, raised)
            return (int(encoded.codec), encoded.buffers), ""
        except (EncodeError, DecodeError) as error:
            problem = problem or str(error)
    return None, shorten(f" [sent as text: {problem}]", MESSAGE_BYTES // 4)


def _check_return(encoded: Encoded, raised: Exception) -> None:
    """Raises DecodeError if an exception that is pickled does not come back as what it was."""
    name = f"the {type(raised).__name__}"
    back = decode(*encoded, what=name)
    if type(back) is not type(raised) or _plain(back) != _plain(raised):
        raise DecodeError(f"{name} comes back as another one: {_message(back)}")


def _plain(raised: Exception) -> list[object]:
    """What two exceptions of one class must have in common to be one: of their arguments what can be compared."""
    plain = [arg if type(arg) in (str, int, bytes) else type(arg) for arg in raised.args]
    # What is an object's text often says where in memory it is.
    return plain if any(isinstance(arg, type) for arg in plain) else [*plain, _message(raised)]


class _Parts:
    """Pickles an exception by its parts, whatever its class or a library has to say about how it is pickled."""

    def __init__(self, raised: Exception, make: Callable[..., Exception]) -> None:
        self.parts = make, (type(raised), raised.args, raised.__dict__)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts


def _construct(kind: type[Exception], args: tuple[Any, ...], attributes: dict[str, Any]) -> Exception:
    raised = kind(*args)
    raised.__dict__.update(attributes)
    return raised


def _restore(kind: type[Exception], args: tuple[Any, ...], attributes: dict[str, Any]) -> Exception:
    # A constructor need not take the arguments that the exception has.
    raised = kind.__new__(kind, *args)
    raised.args = args
    raised.__dict__.update(attributes)
    return raised
