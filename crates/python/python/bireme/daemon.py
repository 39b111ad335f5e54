"""Daemons as child processes, tied to this one by a pipe: however this process ends, they end too."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

#: How long a daemon may take to say that it is ready, in seconds.
READY_S = 30.0
#: How long a daemon may take to end when asked to, in seconds. Then it is killed.
END_S = 10.0
#: Of a daemon's log, what an error quotes, in bytes.
_QUOTE_BYTES = 2048

# Runs a daemon, and ends it when the pipe says so: by a line, or because nobody holds its other end any more. It lets go of
# stdout, so that the daemon's end is seen there. Its own name is that of the log, which goes last, and with the last one the
# directory.
_GUARD = """
"$@" </dev/null & daemon=$!
exec >/dev/null 2>&1
read _
kill -TERM $daemon
wait $daemon
rm -f "$0"
rmdir "${0%/*}"
"""


class Daemon:
    """A daemon that this process has started."""

    def __init__(self, program: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.program = program
        self._log = log
        self._owner = os.getpid()
        with log.open("ab") as stderr:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, str(log), find(program), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=dict(environment),
                start_new_session=True,
            )

    def wait_ready(self) -> str:
        """Waits until it is ready, and returns the address that it listens on."""
        line = self._first_line()
        found = [word.removeprefix("grpc=") for word in line.split() if word.startswith("grpc=")]
        if not line.startswith("ready ") or not found:
            problem = "it ended" if not line else f"it said {line!r}"
            self.kill()
            raise RuntimeError(f"{self.program} does not start: {problem}{self._quote()}")
        return found[0]

    def ask_to_end(self) -> None:
        """Asks it to end; does not wait."""
        assert self._guard.stdin is not None
        try:
            # A line, and not just the end of the pipe, which a process forked from this one may hold open.
            self._guard.stdin.write(b"\n")
            self._guard.stdin.close()
        except (BrokenPipeError, ValueError):
            pass

    def wait_end(self) -> None:
        """Waits until it has ended, and kills it when it takes too long."""
        try:
            self._guard.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def kill(self) -> None:
        """Ends it at once, with all that it has started."""
        try:
            os.killpg(self._guard.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._guard.wait()
        self._close()

    def _close(self) -> None:
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def _first_line(self) -> str:
        assert self._guard.stdout is not None
        pipe = self._guard.stdout.fileno()
        until, text = monotonic() + READY_S, b""
        while not text.endswith(b"\n"):
            if not select.select([pipe], [], [], max(until - monotonic(), 0.0))[0]:
                self.kill()
                raise TimeoutError(f"{self.program} is not ready after {READY_S:g} s{self._quote()}")
            piece = os.read(pipe, 4096)
            if not piece:
                break
            text += piece
        return text.decode(errors="replace").strip()

    def _quote(self) -> str:
        """The end of its log, to add to an error."""
        text = self._log.read_bytes()[-_QUOTE_BYTES:].decode(errors="replace").strip()
        return f"; it logged:\n{text}" if text else ""


def find(program: str) -> str:
    """The path of a daemon: where `BIREME_BIN` says, in the package, beside the interpreter, or on `PATH`."""
    places = [
        os.environ.get("BIREME_BIN"),
        str(Path(__file__).parent / "bin"),
        str(Path(sys.executable).parent),
        sysconfig.get_path("scripts"),
        os.environ.get("PATH", os.defpath),
    ]
    path = shutil.which(program, path=os.pathsep.join(place for place in places if place))
    if path is None:
        raise FileNotFoundError(
            f"{program} is not installed; put it on PATH, or name its directory in BIREME_BIN, "
            "or give the client the address of a cluster that runs"
        )
    return path
