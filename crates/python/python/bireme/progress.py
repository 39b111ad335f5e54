"""How far tasks have come, as a bar in a terminal or a notebook."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Hashable
from html import escape
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from . import worker_api
from .completed import _on_end
from .future import Future, futures_in
from .task import CANCELLED, ERROR, FINISHED, PENDING

if TYPE_CHECKING:
    from typing import TextIO

#: Characters of a bar in a terminal.
_WIDTH = 40
#: How often a bar is drawn again, in seconds.
_DRAW_S = 0.1
#: Groups that a notebook shows; others are one line together.
_GROUPS = 20
_COLOURS = {FINISHED: "#27ae60", ERROR: "#c0392b", CANCELLED: "#7f8c8d"}

_HEX = frozenset("0123456789abcdef")

GroupBy = Literal["prefix"] | Callable[[Hashable], Hashable]


def progress(
    *futures: Any, notebook: bool | None = None, multi: bool = True, complete: bool = True, group_by: GroupBy = "prefix"
) -> Any:
    """Shows how many of these tasks have ended.

    In a terminal it waits until all have. In a notebook it returns at once, and the bar goes on; with `multi` there is one
    for each group of keys. `complete=False` leaves out what had ended before.
    """
    found = futures_in(list(futures))
    if not found:
        raise ValueError("there is nothing to show; give futures, or collections that were persisted")
    if not complete:
        found = [future for future in found if not future.done()]
    bar = Bar(found, group_by if multi else lambda _: "tasks")
    if notebook if notebook is not None else _is_notebook():
        return _show(bar)
    return bar.client._sync(bar.draw_until_ended, sys.stdout) if bar.client is not None else None


class Bar:
    """Counts the ends of tasks."""

    def __init__(self, futures: list[Future[Any]], group_by: GroupBy = "prefix") -> None:
        self.client = futures[0].client if futures else None
        self._futures = futures
        self._group_of = prefix_of if group_by == "prefix" else group_by
        self._totals = Counter(self._group_of(future.key) for future in futures)
        self._ended: dict[Hashable, Counter[str]] = {group: Counter() for group in self._totals}
        self._began = monotonic()
        self._changed = threading.Condition()
        self._left = len(futures)
        for future in futures:
            _on_end(future, self._end)

    def _end(self, future: Future[Any]) -> None:
        state = future.status
        with self._changed:
            self._ended[self._group_of(future.key)][state] += 1
            self._left -= 1
            if not self._left:
                self._changed.notify_all()

    def counts(self) -> dict[str, int]:
        """How many tasks are in which state."""
        with self._changed:
            ended = sum(self._ended.values(), Counter[str]())
            return {PENDING: self._left, **{state: ended[state] for state in (FINISHED, ERROR, CANCELLED)}}

    def wait(self, timeout: float) -> bool:
        """Waits until all tasks have ended, at most so many seconds. Returns whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._left, timeout)

    def draw_until_ended(self, out: TextIO) -> None:
        """Draws itself on a line of a terminal until all tasks have ended."""
        with worker_api.waiting():
            is_over = False
            while not is_over:
                out.write(f"\r{self.line()}")
                out.flush()
                is_over = self.wait(_DRAW_S)
        out.write(f"\r{self.line()}\n")
        out.flush()

    def line(self) -> str:
        """The bar as text."""
        counts, total = self.counts(), len(self._futures)
        done = total - counts[PENDING]
        share = done / total if total else 1.0
        failed = counts[ERROR] + counts[CANCELLED]
        bar = "#" * int(share * _WIDTH)
        wrong = f", {failed} failed" if failed else ""
        return f"[{bar:<{_WIDTH}}] | {share:4.0%} completed | {done} of {total}{wrong} | {monotonic() - self._began:.1f} s"

    def __repr__(self) -> str:
        return self.line()

    def _repr_html_(self) -> str:
        with self._changed:
            groups = [(group, total, Counter(self._ended[group])) for group, total in self._totals.most_common()]
        shown, rest = groups[:_GROUPS], groups[_GROUPS:]
        if rest:
            together = sum((ended for _, _, ended in rest), Counter[str]())
            shown.append((f"{len(rest)} others", sum(total for _, total, _ in rest), together))
        return "<table>" + "".join(_row(str(group), total, ended) for group, total, ended in shown) + "</table>"


def _row(group: str, total: int, ended: Counter[str]) -> str:
    parts = "".join(
        f'<div style="width: {100 * ended[state] / total:.1f}%; height: 12px; background: {colour}"></div>'
        for state, colour in _COLOURS.items()
    )
    done = sum(ended.values())
    return (
        f"<tr><td>{escape(group)}</td>"
        f'<td><div style="width: 300px; background: #dddddd; display: flex">{parts}</div></td>'
        f"<td>{done} of {total}</td></tr>"
    )


def prefix_of(key: Hashable) -> Hashable:
    """What keys of tasks of one function begin with."""
    head, *rest = str(key[0] if isinstance(key, tuple) and key else key).split("-")
    for part in rest:
        if part.isdigit() or (len(part) >= 8 and set(part) <= _HEX):
            break
        head += f"-{part}"
    return head


def _is_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def _show(bar: Bar) -> Bar | None:
    """Shows a bar in a notebook, and keeps it up to date. Without IPython whoever asked shows it."""
    display = getattr(sys.modules.get("IPython.display"), "display", None)
    if display is None:
        return bar
    handle = display(bar, display_id=True)

    def follow() -> None:
        while not bar.wait(_DRAW_S):
            handle.update(bar)
        handle.update(bar)

    threading.Thread(target=follow, name="bireme-progress", daemon=True).start()
    return None
