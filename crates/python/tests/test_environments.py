"""Environments and processes that tasks ask for. Packages come from a directory: nothing is fetched."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bireme import Client, Environment, EnvironmentBroken, LocalCluster
from environments import Host, found_here, pid, prefix, version_here


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
