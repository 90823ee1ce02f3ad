"""Which changed functions may be carried: the largest set that is closed and safe.

Every changed function starts as carried. What the evidence forbids is refused first; then
refusals spread, until nothing moves: to functions that need a refused one's new version, to
functions that a refused one's old version calls through an interface that nothing proves to have
stayed, to functions whose entries cannot all be redirected.
"""

from __future__ import annotations

from collections.abc import Iterable

from hotmend.diff.entry import Entries
from hotmend.diff.identical import Comparison
from hotmend.diff.place import InFunction
from hotmend.diff.resolve import Resolution, Resolver, Standing
from hotmend.diff.unit import Unit, UnitReference
from hotmend.model.refusal import Refusal, RefusalCode

Resolved = tuple[tuple[UnitReference, Resolution], ...]


class Selection:
    """``changed``: new unit numbers of pairs that differ; ``refused``: new unit number -> why;
    ``together``: groups of new units of which all or none may be carried."""

    def __init__(
        self,
        comparison: Comparison,
        changed: set[int],
        refused: dict[int, Refusal],
        together: Iterable[frozenset[int]],
    ) -> None:
        self._matching = comparison.matching
        self._changed = changed
        self._added = {u.index for u in self._matching.new.units} - self._matching.to_old.keys()
        self.refused = dict(refused)
        self._together = [group & changed for group in together]
        self._entries = Entries(self._matching.old)
        self._new_entries = Entries(self._matching.new)
        self._resolver = Resolver(comparison, self.standing, self.anchored)
        self._anchored: dict[int, bool] = {}
        self.resolutions: dict[int, Resolved] = {}
        self.detours: dict[int, dict[int, int]] = {}

    def run(self) -> None:
        """Refuse to a fixed point."""
        while (
            self._refuse_groups()
            or self._refuse_unresolved()
            or self._refuse_called_by_old()
            or self._refuse_unredirected()
        ):
            pass

    def standing(self, index: int) -> Standing:
        if index in self.refused:
            return Standing.REFUSED
        carried = index in self._changed or index in self._added
        return Standing.CARRIED if carried else Standing.SAME

    @property
    def carried(self) -> list[int]:
        """Changed units that stayed, new unit numbers."""
        return sorted(self._changed - self.refused.keys())

    def needed(self) -> list[int]:
        """Added units that carried ones lead to."""
        found: set[int] = set()
        waiting = self.carried
        while waiting:
            for reference in self._matching.new.units[waiting.pop()].references:
                if isinstance(reference.place, InFunction):
                    target = reference.place.unit
                    if target in self._added and target not in found:
                        found.add(target)
                        waiting.append(target)
        return sorted(found)

    def anchored(self, index: int) -> bool:
        """Code that did not change calls it, or data that did not change points at it, in both
        builds: whoever was compiled against the old version gets along with the new one."""
        if index not in self._anchored:
            self._anchored[index] = self._is_anchored(index)
        return self._anchored[index]

    def _is_anchored(self, index: int) -> bool:
        old = self._matching.to_old.get(index)
        if old is None:
            return False
        new_unit, old_unit = self._matching.new.units[index], self._matching.old.units[old]
        if self._entries.pointed_at(old_unit) and self._new_entries.pointed_at(new_unit):
            return True
        unchanged = self._matching.to_old.keys() - self._changed
        return bool(self._new_entries.callers(new_unit) & unchanged)

    def _refuse_groups(self) -> bool:
        for group in self._together:
            out = group & self.refused.keys()
            if out and out != group:
                cause = self.refused[min(out)]
                for index in sorted(group - out):
                    self._refuse_with(index, cause)
                return True
        return False

    def _refuse_unresolved(self) -> bool:
        progress = False
        for index in [*self.carried, *sorted(self._added - self.refused.keys())]:
            unit = self._matching.new.units[index]
            resolved = []
            for reference in unit.references:
                found = self._resolver.resolve(unit, reference)
                if isinstance(found, Refusal):
                    self.refused[index] = found
                    progress = True
                    break
                resolved.append((reference, found))
            else:
                self.resolutions[index] = tuple(resolved)
        return progress

    def _refuse_called_by_old(self) -> bool:
        """Old code that stays, refused or without a counterpart, goes on calling what is
        replaced."""
        matching = self._matching
        staying = {
            matching.to_old[index]: refusal
            for index, refusal in self.refused.items()
            if index in matching.to_old
        }
        for unit in matching.old.units:
            if unit.index not in matching.to_new:
                staying[unit.index] = Refusal(
                    RefusalCode.CONFLICTING_EVIDENCE,
                    f"{unit.name} has no counterpart in the fixed build",
                    unit.name,
                )
        progress = False
        for old, refusal in sorted(staying.items()):
            for reference in matching.old.units[old].references:
                if not isinstance(reference.place, InFunction):
                    continue
                target = matching.to_new.get(reference.place.unit)
                if target is None or target in self.refused or target not in self._changed:
                    continue
                if not self.anchored(target):
                    self._refuse_with(target, refusal)
                    progress = True
        return progress

    def _refuse_unredirected(self) -> bool:
        matching = self._matching
        replaced = {matching.to_old[index] for index in self.carried}
        self.detours = {}
        reached = {
            index: list(self._entries.reached(matching.old.units[matching.to_old[index]], replaced))
            for index in self.carried
        }
        taken = {va for entries in reached.values() for va in entries}
        progress = False
        for index, entries in reached.items():
            old, new = matching.old.units[matching.to_old[index]], matching.new.units[index]
            detours = {}
            for va in entries:
                target = _counterpart(old, new, va)
                refusal = self._entries.refusal(old, va, taken - {va})
                if target is None:
                    refusal = Refusal(
                        RefusalCode.UNREDIRECTED_FUNCTION,
                        f"{old.name} is entered at {va:#x}, which has no counterpart",
                        old.name,
                        (
                            ("old entries", _hexes(old.entries)),
                            ("new entries", _hexes(new.entries)),
                        ),
                    )
                if refusal is not None:
                    self.refused[index] = refusal
                    progress = True
                    break
                assert target is not None
                detours[va] = target
            else:
                self.detours[index] = detours
        return progress

    def _refuse_with(self, index: int, cause: Refusal) -> None:
        name = self._matching.new.units[index].name
        self.refused[index] = Refusal(
            RefusalCode.DEPENDS_ON_REFUSED,
            f"{name} works together with {cause.subject}, which is not carried",
            name,
            (("because of", cause.subject), ("its refusal", cause.code.value)),
        )


def _counterpart(old: Unit, new: Unit, va: int) -> int | None:
    """The new entry that stands for an old one: the main entry, or the start of the same further
    part when both builds have as many."""
    if va == old.va:
        return new.va
    starts = [start for start, _ in old.parts]
    if va in starts and len(old.parts) == len(new.parts):
        return new.parts[starts.index(va)][0]
    return None


def _hexes(addresses: Iterable[int]) -> str:
    return " ".join(f"{va:#x}" for va in addresses)
