"""A machine against its baseline: what is behind, ahead, or missing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from debian.debian_support import Version


class Place(StrEnum):
    """Where a package stands. Only *on* counts as being on the baseline."""

    ON = "on"
    BEHIND = "behind"
    AHEAD = "ahead"
    MISSING = "missing"


@dataclass(frozen=True)
class Package:
    """``installed``: "" where it is missing."""

    name: str
    baseline: str
    installed: str
    place: Place


def compare(baseline: Mapping[str, str], installed: Mapping[str, str]) -> list[Package]:
    """Every package of the baseline, by name."""
    return [
        Package(name, version, installed.get(name, ""), _place(version, installed.get(name)))
        for name, version in sorted(baseline.items())
    ]


def _place(baseline: str, installed: str | None) -> Place:
    if installed is None:
        return Place.MISSING
    if Version(installed) == Version(baseline):
        return Place.ON
    return Place.BEHIND if Version(installed) < Version(baseline) else Place.AHEAD
