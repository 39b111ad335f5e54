"""What an executor makes of an attempt, without a worker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bireme.calls import FUNCTIONS, Functions, Outputs
from bireme.errors import Reschedule, exception
from bireme.executor import Executor
from bireme.interrupts import Interrupts
from bireme.serialize import Codec, decode, encode, encode_as, encode_function, encode_pickle, refer
from bireme.worker_api import get_task_key, get_worker


class Attempt:
    """What the extension would hand over."""

    id = "1.0#1"
    key = "work"
    outputs = 1
    deadline: float | None = None
    cpus = 1.0
    memory = 0
    has_surroundings = True

    def __init__(self, function: Any, *args: Any, inputs: Any = (), **kwargs: Any) -> None:
        self._code = function if isinstance(function, bytes) else encode_function(function)
        self.function: bytes | str = self._code
        self.args: list[Any] = [encode_pickle((args, kwargs), number=lambda token: token.n)]
        self.named_args: dict[str, Any] = {}
        self.inputs: list[Any] = [encode(value) for value in inputs]
        self.environment: dict[str, str] = {}
        self.directory: str | None = None
        self.resources: dict[str, float] = {"gpu": 1.0}
        self.stop = threading.Event()

    @property
    def given(self) -> Any:
        return self

    @property
    def pickle(self) -> bytes | None:
        if len(self.args) != 1 or self.named_args or not isinstance(self.args[0], tuple):
            return None
        codec, buffers = self.args[0]
        return bytes(buffers[0]) if codec == Codec.PICKLE5 and len(buffers) == 1 else None

    def code(self) -> bytes:
        return self._code

    def stop_asked(self) -> bool:
        return self.stop.is_set()

    def wait_stop(self, seconds: float) -> bool:
        return self.stop.wait(seconds)


class Token:
    """A future, as far as pickling goes."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __reduce__(self) -> Any:
        return refer(self)


@pytest.fixture
def executor() -> Iterator[Executor]:
    interrupts = Interrupts()
    before = signal.getsignal(signal.SIGINT)
    interrupts.install()
    yield Executor(interrupts)
    signal.signal(signal.SIGINT, before)


def run(executor: Executor, attempt: Any) -> Any:
    """The result of an attempt, or what it raised where the result is asked for."""
    outcome: Any = executor.run(attempt)
    if outcome[0] == "ok":
        return decode(outcome[1], outcome[2])
    error: Any = {"worker": "", "attempt": "", "exit": None, "last_lines": [], "cause": None} | outcome[1]
    raise exception(error)


def refusal(executor: Executor, attempt: Any) -> tuple[str, str, str]:
    """Kind, reason and message of an attempt's failure."""
    outcome = executor.run(attempt)
    assert outcome[0] == "error"
    return outcome[1]["kind"], outcome[1]["reason"], outcome[1]["message"]


def test_arguments_and_inputs(executor: Executor) -> None:
    attempt = Attempt(lambda a, *, b: (a, b), [Token(1)], b={"x": Token(0)}, inputs=["zero", b"one"])
    assert run(executor, attempt) == ([b"one"], {"x": "zero"})


def test_a_result_carries_the_name_of_its_type(executor: Executor) -> None:
    path: Any = Attempt(lambda: Path("/"))
    text: Any = Attempt(lambda: "x")
    assert executor.run(path)[-1] == "pathlib.PosixPath"
    assert executor.run(text) == ("ok", Codec.UTF8, [b"x"], "str")


def test_several_outputs_are_values_of_their_own(executor: Executor) -> None:
    made: Any = Attempt(lambda: Outputs([b"x", None, 1.5]))
    outcome: Any = executor.run(made)
    assert outcome[0] == "outputs"
    assert [(codec, hint) for _, codec, _, hint in outcome[1]] == [
        (Codec.RAW, "bytes"),
        (Codec.NONE, "NoneType"),
        (Codec.PICKLE5, "float"),
    ]
    failed: Any = Attempt(lambda: Outputs([1, (n for n in "x")]))
    assert refusal(executor, failed)[0] == "serialize"


