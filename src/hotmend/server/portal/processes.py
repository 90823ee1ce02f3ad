"""Processes of a machine against what they run: a grid, lit by state. Pure.

Out of two sources: what the last assessment saw, and what the installations of the last days did.
The later one of them is believed. Of a process that neither speaks of nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hotmend.model.agent_messages import Assessment, Installation, Needs
from hotmend.server.storage.runs import Kept

_GONE = ("gone", "not-mapped")


@dataclass(frozen=True)
class Cell:
    """``state``: an OutcomeKind, or what a stale process needs; ``because``: why it is not live, a
    word of ours or a sentence of its machine's."""

    state: str
    because: str = ""
    pause_ms: float | None = None


@dataclass
class Line:
    """A process. ``command``: "" where nobody said; ``cells``: by library or patch."""

    pid: int
    command: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """``columns``: names of libraries and patches, in order."""

    columns: tuple[str, ...]
    lines: tuple[Line, ...]


def grid(known: Iterable[Kept]) -> Grid:
    """``known``: the last assessment and the installations, in any order."""
    lines: dict[int, Line] = {}
    for kept in sorted(known, key=lambda kept: kept.finished or kept.asked):
        run = kept.run
        if run is not None and run.installation is not None:
            _installed(lines, run.installation)
        elif run is not None and run.assessment is not None:
            lines = _alive(lines)  # a pid that has ended may be another process by now
            _assessed(lines, run.assessment)
    lines = _alive(lines)
    columns = sorted({name for line in lines.values() for name in line.cells})
    return Grid(tuple(columns), tuple(lines[pid] for pid in sorted(lines)))


def column(name: str) -> str:
    """A patch's first word: its package."""
    return name.split(" ")[0].split("=")[0]


def _installed(lines: dict[int, Line], done: Installation) -> None:
    for patch in done.patches:
        for process in patch.processes:
            line = lines.setdefault(process.pid, Line(process.pid))
            line.command = process.command or line.command
            cell = Cell(process.kind, process.because, process.pause_ms)
            line.cells[column(patch.name)] = cell


def _assessed(lines: dict[int, Line], assessment: Assessment) -> None:
    for patch in assessment.patches:
        for pids, state in ((patch.outdated, "outdated"), (patch.patched, "already")):
            missing = "not-installed" if patch.hotpatch else "no-hotpatch"
            for pid in pids:
                line = lines.setdefault(pid, Line(pid))
                before = line.cells.get(column(patch.name))
                # Why it was refused is worth more than that it is old.
                because = ""
                if state == "outdated":
                    because = (before.because if before is not None else "") or missing
                line.cells[column(patch.name)] = Cell(state, because)
    for process in assessment.stale:
        line = lines.setdefault(process.pid, Line(process.pid))
        line.command = process.command
        for file in process.files:
            state = "already" if process.needs is Needs.NOTHING else process.needs.value
            line.cells.setdefault(file.rpartition("/")[2], Cell(state))


def _alive(lines: dict[int, Line]) -> dict[int, Line]:
    return {
        pid: line
        for pid, line in lines.items()
        if any(cell.state not in _GONE for cell in line.cells.values())
    }
