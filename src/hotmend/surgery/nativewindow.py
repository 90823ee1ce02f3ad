"""The stop window in C, as Python sees it: arrays in, an ``Attempt`` out.

All that the window needs to know of the process is gathered here before anything stops.
"""

from __future__ import annotations

import array
import os
from collections.abc import Callable, Iterable, Sequence

from hotmend.model.outcome import BlockedBy
from hotmend.surgery.errors import NotPermitted
from hotmend.surgery.loan import Arguments, Who
from hotmend.surgery.module import FrameTable
from hotmend.surgery.process import Attempt, Ending, Mapping, Publication

try:
    from hotmend.surgery import _stopwindow
except ImportError:  # no compiler when hotmend was installed: the window in Python serves alone
    _stopwindow = None  # type: ignore[assignment]

Label = Callable[[int], str]
"""An address to "function+offset" or "module+offset"."""

_PUBLISHED, _IN_THE_WAY, _BYTES_DIFFER, _GONE, _BUDGET, _NOT_PERMITTED, _FAILED, _CROWDED = range(8)


def chosen() -> bool:
    """The extension is there, and nobody asked for Python instead."""
    return _stopwindow is not None and os.environ.get("HOTMEND_WINDOW") != "python"


def call(
    who: Who,
    tids: bytes,
    filtered: bool,
    patience_ns: int,
    site: int,
    home: int,
    stacks: bytes,
    number: int,
    arguments: Arguments,
) -> tuple[int, int, int]:
    """As ``pyborrow.call``."""
    return _stopwindow.call(who, tids, filtered, patience_ns, site, home, stacks, number, arguments)


def publish(
    pid: int,
    memory: int,
    publication: Publication,
    maps: Iterable[Mapping],
    tables: Sequence[FrameTable],
    label: Label,
) -> Attempt:
    """One stop window. ``memory``: an open /proc/PID/mem. Raises NotPermitted."""
    affected = [(r.start, r.end) for r in publication.affected] if publication.strict else []
    ending, pause_ns, threads, tid, where, pcs, error = _stopwindow.publish(
        pid,
        memory,
        [(w.address, *w.changed, w.before, w.after) for w in publication.writes],
        _rows(_disjoint(affected)),
        _rows((m.start, m.end) for m in maps if "w" in m.permissions),
        _rows(sorted((t.start, t.end, t.header) for t in tables)),
        int(publication.budget_ms * 1e6),
        len(os.listdir(f"/proc/{pid}/task")),  # noqa: PTH208 - counted, not opened
    )
    pause_ms = pause_ns / 1e6
    if ending == _PUBLISHED:
        return Attempt(Ending.PUBLISHED, pause_ms, threads)
    if ending == _IN_THE_WAY:
        blocked = BlockedBy(tid, _function(publication, where), tuple(map(label, pcs)))
        return Attempt(Ending.BLOCKED, pause_ms, threads, blocked)
    if ending == _BYTES_DIFFER:
        return Attempt(Ending.BYTES_DIFFER, pause_ms, threads, None, f"at {where:#x}")
    if ending == _GONE:
        return Attempt(Ending.GONE, pause_ms, threads)
    if ending == _BUDGET:
        busy = BlockedBy(tid, "did not stop within the pause budget") if tid else None
        return Attempt(Ending.BLOCKED, pause_ms, threads, busy, "pause budget used up")
    if ending == _CROWDED:
        return Attempt(Ending.BLOCKED, pause_ms, threads, None, "threads are born faster than held")
    if ending == _NOT_PERMITTED:
        raise NotPermitted(f"thread {tid} of process {pid} may not be traced: {os.strerror(error)}")
    return Attempt(Ending.FAILED, pause_ms, threads, None, os.strerror(error))


def _function(publication: Publication, where: int) -> str:
    """The affected function that ``where``, a pc or a return address, belongs to."""
    for affected in publication.affected:
        if affected.start <= where < affected.end:
            return affected.name
    for affected in publication.affected:
        if affected.end == where:
            return affected.name
    return "the bytes of a detour"


def _disjoint(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ascending and merged."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _rows(rows: Iterable[tuple[int, ...]]) -> bytes:
    return array.array("Q", [value for row in rows for value in row]).tobytes()
