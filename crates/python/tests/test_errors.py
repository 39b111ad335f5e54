"""Exceptions as they leave one process and are raised in another."""

from __future__ import annotations

import concurrent.futures
import pickle
import re
import sys
import threading
from typing import Any

import numpy as np
import pytest

from bireme import errors
from bireme.errors import RemoteTraceback, TaskError, describe, exception
from bireme.texts import MESSAGE_BYTES, TRACEBACK_BYTES, shorten


def raised_by(raises: Any) -> BaseException:
    try:
        raises()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def travel(error: dict[str, Any]) -> BaseException:
    """What the client raises for an error that an executor described."""
    rest: Any = {"worker": "w1", "attempt": "1.0#1", "exit": None, "last_lines": [], "cause": None}
    whole: Any = rest | error
    return exception(whole)


class Demanding(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Holding(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


class Polite(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(f"no {name}, sorry")


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def fail(error: BaseException) -> Any:
    def function() -> None:
        raise error

    return function


def test_the_original_comes_back_with_its_traceback_as_cause() -> None:
    empty: dict[str, int] = {}
    back = travel(describe(raised_by(lambda: empty["absent"]), hide=__file__))
    assert (type(back), back.args) == (KeyError, ("absent",))
    assert isinstance(back.__cause__, RemoteTraceback)
    assert "KeyError: 'absent'" in str(back.__cause__)


def test_the_traceback_begins_behind_the_executor() -> None:
    namespace: dict[str, Any] = {}
    exec(compile("def inner():\n    raise ValueError('deep')\n", "user.py", "exec"), namespace)
    text = describe(raised_by(namespace["inner"]), hide=__file__)["traceback"]
    assert 'File "user.py", line 2, in inner' in text
    assert __file__ not in text


def test_an_exception_whose_constructor_needs_arguments_comes_back() -> None:
    back = travel(describe(raised_by(fail(Demanding(3, "no")))))
    assert isinstance(back, Demanding)
    assert (str(back), back.code) == ("3: no", 3)


def test_an_exception_whose_constructor_changes_its_arguments_comes_back_as_it_was() -> None:
    assert str(travel(describe(raised_by(fail(Polite("tea")))))) == "no tea, sorry"


@pytest.mark.parametrize(
    "raised",
    [
        UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
        FileNotFoundError(2, "gone", "file"),
        ImportError("no such", name="module"),
        ValueError(object()),
        ValueError(np.arange(3)),
        StopIteration(3),
    ],
)
def test_exceptions_of_all_kinds_come_back(raised: Exception) -> None:
    back = travel(describe(raised_by(fail(raised))))
    assert type(back) is type(raised)
    assert len(str(back)) == len(str(raised))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are groups from 3.11 on")
def test_groups_come_back() -> None:
    group = ExceptionGroup("two", [ValueError(1), KeyError("x")])  # noqa: F821, RUF100
    back: Any = travel(describe(raised_by(fail(group))))
    assert [type(part) for part in back.exceptions] == [ValueError, KeyError]


def test_a_very_deep_traceback_is_cut_before_it_is_made() -> None:
    def dive(n: int) -> None:
        if n == 0:
            raise ValueError("bottom")
        sink(n - 1)

    def sink(n: int) -> None:
        dive(n)

    before = sys.getrecursionlimit()
    sys.setrecursionlimit(200_000)
    try:
        raised = raised_by(lambda: dive(50_000))
    finally:
        sys.setrecursionlimit(before)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(errors, "TRACEBACK_BYTES", 1 << 20)
        text = describe(raised)["traceback"]
    assert re.search(r"^Outermost calls:\n(?s:.*)\[\.\.\. 98,99\d calls left out \.\.\.\]\nTraceback ", text)
    assert text.endswith("ValueError: bottom\n")
    assert text.count(", in sink\n") < 1000


def test_an_exception_that_cannot_be_pickled_is_text() -> None:
    described = describe(raised_by(fail(Holding())))
    assert described["opaque"] is None
    back = travel(described)
    assert type(back) is TaskError
    assert back.reason == "Holding"
    assert "holds a lock" in str(back)
    assert "lock of the Holding (a _thread.lock) cannot be pickled" in str(back)
    assert "Holding: holds a lock" in str(back.__cause__)


def test_an_exception_without_text() -> None:
    described = describe(raised_by(fail(Mute())))
    assert described["message"] == "its text cannot be had: __str__ raised ValueError"
    assert "Mute" in described["traceback"]


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt("stop")])
def test_what_would_end_the_client_is_text(ending: BaseException) -> None:
    back = travel(describe(raised_by(fail(ending))))
    assert type(back) is TaskError
    assert type(ending).__name__ in str(back)


def test_exit_says_what_to_do_instead() -> None:
    message = describe(raised_by(fail(SystemExit(3))))["message"]
    assert message == "the task asked its process to exit with 3; return, or raise an Exception, to end a task"


def test_fifty_megabytes_of_text_are_cut() -> None:
    text = "begin" + "x" * 50_000_000 + "end"
    described = describe(raised_by(fail(ValueError(text))))
    for part, limit in (("traceback", TRACEBACK_BYTES), ("message", MESSAGE_BYTES)):
        assert len(described[part].encode()) <= limit
        assert "characters in all, cut ...]" in described[part]
    assert "ValueError: begin" in described["traceback"]
    assert described["traceback"].rstrip().endswith("end")
    assert "[sent as text: pickled it has 50,000," in described["message"]
    assert described["opaque"] is None


@pytest.mark.parametrize("letter", ["x", "é", "\N{SNOWMAN}", "\ud800", "\N{PILE OF POO}"])
@pytest.mark.parametrize("length", [0, 1, 99, 100, 101, 1000])
def test_texts_are_cut_at_characters(letter: str, length: int) -> None:
    short = shorten(letter * length, 100)
    size = len(short.encode())
    assert size <= 100
    is_whole = len((letter * length).encode(errors="backslashreplace")) <= 100
    assert ("cut" in short) != is_whole
    assert size > 80 or is_whole


def test_each_kind_has_its_class() -> None:
    base = {"reason": "R", "message": "m", "traceback": "", "language": "", "opaque": None}
    for kind, builtin in (
        ("cancelled", concurrent.futures.CancelledError),
        ("out_of_memory", MemoryError),
        ("timeout", TimeoutError),
        ("process_died", errors.ProcessDied),
    ):
        back = travel({**base, "kind": kind})
        assert isinstance(back, TaskError)
        assert isinstance(back, builtin)
        assert str(back) == "R: m (attempt 1.0#1 on w1)"
        assert str(pickle.loads(pickle.dumps(back))) == str(back)


def test_a_dependency_raises_what_the_first_raised() -> None:
    cause = describe(raised_by(lambda: 1 / 0)) | {
        "worker": "", "attempt": "", "exit": None, "last_lines": [], "cause": None
    }  # fmt: skip
    dependent = {"kind": "dependency", "reason": "DEPENDENCY", "message": "", "traceback": "", "opaque": None}
    back = travel({**dependent, "language": "", "cause": cause})
    assert isinstance(back, ZeroDivisionError)


def test_the_last_lines_are_told() -> None:
    error = {"kind": "process_died", "reason": "PROCESS_DIED", "message": "killed by signal 11", "traceback": ""}
    back = travel({**error, "language": "", "opaque": None, "last_lines": ["one", "two"], "exit": (0, 11)})
    assert str(back).endswith("last lines printed:\n  one\n  two")
    assert isinstance(back, TaskError)
    assert back.exit == (0, 11)
