"""Parity: what the ordinary channel of a month fixes, against what the hotpatch carries. Pure.

Computed, never asserted: each advisory comes from a package's changelog, each verdict from the
builder. What is not live and not beside the point is a gap, and a gap in Critical or Security
content stands in the way of publishing, unless two publishers sign for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from hotmend.model.advisory import AdvisoryState, AdvisoryVerdict
from hotmend.release.classification import Classification
from hotmend.release.release import Kind

SIGNATURES_FOR_AN_EXCEPTION = 2


class Standing(StrEnum):
    """How an advisory stands in a release."""

    LIVE = "live"
    NEEDS_RESTART = "needs-restart"
    NOT_CODE = "not-code"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Update:
    """One package of the month. ``code``: it changes code that processes map; ``verdicts``: of
    the hotpatch, where one could be built; ``hotpatch``: its file name, "" where none could, and
    ``because`` why; ``left``: refusals by code and number."""

    package: str
    old_version: str
    new_version: str
    classification: Classification
    advisories: tuple[str, ...]
    code: bool
    hotpatch: str = ""
    verdicts: tuple[AdvisoryVerdict, ...] = ()
    left: tuple[tuple[str, int], ...] = ()
    because: str = ""


@dataclass(frozen=True)
class Row:
    """One advisory in one package."""

    advisory: str
    package: str
    classification: Classification
    standing: Standing
    because: str


@dataclass(frozen=True)
class Proposal:
    """What the month should be. ``gaps``: the rows for which it is not a hotpatch, or only with
    the publishers' signatures."""

    kind: Kind
    rows: tuple[Row, ...]
    gaps: tuple[Row, ...]
    reasons: tuple[str, ...]

    @property
    def gap_reasons(self) -> tuple[str, ...]:
        """The reasons, where there are gaps."""
        return self.reasons if self.gaps else ()


def rows(updates: Iterable[Update]) -> list[Row]:
    """Advisory by advisory; an update that names none has one row, of its own."""
    found = []
    for update in updates:
        names = update.advisories or (f"{update.package} {update.new_version}",)
        found += [_row(update, name) for name in names]
    return found


def propose(updates: Iterable[Update]) -> Proposal:
    """A hotpatch where everything that matters is live; else an unplanned baseline, and why."""
    known = list(updates)
    table = tuple(rows(known))
    gaps = tuple(row for row in table if is_gap(row))
    if not any(update.hotpatch for update in known):
        reasons = ["nothing in the channel can be hotpatched"]
    else:
        packages = sorted({row.package for row in gaps})
        left = {update.package: update.left for update in known}
        reasons = [_reason(package, gaps, left[package]) for package in packages]
    kind = Kind.HOTPATCH if not gaps and any(u.hotpatch for u in known) else Kind.BASELINE
    return Proposal(kind, table, gaps, tuple(reasons))


def is_gap(row: Row) -> bool:
    """It has to be in the hotpatch and is not, as far as is known."""
    missing = row.standing in (Standing.NEEDS_RESTART, Standing.UNKNOWN)
    return missing and row.classification.automatic


def _row(update: Update, name: str) -> Row:
    standing, because = _standing(update, name)
    return Row(name, update.package, update.classification, standing, because)


def _standing(update: Update, name: str) -> tuple[Standing, str]:
    if not update.code:
        return Standing.NOT_CODE, "the update changes no code that a process maps"
    if not update.hotpatch:
        return Standing.NEEDS_RESTART, update.because or "no hotpatch could be built"
    verdict = next((v for v in update.verdicts if v.id == name), None)
    if verdict is None:
        whole = not update.left
        return (
            (Standing.LIVE, "the whole update is carried")
            if whole
            else (Standing.UNKNOWN, "part of the update is left out")
        )
    standing = {
        AdvisoryState.LIVE: Standing.LIVE,
        AdvisoryState.NEEDS_RESTART: Standing.NEEDS_RESTART,
        AdvisoryState.UNKNOWN: Standing.UNKNOWN,
    }[verdict.state]
    return standing, verdict.because


def _reason(package: str, gaps: tuple[Row, ...], left: tuple[tuple[str, int], ...]) -> str:
    mine = [row for row in gaps if row.package == package]
    restart = sum(row.standing is Standing.NEEDS_RESTART for row in mine)
    why = f"left out: {', '.join(f'{n} {code}' for code, n in left)}" if left else mine[0].because
    return (
        f"{package}: {restart} advisories need a restart, {len(mine) - restart} are unknown ({why})"
    )
