"""The executor process: `python -m bireme.executor`, started by a worker.

It runs one task after the other on its main thread, where signals arrive. Whatever a task does to the process ends only
that task: the worker starts another process. Whatever a task raises, returns or prints is made readable here.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, cast

from . import worker_api
from .calls import Functions, Outputs, read_call
from .errors import Reschedule, describe
from .interrupts import Interrupts
from .serialize import Codec, DecodeError, EncodeError, encode, encode_plain

if TYPE_CHECKING:
    from ._bireme import Attempt, Err, Ok, Several

#: Longest name of a result's type, in characters.
_HINT_CHARACTERS = 200


#: The end of a task that returns nothing.
_NOTHING: Ok = ("ok", int(Codec.NONE), [], "NoneType")


class Executor:
    """Runs attempts."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._functions = Functions(_forget)
        self._interrupts = interrupts
        self._pid = os.getpid()

    def run(self, attempt: Attempt) -> Ok | Several | Err:
        """Runs an attempt to its end, whatever that is."""
        worker_api.enter(attempt)
        try:
            if not attempt.has_surroundings:
                return self._run(attempt)
            with _surroundings(attempt.environment, attempt.directory):
                return self._run(attempt)
        except BaseException as error:
            return _failed(error)
        finally:
            worker_api.enter(None)
            _flush()
            if os.getpid() != self._pid:
                os._exit(0)  # The task forked, and this is the child, which has nobody to tell.

    def _run(self, attempt: Attempt) -> Ok | Several | Err:
        try:
            function, args, kwargs = read_call(attempt.given, self._functions)
        except LookupError as error:
            return _failed(error, "not_found")
        except Exception as error:
            return _failed(error, "deserialize")
        try:
            result = self._call(attempt, function, args, kwargs)
        except Reschedule as error:
            return _failed(error, "reschedule")
        except BaseException as error:
            return _failed(error)
        try:
            return _finished(result, attempt)
        except Exception as error:
            return _failed(error, "serialize")

    def _call(self, attempt: Attempt, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self._interrupts.running = attempt
        try:
            result = function(*args, **kwargs)
            if isinstance(result, CoroutineType):
                import asyncio

                result = asyncio.run(result)
            return result
        finally:
            self._interrupts.running = None


def _forget(function: bytes | str | None) -> None:
    # Loaded where something came with a function.
    preload = sys.modules.get("bireme.preload")
    if preload is not None:
        preload.forget(function)


def _finished(result: object, attempt: Attempt) -> Ok | Several:
    if result is None:
        return _NOTHING
    if type(result) is Outputs:
        return "outputs", [_output(output, attempt) for output in result]
    return _output(result, attempt)


def _output(result: object, attempt: Attempt) -> Ok:
    what = f"the result of {attempt.key!r}"
    if isinstance(result, (GeneratorType, AsyncGeneratorType)):
        sort = "a generator" if isinstance(result, GeneratorType) else "an asynchronous generator"
        raise EncodeError(f"{what} is {sort}, which cannot leave its process; return a list of its items: list(...)")
    # Whoever calls a function by its name may be of any language.
    codec, buffers = (encode_plain if isinstance(attempt.given.function, str) else encode)(result, what)
    kind = type(result)
    hint = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return "ok", int(codec), buffers, hint[:_HINT_CHARACTERS]


def _failed(error: BaseException, kind: str = "user") -> Err:
    described = describe(error, kind, __file__)
    if isinstance(error, DecodeError) and error.module is not None:
        described["reason"] = "ModuleNotFoundError"
    return "error", described


@contextmanager
def _surroundings(variables: dict[str, str], directory: str | None) -> Iterator[None]:
    """The variables and the directory that a task sees."""
    before = {name: os.environ.get(name) for name in variables}
    origin = os.getcwd()
    os.environ.update(variables)
    try:
        if directory is not None:
            os.chdir(directory)
        yield
    finally:
        os.chdir(origin)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _flush() -> None:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:
        pass  # The task has closed one of them, or put something else in its place.


def main() -> None:
    """Runs what the worker gives until it says to leave."""
    from ._bireme import serve

    # Now, and not for the first actor: one that waits for an actor has the time.
    from .executor_actors import actors

    # A process that dies says where it was.
    faulthandler.enable()
    # What was printed before a crash is not lost with the buffer, and a line is written whole, even with PYTHONUNBUFFERED: what
    # comes out of the other at that moment would get into it.
    for stream in (sys.stdout, sys.stderr):
        cast(Any, stream).reconfigure(line_buffering=True, write_through=False)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    interrupts = Interrupts()
    interrupts.install()
    try:
        serve(Executor(interrupts).run, actors=actors)
    finally:
        if "bireme.preload" in sys.modules:
            sys.modules["bireme.preload"].end()


if __name__ == "__main__":
    # Not the copy of this file that is called `__main__`: tasks see the module of that name as theirs.
    from bireme.executor import main as start

    try:
        start()
    except RuntimeError as problem:
        sys.exit(f"bireme.executor: {problem}")
