"""Large arrays on one machine: their consumers, the client among them, see the same pages, whoever made them."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bireme import Client, LocalCluster

numpy = pytest.importorskip("numpy")

ARRAY_BYTES = 64 << 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def ones(count: int) -> Any:
    return numpy.ones(count, dtype=numpy.uint8)


def hold(array: Any, mapped: str, leave: str) -> int:
    """Looks at every page, says which process has the array where, and keeps it until told to leave."""
    seen = int(array[::PAGE_BYTES].sum(dtype=numpy.int64))
    Path(mapped).write_text(f"{os.getpid()} {array.ctypes.data}")
    Path(leave).read_text()
    return seen


def test_consumers_on_one_machine_share_the_pages_of_an_array(tmp_path: Path) -> None:
    pipes = [(tmp_path / f"mapped-{n}", tmp_path / f"leave-{n}") for n in range(2)]
    for pipe in [pipe for both in pipes for pipe in both]:
        os.mkfifo(pipe)
    with LocalCluster(n_workers=1, threads_per_worker=2) as cluster, Client(cluster) as client:
        array = client.submit(ones, ARRAY_BYTES)
        held = [client.submit(hold, array, str(mapped), str(leave)) for mapped, leave in pipes]
        places = [tuple(map(int, mapped.read_text().split())) for mapped, _ in pipes]
        counts = [(mapping_at(pid, address), anonymous(pid)) for pid, address in places]
        for _, leave in pipes:
            leave.write_text("leave")
        assert client.gather(held) == [ARRAY_BYTES // PAGE_BYTES] * 2
    assert len({pid for pid, _ in places}) == 2
    for mapping, own in counts:
        shared = mapping["Shared_Clean"] + mapping["Shared_Dirty"]
        private = mapping["Private_Clean"] + mapping["Private_Dirty"]
        assert shared > 0.95 * ARRAY_BYTES, mapping
        assert private < 0.05 * ARRAY_BYTES, mapping
        # Half each, of what there is once.
        assert mapping["Pss"] < 0.55 * ARRAY_BYTES, mapping
        assert own < ARRAY_BYTES, "there is a copy in memory of the process"


def filled(count: int, value: int) -> Any:
    return numpy.full(count, value, dtype=numpy.uint8)


def test_the_only_copy_is_the_producers_into_the_pool(tmp_path: Path) -> None:
    program = Path(__file__).parents[1] / "bench" / "no_copy.py"
    said = subprocess.run([sys.executable, str(program), "--mib", "64"], check=True, capture_output=True, text=True)
    line = json.loads(said.stdout)
    little = ARRAY_BYTES * 0.05
    assert line["n"] == ARRAY_BYTES and line["consumers"] == 2
    assert ARRAY_BYTES <= line["executors_written"] < ARRAY_BYTES + little
    assert line["pool_bytes"] < ARRAY_BYTES + little
    assert line["daemon_copied"] < little
    assert line["shared"] > ARRAY_BYTES - little and line["private"] < little
    assert line["pss_elsewhere"] < little
    assert line["client_mapped"] > ARRAY_BYTES - little and line["client_anonymous"] < little


def test_what_a_client_has_is_not_used_again_while_it_looks_at_it() -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        kept = client.submit(filled, ARRAY_BYTES, 1).result()
        with pytest.raises(ValueError, match="read-only"):
            kept[0] = 2
        assert kept.min() == kept.max() == 1
        mapping = mapping_at(os.getpid(), kept.ctypes.data)
        assert mapping["Rss"] > 0.95 * ARRAY_BYTES and mapping["Anonymous"] == 0
        # Its value is released, and room for others wanted.
        gc.collect()
        for value in range(2, 6):
            other = client.submit(filled, ARRAY_BYTES, value).result()
            assert other.min() == other.max() == value
        assert kept.min() == kept.max() == 1
    assert kept.min() == kept.max() == 1, "the cluster is gone, and the memory is not"


def mapping_at(pid: int, address: int) -> dict[str, int]:
    """How many bytes of the mapping that holds an address are what."""
    found: dict[str, int] = {}
    is_it = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            start, end = (int(part, 16) for part in name.split("-"))
            is_it = start <= address < end
        elif is_it and rest[-1] == "kB":
            found[name.removesuffix(":")] = int(rest[0]) << 10
    return found


def anonymous(pid: int) -> int:
    """Bytes of a process's memory that are in no file."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Anonymous:"))
