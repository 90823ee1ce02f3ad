"""A release: what a vendor published in a month, and what it means for a machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Kind(StrEnum):
    """A *baseline* is cumulative and needs a restart; a *hotpatch* needs none and applies only to
    machines on its baseline; an *update* is neither."""

    BASELINE = "baseline"
    HOTPATCH = "hotpatch"
    UPDATE = "update"


class Planning(StrEnum):
    """*planned*: in its month by the rule. *unplanned*: a baseline in place of a month's hotpatch.
    *out-of-band*: beside the month's release."""

    PLANNED = "planned"
    UNPLANNED = "unplanned"
    OUT_OF_BAND = "out-of-band"


@dataclass(frozen=True, order=True)
class Month:
    """A month of a year, as releases are named after."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """From "2024-08". Raises ValueError."""
        year, _, number = text.partition("-")
        month = cls(int(year), int(number))
        if not 1 <= month.number <= 12 or not 1 <= month.year <= 9999:
            raise ValueError(f"{text!r} is not a month; write it as 2024-08")
        return month

    @property
    def next(self) -> Month:
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


@dataclass(frozen=True)
class Release:
    """``released``: None for a slot that lies ahead, or whose date nobody wrote down. ``article``:
    the KB number or DSA, ``build``: what the vendor calls the result. ``ordinary``: the article and
    build of the ordinary channel in the same month. ``on_track``: a machine that installs it stays
    on the hotpatch track. ``note``: why it differs from the rule. ``source``: who says so."""

    product: str
    month: Month
    kind: Kind
    planning: Planning
    released: date | None
    article: str = ""
    build: str = ""
    ordinary: tuple[str, str] = ("", "")
    on_track: bool = True
    note: str = ""
    source: str = ""

    @property
    def restarts(self) -> bool:
        """It takes effect with a restart."""
        return self.kind is not Kind.HOTPATCH

    @property
    def name(self) -> str:
        """As people say it: "2024.08 B", with an asterisk for an unplanned baseline."""
        if self.planning is Planning.OUT_OF_BAND:
            return f"{self.month.year}.{self.month.number:02} OOB"
        star = "*" if self.planning is Planning.UNPLANNED else ""
        return f"{self.month.year}.{self.month.number:02} B{star}"