def test_a_function_is_unpickled_once(executor: Executor) -> None:
    def count(seen: list[int] = []) -> int:  # noqa: B006
        seen.append(1)
        return len(seen)

    code = encode_function(count)
    assert [run(executor, Attempt(code)) for _ in range(3)] == [1, 2, 3]


def test_functions_that_were_not_called_for_long_are_forgotten() -> None:
    functions = Functions()
    for n in range(FUNCTIONS + 10):
        attempt: Any = Attempt(b"")
        attempt.function, attempt._code = str(n).encode(), encode_function(abs)
        functions.find(attempt)
    assert len(functions._known) == FUNCTIONS


def named(function: str, *args: Any, **kwargs: Any) -> Any:
    """What a client in another language sends."""
    attempt = Attempt(b"")
    attempt.function = function
    attempt.args = [encode_as(Codec.MSGPACK, arg) for arg in args]
    attempt.named_args = {name: encode_as(Codec.JSON, arg) for name, arg in kwargs.items()}
    return attempt


def test_functions_are_called_by_name_with_plain_values(executor: Executor) -> None:
    assert run(executor, named("os.path:join", "a", "b")) == "a/b"
    assert run(executor, named("builtins:sorted", [3, 1, 2], reverse=True)) == [3, 2, 1]
    assert run(executor, named("collections:OrderedDict.fromkeys", ["x"])) == {"x": None}


def test_lists_and_maps_of_values_are_arguments(executor: Executor) -> None:
    attempt = named("builtins:repr")
    attempt.args = [[encode_as(Codec.JSON, 1), {"a": encode_as(Codec.UTF8, "x")}]]
    assert run(executor, attempt) == "[1, {'a': 'x'}]"


def test_one_argument_that_is_a_pickle_is_no_call(executor: Executor) -> None:
    attempt = named("builtins:repr")
    attempt.args = [encode_pickle((1, 2))]
    assert run(executor, attempt) == "(1, 2)"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no_such_module:f", "'no_such_module:f' cannot be had without the module 'no_such_module', which /.* does"),
        ("os:no_such_function", "the function 'os:no_such_function' is not there: .*no_such_function"),
        ("os", "has no module; name it as `module:function`"),
        ("os:sep", "no function but a str"),
    ],
)
def test_names_that_lead_nowhere(executor: Executor, name: str, text: str) -> None:
    kind, _, message = refusal(executor, named(name))
    assert kind == "not_found"
    assert re.search(text, message), message


def test_a_missing_module_is_named(executor: Executor) -> None:
    code = b"\x80\x05cabsent_module\nfunction\n."
    kind, reason, message = refusal(executor, Attempt(code))
    assert (kind, reason) == ("not_found", "ModuleNotFoundError")
    what = f"cannot be read without the module 'absent_module', which {sys.executable}"
    assert f"the function of 'work' {what}" in message
    attempt = Attempt(len)
    attempt.args = [(Codec.PICKLE5, [code])]
    kind, reason, message = refusal(executor, attempt)
    assert (kind, reason) == ("deserialize", "ModuleNotFoundError")
    assert f"the arguments of 'work' {what}" in message


def test_an_input_that_cannot_be_read_is_named(executor: Executor) -> None:
    attempt = Attempt(len, Token(0), inputs=[None])
    attempt.inputs = [(Codec.UTF8, [b"\xff"])]
    kind, _, message = refusal(executor, attempt)
    assert kind == "deserialize"
    assert message == "input 0 of 'work' has codec UTF8 and cannot be read: invalid UTF-8 at byte 0"
    assert "refers to input 3, and has 0" in refusal(executor, Attempt(len, Token(3)))[2]


def test_generators_are_refused_with_a_remedy(executor: Executor) -> None:
    kind, _, message = refusal(executor, Attempt(lambda: (n for n in range(3))))
    assert kind == "serialize"
    assert message == (
        "the result of 'work' is a generator, which cannot leave its process; return a list of its items: list(...)"
    )


def test_results_that_cannot_be_pickled_are_named(executor: Executor) -> None:
    kind, reason, message = refusal(executor, Attempt(lambda: {"lock": threading.Lock()}))
    assert (kind, reason) == ("serialize", "EncodeError")
    assert message.startswith("['lock'] of the result of 'work' (a _thread.lock) cannot be pickled: TypeError")


