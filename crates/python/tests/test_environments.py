"""Environments and processes that tasks ask for. Packages come from a directory: nothing is fetched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from bireme import Client, Environment, EnvironmentBroken, LocalCluster, TaskTimeout
from environments import Host, conda_here, digest_here, found_here, pid, prefix, version_here


def wheel(directory: Path, version: str) -> Path:
    """A package `greeting` that knows its version, written by hand."""
    about = f"greeting-{version}.dist-info"
    files = {
        "greeting.py": f"VERSION = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: greeting\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    path = directory / f"greeting-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return path


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two versions of a package."""
    directory = tmp_path_factory.mktemp("packages")
    for version in ("1.0", "2.0"):
        wheel(directory, version)
    return directory


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the worker keeps environments."""
    return tmp_path_factory.mktemp("environments")


@pytest.fixture(scope="module")
def client(daemons: None, kept: Path) -> Iterator[Client]:
    """A client of a cluster with one worker."""
    options = ["--environment-dir", str(kept)]
    with LocalCluster(n_workers=1, threads_per_worker=2, worker_options=options) as cluster, Client(cluster) as client:
        yield client


def requiring(packages: Path, *requirements: str) -> list[str]:
    return ["--no-index", f"--find-links {packages}", *requirements]


def test_tasks_have_what_they_require_side_by_side(client: Client, packages: Path, kept: Path) -> None:
    envs = [requiring(packages, f"greeting=={version}") for version in ("1.0", "2.0")]
    futures = [client.map(version_here, range(5), env=env, key=f"in-{n}") for n, env in enumerate(envs)]
    assert [set(client.gather(several)) for several in futures] == [{"1.0"}, {"2.0"}]
    assert client.submit(version_here).result() == "", "as it is installed"
    # A call that computes something else is not the same call.
    assert [client.submit(version_here, env=Environment(env)).result() for env in envs] == ["1.0", "2.0"]
    assert len([path for path in kept.iterdir() if path.is_dir()]) == 2


def test_packages_of_the_worker_are_not_there_and_bireme_is(client: Client, packages: Path) -> None:
    found = client.submit(found_here, env=requiring(packages, "greeting==1.0")).result()
    assert found == ["bireme", "cloudpickle", "msgpack"]


def test_actors_live_in_environments(client: Client, packages: Path) -> None:
    env = Environment(requiring(packages, "greeting==2.0"))
    actor = client.submit(Host, actor=True, env=env).result()
    assert actor.version().result() == "2.0"
    broken = client.submit(Host, actor=True, env=requiring(packages, "greeting==9.0"))
    with pytest.raises(Exception, match="cannot be built"):
        broken.result()


def test_what_pip_printed_last_is_told(client: Client, packages: Path) -> None:
    future = client.submit(version_here, env=requiring(packages, "greeting==3.0"))
    with pytest.raises(EnvironmentBroken, match=r"No matching distribution found for greeting==3\.0") as raised:
        future.result()
    assert "cannot be built" in str(raised.value)


def test_an_archive_is_unpacked_and_adopted(client: Client, packages: Path, tmp_path: Path) -> None:
    root = tmp_path / "packed"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True)
    library = next(root.glob("lib/python3.*/site-packages"))
    with zipfile.ZipFile(packages / "greeting-2.0-py3-none-any.whl") as packed:
        packed.extractall(library)
    archive = tmp_path / "env.tar.gz"
    with tarfile.open(archive, "w:gz") as packing:
        packing.add(root, arcname=".")
    env = Environment(archive=archive)
    assert client.submit(version_here, env=env).result() == "2.0"
    there = client.submit(prefix, env=archive).result()
    assert not there.startswith(str(root)), "where it was packed"


def test_an_archive_that_is_none_is_refused_where_it_is(client: Client, tmp_path: Path) -> None:
    no_archive = tmp_path / "env.tar.gz"
    no_archive.write_text("requirements")
    with pytest.raises(ValueError, match=r"is no \.tar\.gz"):
        client.submit(version_here, env=no_archive)
    with pytest.raises(ValueError, match="give one of them"):
        Environment()
    with pytest.raises(ValueError, match="give one of them"):
        Environment(["a"], archive="b")
    with pytest.raises(TypeError, match=r"give a list, \['numpy'\]"):
        Environment("numpy")
    with pytest.raises(ValueError, match="more than one line"):
        Environment(["one\ntwo"])


def test_each_attempt_has_a_process_of_its_own_where_that_is_asked_for(client: Client) -> None:
    alone = client.gather(client.map(pid, range(6), isolation="process", pure=False))
    assert len(set(alone)) == 6
    together = client.gather(client.map(pid, range(6), pure=False))
    assert len(set(together)) <= 2 and not set(together) & set(alone)
    with pytest.raises(ValueError, match="isolation is 'thread'"):
        client.submit(pid, isolation="thread")


#: Longer than what the scheduler keeps in its memory.
LONG = 20 << 20


def pack(archive: Path, root: Path) -> None:
    """Packs quickly: what is in it need not be small."""
    with tarfile.open(archive, "w:gz", compresslevel=0) as packing:
        packing.add(root, arcname=".")


def test_an_archive_may_be_larger_than_what_the_scheduler_keeps_in_memory(client: Client, tmp_path: Path) -> None:
    root = tmp_path / "packed"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True)
    library = next(root.glob("lib/python3.*/site-packages"))
    (library / "weights.bin").write_bytes(os.urandom(LONG))
    archive = tmp_path / "env.tar.gz"
    pack(archive, root)
    digest = client.submit(digest_here, "weights.bin", env=archive).result()
    assert digest == sha256((library / "weights.bin").read_bytes()).hexdigest()


def test_an_archive_that_is_too_large_is_refused_at_once(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bireme.environment.BLOB_BYTES", 100)
    archive = tmp_path / "env.tar.gz"
    archive.write_bytes(b"\x1f\x8b" + bytes(99))
    with pytest.raises(ValueError, match="has 101 bytes, and at most 100 are sent: leave out packages"):
        client.submit(version_here, env=archive)


#: As the script of conda-pack does it, in short: replaces the prefix at which the environment was packed.
_UNPACK = """#!/usr/bin/env python
import pathlib
root = pathlib.Path(__file__).resolve().parent.parent
for name in ("bin/tool", "etc/tool.conf"):
    file = root / name
    file.write_text(file.read_text().replace("/where/it/was/packed", str(root)))
