"""The calendar: what the rule plans, and what history made of it. Pure.

The rule is Microsoft's for Windows Server ("Windows Server release information", hotpatch
calendar): baselines in January, April, July and October, hotpatches in the two months after each,
all on the second Tuesday. An unplanned baseline replaces its month's hotpatch and does not shift
the quarter; out-of-band releases come beside the month's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from hotmend.release.release import Kind, Month, Planning, Release

BASELINE_MONTHS = (1, 4, 7, 10)
_TUESDAY = 1


@dataclass(frozen=True)
class Slot:
    """A month as the rule plans it."""

    month: Month
    kind: Kind
    day: date


@dataclass(frozen=True)
class Entry:
    """A month's slot and what was released for it. ``release``: None while nothing was.
    ``differs``: how the release differs from the rule, with the reason that the data gives."""

    slot: Slot
    release: Release | None
    out_of_band: tuple[Release, ...]
    differs: str

    @property
    def kind(self) -> Kind:
        """What the month is, as far as is known."""
        return self.slot.kind if self.release is None else self.release.kind

    @property
    def day(self) -> date:
        if self.release is not None and self.release.released is not None:
            return self.release.released
        return self.slot.day


def second_tuesday(month: Month) -> date:
    """The day of the month's release."""
    first = date(month.year, month.number, 1)
    return first + timedelta(days=(_TUESDAY - first.weekday()) % 7 + 7)


def slot(month: Month) -> Slot:
    kind = Kind.BASELINE if month.number in BASELINE_MONTHS else Kind.HOTPATCH
    return Slot(month, kind, second_tuesday(month))


def slots(first: Month, last: Month) -> list[Slot]:
    """What the rule plans from ``first`` to ``last``, both included."""
    found = []
    while first <= last:
        found.append(slot(first))
        first = first.next
    return found


def calendar(history: Iterable[Release], first: Month, last: Month) -> list[Entry]:
    """The months from ``first`` to ``last`` of one product, with what ``history`` has of it; none
    from before it began."""
    by_month: dict[Month, list[Release]] = {}
    for release in history:
        by_month.setdefault(release.month, []).append(release)
    first = max(first, min(by_month, default=first))
    return [_entry(planned, by_month.get(planned.month, [])) for planned in slots(first, last)]


def restart_needed_by(entries: Sequence[Entry], today: date) -> date | None:
    """The day on which a machine that is up to date must restart next: the next baseline's."""
    return next((e.day for e in entries if e.kind is Kind.BASELINE and e.day > today), None)


def _entry(planned: Slot, releases: list[Release]) -> Entry:
    regular = [r for r in releases if r.planning is not Planning.OUT_OF_BAND]
    # The fullest line of those that speak of one release: sources know different parts of it.
    release = max(regular, key=lambda r: (r.released is not None, bool(r.build)), default=None)
    beside = tuple(r for r in releases if r.planning is Planning.OUT_OF_BAND)
    return Entry(planned, release, beside, _difference(planned, release, beside))


def _difference(planned: Slot, release: Release | None, beside: tuple[Release, ...]) -> str:
    found = []
    if release is not None and release.kind is not planned.kind:
        found.append(f"{release.kind} instead of {planned.kind}: {release.note}")
    if release is not None and release.released not in (None, planned.day):
        found.append(f"released on {release.released}, not on {planned.day}: {release.note}")
    found += [f"{r.name} {r.article}: {r.note}" for r in beside]
    return "; ".join(found)
