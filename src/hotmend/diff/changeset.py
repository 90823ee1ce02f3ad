"""What a diff of two images says: the answer that a hotpatch is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hotmend.diff.match import Matching
from hotmend.diff.resolve import Resolution
from hotmend.diff.unit import Unit, UnitReference
from hotmend.model.refusal import Refusal


@dataclass(frozen=True)
class Replacement:
    """An old unit that new unit ``new`` replaces. ``detours``: old entry va -> new entry va, for
    every entry that somebody outside the replaced set may reach."""

    old: Unit
    new: Unit
    detours: Mapping[int, int]


@dataclass(frozen=True)
class ChangeSet:
    """``replacements``: carried functions; ``added``: functions that only the new build has and
    that carried ones need; ``resolutions``: what becomes of each reference of both.

    ``left``: everything of the difference that is not carried, and why; ``notes``: differences
    that change nothing (a version string in a function that never runs again).
    ``noise``: (old va, new va) of pairs that differ in line numbers only.
    ``whole``: nothing is left.
    """

    matching: Matching
    identical: int
    changed: tuple[tuple[Unit, Unit], ...]
    noise: tuple[tuple[int, int], ...]
    replacements: tuple[Replacement, ...]
    added: tuple[Unit, ...]
    resolutions: Mapping[int, tuple[tuple[UnitReference, Resolution], ...]]
    left: tuple[Refusal, ...]
    notes: tuple[Refusal, ...]
    independent: bool
    dependence: str

    @property
    def whole(self) -> bool:
        return not self.left

    @property
    def pairs(self) -> dict[int, int]:
        """Old function va -> new function va, of every matched pair."""
        return {old.va: new.va for old, new in self.matching.pairs()}