def test_a_future_as_result_is_refused(executor: Executor) -> None:
    assert "Token cannot be part of this value" in refusal(executor, Attempt(lambda: [Token(0)]))[2]


def test_coroutines_are_run(executor: Executor) -> None:
    async def work(x: int) -> int:
        return x + 1

    assert run(executor, Attempt(work, 1)) == 2


def test_what_a_task_raises_is_raised(executor: Executor) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        run(executor, Attempt(lambda: 1 / 0))
    assert "in <lambda>" in str(raised.value.__cause__)
    assert "bireme/executor.py" not in str(raised.value.__cause__)


def test_a_call_that_does_not_fit_the_function(executor: Executor) -> None:
    with pytest.raises(TypeError, match="takes 0 positional arguments but 1 was given"):
        run(executor, Attempt(lambda: None, 1))


def test_endless_recursion_is_an_error(executor: Executor) -> None:
    def ping() -> Any:
        return pong()

    def pong() -> Any:
        return ping()

    with pytest.raises(RecursionError, match="maximum recursion depth exceeded") as raised:
        run(executor, Attempt(ping))
    assert "cut ...]" in str(raised.value.__cause__)


def test_exit_ends_the_task_only(executor: Executor) -> None:
    kind, reason, message = refusal(executor, Attempt(lambda: sys.exit(3)))
    assert (kind, reason) == ("user", "SystemExit")
    assert message.startswith("the task asked its process to exit with 3;")


def test_a_task_may_ask_to_be_run_elsewhere(executor: Executor) -> None:
    def work() -> None:
        raise Reschedule("no licence here")

    assert refusal(executor, Attempt(work)) == ("reschedule", "Reschedule", "no licence here")


def interrupt() -> str:
    os.kill(os.getpid(), signal.SIGINT)
    return "went on"


def test_a_signal_interrupts_only_what_is_unwanted(executor: Executor) -> None:
    unwanted = Attempt(interrupt)
    unwanted.stop.set()
    kind, reason, message = refusal(executor, unwanted)
    assert (kind, reason, message) == ("user", "KeyboardInterrupt", "the task was ended from outside: work")
    assert run(executor, Attempt(interrupt)) == "went on"
    os.kill(os.getpid(), signal.SIGINT)  # Between two attempts it is nothing.


def test_the_child_of_a_task_that_forks_runs_nothing_more(executor: Executor) -> None:
    def fork() -> int:
        return os.fork()

    child = run(executor, Attempt(fork))
    assert os.waitpid(child, 0) == (child, 0)


def test_variables_and_directory_are_the_attempts_own(executor: Executor, tmp_path: Path) -> None:
    def look() -> Any:
        os.environ["BIREME_TEST_OTHER"] = "x"
        return os.environ["BIREME_TEST"], os.getcwd()

    attempt = Attempt(look)
    attempt.environment, attempt.directory = {"BIREME_TEST": "1", "BIREME_TEST_OTHER": "y"}, str(tmp_path)
    before = os.getcwd()
    assert run(executor, attempt) == ("1", str(tmp_path))
    assert os.getcwd() == before
    assert not {"BIREME_TEST", "BIREME_TEST_OTHER"} & set(os.environ)


def test_a_task_knows_where_it_runs(executor: Executor) -> None:
    def look() -> Any:
        worker = get_worker()
        return get_task_key(), worker.cpus, worker.resources, worker.is_cancelled(), repr(worker)

    assert run(executor, Attempt(look)) == ("work", 1.0, {"gpu": 1.0}, False, "<bireme.Worker: task 'work'>")
    asks: list[Callable[[], Any]] = [get_worker, get_task_key]
    for ask in asks:
        with pytest.raises(ValueError, match="no task runs in this process"):
            ask()


def test_what_is_printed_is_flushed(executor: Executor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        run(executor, Attempt(lambda: print("no line", end="")))
        assert path.read_text() == "no line"
        monkeypatch.setattr(sys, "stderr", None)
        run(executor, Attempt(lambda: sys.stdout.close()))


def test_it_says_so_where_no_worker_started_it() -> None:
    ended = subprocess.run([sys.executable, "-m", "bireme.executor"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith("bireme.executor: no worker started this process")
