"""What the benches share: named workloads, their repeats, and a JSON line for each figure, as those of the peers have them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from bireme import Client, LocalCluster

#: Clock ticks of /proc in a second.
_TICKS = os.sysconf("SC_CLK_TCK")
#: Where the client of a latency runs, and where everything else does.
CLIENT_CORE, DAEMON_CORE = 0, 1


class Bench:
    """One workload that is measured: how large, on which cluster, and the lines that came of it."""

    def __init__(self, name: str, n: int, topology: tuple[int, int], repeats: int) -> None:
        self.name = name
        self.n = n
        self.workers, self.threads = topology
        self.repeats = repeats
        self.is_pinned = False
        self.lines: list[dict[str, Any]] = []

    def cluster(self, **options: Any) -> LocalCluster:
        """A cluster of the topology that is asked for."""
        return LocalCluster(self.workers, self.threads, **options)

    def emit(self, values: float | Sequence[float], unit: str, suffix: str = "", **more: Any) -> None:
        """A figure: its repeats."""
        repeats = sorted(values if isinstance(values, Sequence) else [values])
        line = {
            "peer": "bireme-python",
            "workload": self.name + suffix,
            "n": self.n,
            "median": round(statistics.median(repeats), 4),
            "min": round(repeats[0], 4),
            "max": round(repeats[-1], 4),
            "unit": unit,
            "repeats": len(repeats),
            "workers": self.workers,
            "threads": self.threads,
            "pinned": self.is_pinned,
        }
        self.lines.append(line | more)

    def timed(self, tasks: int, run: Callable[[], object]) -> None:
        """Microseconds that each of so many tasks takes in all."""
        self.emit([1e6 / tasks * wall for wall in self.seconds(run)], "us/task")

    def seconds(self, run: Callable[[], object]) -> list[float]:
        """How long something takes, as often as it is to be repeated."""
        taken = []
        for _ in range(self.repeats):
            before = time.perf_counter()
            run()
            taken.append(time.perf_counter() - before)
        return taken


Measure: TypeAlias = Callable[[Bench], None]


class Workload(NamedTuple):
    """What is measured, with how much, on how many workers and cpus of each."""

    measure: Measure
    sizes: tuple[int, ...]
    topology: tuple[int, int]


#: All there are, by name, in the order in which they are measured.
WORKLOADS: dict[str, Workload] = {}


def workload(name: str, *sizes: int, topology: tuple[int, int] = (2, 1)) -> Callable[[Measure], Measure]:
    """Adds a workload; workers and cpus of each are its `topology`."""

    def add(measure: Measure) -> Measure:
        WORKLOADS[name] = Workload(measure, sizes or (0,), topology)
        return measure

    return add


def percentile(times: Sequence[float], share: float) -> float:
    """The time that so much of them take at most."""
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


def warm(client: Client, calls: int = 64) -> None:
    """Has the processes of a cluster started."""
    client.gather(client.map(abs, range(calls), pure=False))
    weigh_up()


def weigh_up() -> None:
    """Weighs this process and those that it has started up against others of the machine, where `PEER_AUTOGROUP_NICE` says how
    much, as it does for the peers. It needs the rights for that.
    """
    weight = os.environ.get("PEER_AUTOGROUP_NICE")
    rest = [os.getpid()] if weight else []
    while rest:
        process = rest.pop()
        try:
            Path(f"/proc/{process}/autogroup").write_text(weight or "0")
            rest += map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())
        except OSError as error:
            print(f"# process {process} is not weighed up: {error}", file=sys.stderr)


def _figures(name: str, n: int, topology: tuple[int, int], repeats: int) -> Iterator[dict[str, Any]]:
    """The lines of one workload. What anything else took of the machine meanwhile is told with each."""
    bench = Bench(name, n, topology, repeats)
    before, (busy, own) = time.time(), (_busy(), _own())
    try:
        WORKLOADS[name].measure(bench)
    except Exception as error:
        yield {"peer": "bireme-python", "workload": name, "n": n, "error": repr(error)[:300]}
        return
    others = (_busy() - busy - (_own() - own)) / (time.time() - before)
    for line in bench.lines:
        yield line | {"other_cores": round(max(others, 0.0), 2), "commit": _commit(), "machine": _machine()}


def _busy() -> float:
    """Seconds of cpu that the machine has spent."""
    spent = [int(part) for part in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(spent) - spent[3] - spent[4]) / _TICKS


def _own() -> float:
    """Seconds of cpu that this process and those that it waited for have spent."""
    usages = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _commit() -> str:
    """The tree's; it ends in `-dirty` if that was changed since."""
    here = Path(__file__).parent
    asked = [["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]]
    head, changes = (
        subprocess.run(["git", *what], cwd=here, capture_output=True, text=True, check=False).stdout for what in asked
    )
    return head.strip() + ("-dirty" if changes.strip() else "")


def _machine() -> str:
    """Cores, memory, processor and kernel."""
    memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(": ")[2] if models else platform.machine()
    return f"{os.cpu_count()} cores, {memory} GiB, {model}, Linux {platform.release()}"


def main(about: str | None) -> None:
    """Measures what the command line says."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names of workloads, separated by commas")
    parser.add_argument("--skip", default="", help="names of workloads to leave out")
    parser.add_argument("--n", help="sizes in place of those that workloads have, separated by commas")
    parser.add_argument("--topo", help="topologies, such as 1x1,2x4, in place of theirs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", help="a file that the lines are added to as well")
    parser.add_argument("--list", action="store_true", help="names the workloads")
    given = parser.parse_args()
    if given.list:
        print("\n".join(WORKLOADS))
        return
    names = given.only.split(",") if given.only else list(WORKLOADS)
    for name in names:
        if name in given.skip.split(","):
            continue
        known = WORKLOADS.get(name)
        if known is None:
            print(f"# bireme-python: no workload {name}", file=sys.stderr)
            continue
        sizes = [int(size) for size in given.n.split(",")] if given.n else known.sizes
        for topology in _topologies(given.topo) or [known.topology]:
            for n in sizes:
                _write(_figures(name, n, topology, given.repeats), given.out)


def _topologies(given: str | None) -> list[tuple[int, int]]:
    pairs = [pair.partition("x") for pair in given.split(",")] if given else []
    return [(int(workers), int(threads)) for workers, _, threads in pairs]


def _write(lines: Iterator[dict[str, Any]], out: str | None) -> None:
    for line in lines:
        text = json.dumps(line, sort_keys=True)
        print(text, flush=True)
        if out:
            with open(out, "a") as file:
                file.write(text + "\n")
