"""Makes environments, for workers: `python -m bireme.environment_builder install ROOT FILE`, or `adopt ROOT`.

`install` makes a virtual environment with what a requirements file lists. `adopt` makes an archive fit this machine that a
worker has unpacked. Either way tasks can run there in the end: an environment that lacks bireme, or what bireme needs, is lent
this interpreter's.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import venv
from importlib.util import find_spec
from pathlib import Path

#: Packages that every executor needs.
_NEEDED = ("bireme", "cloudpickle", "msgpack")
#: By which version pip can install for another interpreter.
_PIP_ELSEWHERE = (22, 3)
#: For people and scripts that wait for nothing.
_PIP = ("--no-input", "--disable-pip-version-check")


def main(arguments: list[str]) -> None:
    """Does as it is told by its arguments. Whatever fails has printed why, and ends the process."""
    match arguments:
        case ["install", root, requirements]:
            install(Path(root), Path(requirements))
        case ["adopt", root]:
            adopt(Path(root))
        case _:
            sys.exit("usage: python -m bireme.environment_builder install ROOT FILE | adopt ROOT")
    lend(Path(root))
    # As an executor starts, and without what this process has on its path.
    _run([*_python(Path(root)), "-c", "import bireme.executor"])


def install(root: Path, requirements: Path) -> None:
    """Makes a virtual environment with what a file lists."""
    has_pip = _own_pip() >= _PIP_ELSEWHERE
    venv.EnvBuilder(symlinks=True, with_pip=not has_pip).create(root)
    if not requirements.read_text().strip():
        return
    own = [sys.executable, "-I", "-m", "pip", "--python", str(root / "bin" / "python")]
    pip = own if has_pip else [*_python(root), "-m", "pip"]
    _run([*pip, *_PIP, "install", "--requirement", str(requirements)])


def adopt(root: Path) -> None:
    """Makes an environment usable that was packed elsewhere."""
    if (root / "pyvenv.cfg").exists():
        _adopt_venv(root)
    elif (unpack := root / "bin" / "conda-unpack").exists():
        _run([*_python(root), str(unpack)])
    if not (root / "bin" / "python").exists():
        sys.exit("the archive has no bin/python: pack an environment by venv-pack or conda-pack")


def _adopt_venv(root: Path) -> None:
    """Gives a virtual environment the interpreter of this machine that it was made for."""
    version = _library(root).name.removeprefix("python")
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version != own:
        sys.exit(f"the archive is of Python {version}, this worker's is {own}: pack it with that, or by conda-pack")
    base = Path(getattr(sys, "_base_executable", sys.executable))
    for name in ("python", "python3", f"python{version}"):
        link = root / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(base)
    (root / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")


def lend(root: Path) -> None:
    """Lets an environment that lacks what executors need find this interpreter's, after all that is its own."""
    lent = root / "lent"
    lent.mkdir(exist_ok=True)
    for name in _NEEDED:
        found = find_spec(name)
        if found is None or found.origin is None:
            sys.exit(f"{name} is not installed where this worker's executors run; install it there")
        (lent / name).symlink_to(Path(found.origin).parent, target_is_directory=True)
    (_library(root) / "site-packages" / "bireme-lent.pth").write_text(f"{lent}\n")


def _library(root: Path) -> Path:
    """The directory of an environment's modules."""
    found = sorted(path for path in root.glob("lib/python3.*") if path.is_dir())
    if not found:
        sys.exit("the archive has no lib/python3.*: pack an environment by venv-pack or conda-pack")
    return found[-1]


def _python(root: Path) -> list[str]:
    """The command of an environment's interpreter that finds nothing but what is installed there."""
    return [str(root / "bin" / "python"), "-I"]


def _own_pip() -> tuple[int, ...]:
    """The version of this interpreter's pip; nothing where there is none."""
    if find_spec("pip") is None:
        return ()
    from importlib.metadata import version

    return tuple(int(part) for part in version("pip").split(".")[:2] if part.isdecimal())


def _end_with_worker() -> None:
    """Has this process end, with all that it has started, when the worker does, which holds its standard input open."""
    is_workers = stat.S_ISFIFO(os.fstat(0).st_mode) and os.getpgrp() == os.getpid()
    if is_workers:
        threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


def _run(command: list[str]) -> None:
    """Runs a command, which prints what goes wrong; then this process has failed too."""
    if status := subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
        sys.exit(status if status > 0 else 1)


if __name__ == "__main__":
    _end_with_worker()
    main(sys.argv[1:])
