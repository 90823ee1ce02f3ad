"""Which packages of a baseline have something newer in a channel. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from debian.debian_support import Version


@dataclass(frozen=True)
class Available:
    """A version that a channel has. ``source``: of the source package; ``place``: a file, or where
    in the channel it lies."""

    package: str
    version: str
    source: str
    place: str


@dataclass(frozen=True)
class Candidate:
    """A package of the baseline with an older version than the channel's newest."""

    package: str
    baseline: str
    newest: Available


def candidates(baseline: Mapping[str, str], channel: Iterable[Available]) -> list[Candidate]:
    """One for each package that is behind, by name. Versions are ordered as dpkg orders them."""
    newest: dict[str, Available] = {}
    for available in channel:
        best = newest.get(available.package)
        if best is None or Version(available.version) > Version(best.version):
            newest[available.package] = available
    return [
        Candidate(package, version, newest[package])
        for package, version in sorted(baseline.items())
        if package in newest and Version(newest[package].version) > Version(version)
    ]
