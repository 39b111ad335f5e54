"""Clusters that a program starts for itself."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from bireme import Client, LocalCluster, daemon, get_client
from calls import increment

_PROGRAM = """
import signal, sys
from bireme import Client, LocalCluster

class Plain:
    def __init__(self, x): self.x = x

def main():
    client = Client(n_workers=1, threads_per_worker=1)
    value = client.submit(lambda plain: Plain(plain.x + 1), Plain(1)).result()
    print(type(value) is Plain, value.x, client.cluster.directory, flush=True)
    {end}

if __name__ == "__main__":
    main()
"""


def run(directory: Path, end: str) -> subprocess.Popen[str]:
    program = directory / "program.py"
    program.write_text(_PROGRAM.format(end=end))
    return subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)


def test_what_means_nothing_here_says_what_to_do_instead() -> None:
    with pytest.raises(NotImplementedError, match="a process apart"):
        Client(processes=False)
    with pytest.raises(NotImplementedError, match="no dashboard yet"):
        LocalCluster(n_workers=0, processes=True, dashboard_address=":0")
    with pytest.raises(TypeError, match="silence_logs"):
        Client(silence_logs=True)


def test_a_limit_of_memory_is_that_of_each_worker() -> None:
    with LocalCluster(2, 1, "256 MiB") as cluster, Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=30)
        assert client.scheduler_info()["total_memory"] == 512 << 20


def started_by(pid: int) -> set[int]:
    """Guards of the daemons that a process has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children}


def wait_gone(pids: set[int]) -> None:
    """Waits until processes that are no children of this one have ended."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        assert select.select([descriptor], [], [], 30)[0], f"process {pid} is still there"
        os.close(descriptor)


@pytest.mark.parametrize("end", ["client.close()", "pass", "sys.exit(3)"])
def test_a_script_without_an_address_runs_and_leaves_nothing(tmp_path: Path, end: str) -> None:
    program = run(tmp_path, end)
    assert program.stdout is not None
    is_plain, value, directory = program.stdout.readline().split()
    assert (is_plain, value) == ("True", "2")
    program.communicate(timeout=30)
    assert not Path(directory).exists()
    assert program.returncode == (3 if "exit" in end else 0)


def test_daemons_end_when_their_program_is_killed(tmp_path: Path) -> None:
    program = run(tmp_path, "signal.pause()")
    assert program.stdout is not None
    directory = program.stdout.readline().split()[-1]
    guards = started_by(program.pid)
    assert len(guards) == 2
    daemons = set().union(*(started_by(guard) for guard in guards))
    assert len(daemons) == 2
    program.kill()
    program.communicate(timeout=30)
    wait_gone(guards | daemons)
    assert not Path(directory).exists()


def test_a_cluster_grows_and_shrinks() -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        cluster.scale(2)
        client.wait_for_workers(2, timeout=30)
        assert len(client.run(increment, 1)) == 2
        directory = cluster.directory
    assert not directory.exists()
    assert cluster.is_closed


def test_get_client_finds_the_last_one(client: Client) -> None:
    assert get_client() is client
    assert Client.current() is client


def test_use_after_a_fork_is_refused(client: Client, cluster: LocalCluster) -> None:
    child = os.fork()
    if child == 0:
        try:
            client.submit(increment, 1)
        except RuntimeError as error:
            os._exit(0 if "forked" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.submit(increment, 1).result() == 2


def test_a_daemon_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="nonsense"):
        daemon.Daemon("bireme-worker", ["--nonsense"], tmp_path / "log", os.environ).wait_ready()


def test_a_missing_daemon_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="bireme-nobody is not installed"):
        daemon.find("bireme-nobody")


def test_the_command_line_is_a_program_of_the_package(tmp_path: Path) -> None:
    becomes = [sys.executable, "-c", "from bireme.command import main; main()", "run", "a job.toml"]
    elsewhere = os.environ | {"BIREME_BIN": str(tmp_path)}
    missing = subprocess.run(becomes, env=elsewhere, capture_output=True, text=True)
    assert missing.returncode == 1 and "has no command line; install the package anew" in missing.stderr
    program = tmp_path / "bireme"
    program.write_text("#!/bin/sh\nprintf '%s|' \"$@\"; exit 3\n")
    program.chmod(0o755)
    done = subprocess.run(becomes, env=elsewhere, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "run|a job.toml|")


def test_who_gives_no_token_is_told_how(cluster: LocalCluster) -> None:
    with pytest.raises(ConnectionError, match=r"set BIREME_TOKEN.*Client\(token=\.\.\.\)"):
        Client(cluster.scheduler_address)
    with pytest.raises(ConnectionError, match=r"Client\(token=\.\.\.\)"):
        Client(cluster.scheduler_address, token="wrong")


def test_an_address_that_nobody_answers_is_named() -> None:
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1"):
        Client("127.0.0.1:1")