"""


def conda_environment(root: Path) -> Path:
    """An environment as conda-pack lays it out, with an interpreter of its own: a copy of the one that runs this."""
    base = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (root / "bin").mkdir(parents=True)
    shutil.copy(base, root / "bin" / version)
    (root / "bin" / "python").symlink_to(version)
    left_out = shutil.ignore_patterns("test", "tests", "site-packages", "dist-packages", "__pycache__", "idlelib", "config-*")
    shutil.copytree(sysconfig.get_path("stdlib"), root / "lib" / version, ignore=left_out, symlinks=False)
    for shared in (base.parent.parent / "lib").glob(f"lib{version}.so*"):
        shutil.copy(shared, root / "lib")
    (root / "lib" / version / "site-packages").mkdir()
    for directory, name, text in (
        ("conda-meta", "history", ""),
        ("bin", "conda-unpack", _UNPACK),
        ("bin", "tool", "#!/where/it/was/packed/bin/python\n"),
        ("etc", "tool.conf", "prefix = /where/it/was/packed\n"),
    ):
        (root / directory).mkdir(exist_ok=True)
        (root / directory / name).write_text(text)
    (root / "bin" / "conda-unpack").chmod(0o755)
    return root


def test_an_archive_of_conda_pack_brings_its_interpreter(client: Client, kept: Path, tmp_path: Path) -> None:
    archive = tmp_path / "env.tar.gz"
    pack(archive, conda_environment(tmp_path / "packed"))
    found = client.submit(conda_here, env=archive).result()
    assert Path(found["prefix"]).is_relative_to(kept) and found["CONDA_PREFIX"] == found["prefix"]
    assert Path(found["executable"]).resolve().is_relative_to(kept), "an interpreter of its own"
    assert found["tool"] == f"#!{found['prefix']}/bin/python\n", "bin/conda-unpack has run"


def test_a_timeout_begins_when_the_environment_is_there(client: Client, packages: Path, tmp_path: Path) -> None:
    source = tmp_path / "slow"
    source.mkdir()
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    # Its wheel is built for as long as nobody has written to the gate.
    (source / "backend.py").write_text(
        f"import os, shutil\ndef build_wheel(directory, *_):\n    if os.path.exists({str(gate)!r}):\n"
        f"        open({str(gate)!r}).read()\n        os.remove({str(gate)!r})\n"
        f"    shutil.copy({str(packages / 'greeting-1.0-py3-none-any.whl')!r}, directory)\n"
        "    return 'greeting-1.0-py3-none-any.whl'\n"
    )
    future = client.submit(version_here, env=["--no-index", str(source)], timeout=3, retries=0)
    with gate.open("w"):
        with pytest.raises(TimeoutError) as raised:
            future.result(timeout=4)
        assert not isinstance(raised.value, TaskTimeout), "it is built for longer than the task may run"
    assert future.result() == "1.0"
