"""What is copied of an array that is passed from task to task, and to the client, on one machine.

    python bench/no_copy.py --mib 1024 --consumers 2 --out lines.jsonl

The consumers are processes of one worker that look at every page at the same time; the producer is one of them. Lengths are
in bytes, as the system counts them. `executors_written` has the one copy that there must be, the producer's into the pool,
and `daemon_copied` what went through the worker's daemon meanwhile. Of a consumer, `shared`, `private` and `pss` are those of
the mapping that has the array (`/proc/self/smaps`), of which each has its share, and `pss_elsewhere` is by how much the rest
of its memory has grown.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from bireme import Client, LocalCluster

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def make(n: int) -> Any:
    """An array."""
    return np.ones(n, dtype=np.uint8)


def consume(array: Any, meeting: str, consumers: int) -> dict[str, int]:
    """Looks at an array while all others have it too."""
    before = rest_of_pss(array)
    seen = looked_at(array)
    meet(Path(meeting, "looked"), consumers)
    mapping = mapping_of(array)
    # Whoever left before the others have counted would take its part of what is shared with it.
    meet(Path(meeting, "counted"), consumers)
    return {
        "pid": os.getpid(),
        "daemon": os.getppid(),
        "seen": seen,
        "shared": mapping["Shared_Clean"] + mapping["Shared_Dirty"],
        "private": mapping["Private_Clean"] + mapping["Private_Dirty"],
        "pss": mapping["Pss"],
        "pss_elsewhere": rest_of_pss(array) - before,
    }


def meet(place: Path, many: int) -> None:
    """Waits until as many processes are at a place, for a minute at most."""
    (place / str(os.getpid())).touch()
    pause, end = threading.Event(), time.monotonic() + 60
    while len(os.listdir(place)) < many:
        if time.monotonic() > end:
            raise TimeoutError(f"{len(os.listdir(place))} of {many} processes came to {place.name}")
        pause.wait(0.01)


def looked_at(array: Any) -> int:
    """A sum that takes every page."""
    return int(array[::PAGE_BYTES].sum(dtype=np.int64))


def rest_of_pss(array: Any) -> int:
    """This process's share of memory without the mapping that has the array."""
    return rollup()["Pss"] - mapping_of(array)["Pss"]


def rollup() -> dict[str, int]:
    """How much memory this process has, and how."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) << 10 for name, rest in (line.split(":") for line in lines)}


def mapping_of(array: Any) -> dict[str, int]:
    """The same of the one mapping that has an array."""
    address = array.ctypes.data
    found: dict[str, int] = {}
    is_it = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            start, end = (int(part, 16) for part in name.split("-"))
            is_it = start <= address < end
        elif is_it and rest[-1] == "kB":
            found[name.removesuffix(":")] = int(rest[0]) << 10
    return found


def copied(pid: int, *counters: str) -> int:
    """What a process has read and written by system calls."""
    lines = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return sum(int(lines[counter]) for counter in counters)


def free_shared_memory() -> int:
    """Bytes that files in shared memory may still take."""
    about = os.statvfs("/dev/shm")
    return about.f_bavail * about.f_frsize


def passed(client: Client, array: Any, consumers: int) -> list[dict[str, int]]:
    """Has tasks look at an array at the same time. What each says."""
    with tempfile.TemporaryDirectory() as meeting:
        for place in ("looked", "counted"):
            Path(meeting, place).mkdir()
        futures = [client.submit(consume, array, meeting, consumers, pure=False) for _ in range(consumers)]
        return client.gather(futures)  # type: ignore[no-any-return]


def gathered(array: Any) -> dict[str, Any]:
    """Brings an array here. How long that takes, and what it costs."""
    before, began = rollup()["Pss_Anon"], time.perf_counter()
    here = array.result()
    taken = time.perf_counter() - began
    assert looked_at(here) == here.nbytes // PAGE_BYTES
    anonymous = rollup()["Pss_Anon"] - before
    return {"gather_s": round(taken, 6), "client_anonymous": anonymous, "client_mapped": mapping_of(here)["Rss"]}


def measure(n: int, consumers: int, memory: str) -> dict[str, Any]:
    """One line, of an array of `n` bytes."""
    with LocalCluster(1, consumers, memory) as cluster, Client(cluster) as client:
        [daemon] = client.run(os.getppid).values()
        free, through = free_shared_memory(), copied(daemon, "rchar", "wchar")
        array = client.submit(make, n)
        told = passed(client, array, consumers)
        taken, through = free - free_shared_memory(), copied(daemon, "rchar", "wchar") - through
        assert all(each["seen"] == n // PAGE_BYTES for each in told)
        return {
            "peer": "bireme-python",
            "workload": "no_copy",
            "n": n,
            "consumers": len({each["pid"] for each in told}),
            "pool_bytes": taken,
            "executors_written": sum(copied(pid, "wchar") for pid in {each["pid"] for each in told}),
            "daemon_copied": through,
            "shared": min(each["shared"] for each in told),
            "private": max(each["private"] for each in told),
            "pss": max(each["pss"] for each in told),
            "pss_elsewhere": max(each["pss_elsewhere"] for each in told),
            **gathered(array),
        }


def main() -> None:
    """Measures, and prints a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="length of the array")
    parser.add_argument("--consumers", type=int, default=2, help="processes that look at it at the same time")
    parser.add_argument("--memory", default="6 GiB", help="memory of the worker")
    parser.add_argument("--out", type=argparse.FileType("a"), default="-", help="file for the line")
    given = parser.parse_args()
    print(json.dumps(measure(given.mib << 20, given.consumers, given.memory)), file=given.out, flush=True)


if __name__ == "__main__":
    main()
