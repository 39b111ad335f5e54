"""What else dask's client has: copies, versions, logs, restarts, and options that mean nothing here."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from bireme import Client, Future, LocalCluster, TaskError, get_worker, progress
from bireme.progress import Bar, prefix_of
from calls import increment, read, refuse

#: More than messages carry.
LARGE = 1 << 20


def test_replicas_are_made_where_they_are_wanted(client: Client) -> None:
    first, second = list(client.nthreads())
    futures = [client.submit(os.urandom, LARGE, workers=[first], pure=False) for _ in range(2)]
    client.replicate(futures)
    assert client.who_has(futures) == {future.key: sorted([first, second]) for future in futures}
    single = client.submit(os.urandom, LARGE, workers=[first], pure=False)
    client.replicate(single, n=1)
    assert client.who_has(single) == {single.key: [first]}
    client.replicate(single, workers=second)
    assert client.who_has(single) == {single.key: sorted([first, second])}
    with pytest.raises(ValueError, match="n is 0"):
        client.replicate(single, n=0)
    with pytest.raises(ValueError, match="nothing to copy"):
        client.replicate(client.submit(refuse, "nothing to copy"))


def test_versions_are_compared(client: Client) -> None:
    found = client.get_versions(check=True, packages=["no-such-package"])
    assert set(found["workers"]) == set(client.nthreads())
    assert found["client"]["packages"] == next(iter(found["workers"].values()))["packages"]
    assert found["client"]["packages"]["no-such-package"] is None
    assert found["scheduler"]["packages"]["bireme"] == found["client"]["packages"]["bireme"]


def stuck(pipe: str) -> str:
    return Path(pipe).read_text()


def test_tasks_that_run_tell_where_they_are(client: Client, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    future = client.submit(stuck, str(pipe), pure=False)
    pause = threading.Event()
    stack: tuple[str, ...] = ()
    # Before that it may be reading its arguments.
    while not any("in read_text" in line for line in stack):
        pause.wait(0.01)
        stack = next((by_key[future.key] for by_key in client.call_stack(future).values()), ())
    assert "in stuck" in stack[0]
    assert client.call_stack(keys=["another"]) == {}
    pipe.write_text("done")
    assert future.result() == "done"
    assert client.call_stack(future) == {}


def says(text: str) -> None:
    print(text)
    print("and more", file=sys.stderr)


def writes_at_once() -> list[bool]:
    """Whether the streams of a process write each part of a line as it comes."""
    return [cast(Any, stream).write_through for stream in (sys.stdout, sys.stderr)]


def test_what_a_task_printed_can_be_read(client: Client) -> None:
    future = client.submit(says, "something")
    assert future.result() is None
    assert sorted(client.get_task_logs(future)) == ["and more", "something"]
    with pytest.raises(TypeError, match="no result of a task"):
        client.get_task_logs(client.scatter(1))


def test_lines_are_written_whole_even_where_nothing_is_to_be_buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is printed to the other stream meanwhile would come between a line and its end.
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster, set_as_default=False) as client:
        assert client.submit(writes_at_once).result() == [False, False]


def test_logs_and_restarts_are_for_who_started_the_workers(client: Client) -> None:
    assert set(client.get_worker_logs()) == set(client.nthreads())
    with Client(client.scheduler_address, token=token_of(client)) as stranger:
        with pytest.raises(NotImplementedError, match="get_task_logs"):
            stranger.get_worker_logs()
        with pytest.raises(NotImplementedError, match="cancel"):
            stranger.restart()


def token_of(client: Client) -> str:
    assert client.cluster is not None
    lines = client.cluster.access_file.read_text().splitlines()
    return next(line.split('"')[1] for line in lines if line.startswith("token"))


def test_a_restart_leaves_nothing_behind(tmp_path: Path) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster, set_as_default=False) as client:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        done, waits = client.submit(increment, 1, pure=False), client.submit(read, str(pipe), pure=False)
        assert done.result() == 2
        before = client.submit(os.getpid, pure=False, workers="local-1")
        client.restart(timeout=30)
        assert waits.cancelled() and before.cancelled()
        with pytest.raises(TaskError, match="not kept"):
            done.result()
        assert [worker["name"] for worker in client.scheduler_info()["workers"].values()] == ["local-2"]
        assert client.submit(increment, 1).result() == 2


def test_a_shutdown_ends_a_cluster_that_others_started() -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster:
        owner = Client(cluster, set_as_default=False)
        stranger = Client(cluster.scheduler_address, token=token_of(owner), set_as_default=False)
        stranger.shutdown()
        assert stranger.status == "closed"
        with pytest.raises(OSError):
            Client(cluster.scheduler_address, token="none", timeout="5s", set_as_default=False)


@pytest.mark.parametrize(
    ("call", "remedy"),
    [
        (lambda client: client.submit(increment, 1, fifo_timeout="1ms"), "priority"),
        (lambda client: client.map(increment, [1], fifo_timeout="1ms"), "priority"),
        (lambda client: client.get_executor(fifo_timeout="1ms"), "priority"),
        (lambda client: client.gather([], direct=False), "leave it out"),
        (lambda client: client.scatter(1, direct=False), "leave it out"),
        (lambda client: client.cancel([], msg="why"), "leave out"),
        (lambda client: client.run(increment, 1, nanny=True), "leave it out"),
    ],
)
def test_what_means_nothing_here_says_what_to_do_instead(client: Client, call: Any, remedy: str) -> None:
    with pytest.raises(NotImplementedError, match=remedy):
        call(client)


def own_keys(dask_worker: Any) -> bool:
    return dask_worker is get_worker()


def test_run_tells_where_it_runs_and_goes_on_without_waiting(client: Client, tmp_path: Path) -> None:
    first, _ = client.nthreads()
    assert client.run(own_keys, workers=first) == {first: True}
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert client.run(Path.write_text, pipe, "ran", workers=[first], wait=False) is None
    assert pipe.read_text() == "ran"
    with pytest.raises(ValueError, match="on_error is 'no'"):
        client.run(increment, 1, on_error="no")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no worker 'nobody'"):
        client.run(increment, 1, workers=["nobody"])


def test_a_bar_in_a_terminal_waits_until_all_have_ended(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    futures: list[Future[Any]] = [*client.map(increment, range(5)), client.submit(refuse, "bad")]
    assert progress(futures, notebook=False) is None
    assert "100% completed | 6 of 6, 1 failed" in capsys.readouterr().out
    out = io.StringIO()
    Bar(futures).draw_until_ended(out)
    assert out.getvalue().endswith("s\n")
    with pytest.raises(ValueError, match="nothing to show"):
        progress([1])


def test_a_bar_is_drawn_at_its_own_pace(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[Bar.__module__], "_DRAW_S", 60.0)
    pipes = [tmp_path / name for name in ("first", "second")]
    for pipe in pipes:
        os.mkfifo(pipe)
    bar = Bar([client.submit(read, str(pipe), pure=False) for pipe in pipes])
    drawn, out = threading.Event(), io.StringIO()
    monkeypatch.setattr(out, "flush", drawn.set)
    drawing = threading.Thread(target=bar.draw_until_ended, args=(out,))
    drawing.start()
    drawn.wait()
    pipes[0].write_text("1")
    pause = threading.Event()
    while bar.counts()["pending"] == 2:
        pause.wait(0.01)
    pipes[1].write_text("2")
    drawing.join()
    assert out.getvalue().count("\r") == 2, "at the beginning and at the end"


def test_a_bar_in_a_notebook_has_a_row_for_each_function(client: Client) -> None:
    futures = [*client.map(increment, range(5)), client.submit(refuse, "bad"), client.submit(increment, 1, key=("x", 1))]
    client.gather(futures, errors="skip")
    bar = progress(futures, notebook=True)
    shown = bar._repr_html_()
    assert shown.count("<tr>") == 3
    assert "<td>increment</td>" in shown and "5 of 5" in shown and "<td>x</td>" in shown
    assert progress(futures, notebook=True, multi=False)._repr_html_().count("<tr>") == 1
    assert bar.counts() == {"pending": 0, "finished": 6, "error": 1, "cancelled": 0}


class Shown:
    """What a notebook shows."""

    def __init__(self) -> None:
        self.last = ""
        self.is_full = threading.Event()

    def display(self, bar: Bar, display_id: bool) -> Shown:
        assert display_id
        self.update(bar)
        return self

    def update(self, bar: Bar) -> None:
        self.last = bar._repr_html_()
        if not bar.counts()["pending"]:
            self.is_full.set()


def test_a_bar_that_a_notebook_shows_goes_on_by_itself(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown()
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    future = client.submit(stuck, str(pipe), pure=False)
    assert progress(future, notebook=True) is None
    assert "0 of 1" in shown.last
    pipe.write_text("done")
    assert shown.is_full.wait(30)
    assert "1 of 1" in shown.last


def test_a_bar_of_an_asynchronous_client_is_awaited(cluster: LocalCluster) -> None:
    async def work() -> None:
        async with Client(cluster, asynchronous=True) as client:
            assert await progress(client.map(increment, range(3)), notebook=False) is None

    asyncio.run(work())


def test_keys_are_grouped_by_what_they_begin_with() -> None:
    keys = ["f-0a1b2c3d4e5f-17", "read-csv-0123456789abcdef0123456789abcdef", ("sum-0123456789abcdef", 0, 1), "own-key", "x"]
    assert [prefix_of(key) for key in keys] == ["f", "read-csv", "sum", "own-key", "x"]


def forked(client: Client, call: Any) -> str:
    """What a call raises in a child of this process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            call(client)
            os.write(writer, b"nothing")
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


def test_a_client_is_of_no_use_after_a_fork(client: Client) -> None:
    future = client.submit(increment, 1)
    assert future.result() == 2
    for call in (
        lambda client: client.submit(increment, 2),
        lambda client: client.gather([future]),
        lambda client: client.nthreads(),
        lambda _: future.result(),
        lambda _: future.exception(),
    ):
        assert forked(client, call).startswith("RuntimeError: this client belongs to the process that forked")
    assert client.submit(increment, 3).result() == 4
