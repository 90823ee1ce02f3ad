"""Which new function is which old one: matching to a fixed point.

Seeds are what the builds name (exports, entry point, constructors). A pair with the same masked
bytes pairs up whatever its references lead to, place by place. Where that stops: unique bytes
with unique references, then pointer tables, then references aligned inside changed functions,
then the order between anchors. Every wrong match makes some reference fail to correspond later,
so that it enlarges the patch; it cannot hide a change.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from difflib import SequenceMatcher
from functools import cache, partial
from itertools import pairwise

from hotmend.diff.alignment import Alignment, Body
from hotmend.diff.evidence import DataMap
from hotmend.diff.place import (
    InData,
    InFunction,
    InRodata,
    InSlot,
    Place,
    ToImport,
)
from hotmend.diff.program import Program
from hotmend.diff.rodata import string_at
from hotmend.diff.unit import Unit, UnitReference

_ALIKE = 0.5
_VERY_ALIKE = 0.7
_RUN = 3
_LARGEST_TABLE = 1 << 14


class Matching:
    """``to_old`` and ``to_new``: unit numbers; ``data``: data addresses."""

    def __init__(self, old: Program, new: Program) -> None:
        self.old, self.new = old, new
        self.to_old: dict[int, int] = {}
        self.to_new: dict[int, int] = {}
        self.data = DataMap()
        self._fresh: list[tuple[Unit, Unit]] = []
        self._changed: list[tuple[Unit, Unit]] = []
        self._aligned: set[tuple[int, int]] = set()
        self._candidates: Counter[tuple[int, int]] = Counter()
        self._tables_seen: set[tuple[int, int]] = set()
        self.alignment: Callable[[int, int], Alignment] = cache(self._align)
        self._bodies: dict[tuple[bool, int], Body] = {}

    def run(self) -> None:
        """Match to a fixed point."""
        self._seed()
        stages = (
            self._by_unique_code,
            self._by_tables,
            self._by_bare_code,
            self._by_aligned_references,
            self._by_order,
        )
        progress = True
        while progress:
            self._propagate()
            progress = False
            for stage in stages:
                if stage():
                    progress = True
                    break

    def pairs(self) -> list[tuple[Unit, Unit]]:
        """(old, new) in the new build's order."""
        return [(self.old.units[o], self.new.units[n]) for n, o in sorted(self.to_old.items())]

    # Seeds.

    def _seed(self) -> None:
        olds = {(s.name, s.version, s.kind): s for s in self.old.image.symbols if s.defined}
        for symbol in self.new.image.symbols:
            other = olds.get((symbol.name, symbol.version, symbol.kind))
            if not symbol.defined or other is None:
                continue
            if symbol.kind == "object":
                self.data.settle(symbol.va, other.va)
            elif symbol.kind in ("func", "ifunc"):
                self._pair_at(other.va, symbol.va)
        self._seed_copies()
        self._pair_at(self.old.image.entry, self.new.image.entry)
        for names in (".init", ".fini"):
            first, second = self.old.image.named(names), self.new.image.named(names)
            if first is not None and second is not None:
                self._pair_at(first.va, second.va)
        olds_first, news_first = self.old.image.constructors, self.new.image.constructors
        if len(olds_first) == len(news_first):
            for old, new in zip(olds_first, news_first, strict=True):
                self._pair_at(old, new)

    def _seed_copies(self) -> None:
        """COPY relocations: variables of libraries that live in the program."""
        copies = [
            {
                (r.symbol.name, r.symbol.version): va
                for va, r in program.image.relocations.items()
                if r.kind == "COPY" and r.symbol is not None
            }
            for program in (self.old, self.new)
        ]
        for key in copies[0].keys() & copies[1].keys():
            self.data.settle(copies[1][key], copies[0][key])

    # One pair.

    def _pair_at(self, old_va: int, new_va: int) -> None:
        old, new = self.old.unit_at(old_va), self.new.unit_at(new_va)
        if old is not None and new is not None and (old_va, new_va) == (old.va, new.va):
            self._pair(old, new)

    def _pair(self, old: Unit, new: Unit) -> bool:
        if old.index in self.to_new or new.index in self.to_old:
            return False
        self.to_new[old.index] = new.index
        self.to_old[new.index] = old.index
        self._fresh.append((old, new))
        return True

    def _propagate(self) -> None:
        while self._fresh:
            old, new = self._fresh.pop()
            if old.masked == new.masked and len(old.references) == len(new.references):
                for first, second in zip(old.references, new.references, strict=True):
                    self._link(first, second, new, strong=True)
            else:
                self._changed.append((old, new))

    def _link(self, old: UnitReference, new: UnitReference, voter: Unit, *, strong: bool) -> None:
        if old.use is not new.use:
            return
        self._link_places(old.place, new.place, voter, strong=strong)

    def _link_places(self, old: Place, new: Place, voter: Unit, *, strong: bool) -> None:
        match old, new:
            case InFunction(first, 0), InFunction(second, 0):
                if strong:
                    self._pair(self.old.units[first], self.new.units[second])
                else:
                    self._candidates[first, second] += 1
            case (InData(first), InData(second)) | (InRodata(first), InRodata(second)):
                self.data.vote(second, first, voter.index, strong=strong)
            case InSlot(symbol="") as first_slot, InSlot(symbol="") as second_slot:
                if first_slot.kind == second_slot.kind and first_slot.kind.endswith("RELATIVE"):
                    self._link_places(
                        self.old.place(first_slot.addend),
                        self.new.place(second_slot.addend),
                        voter,
                        strong=strong,
                    )

    # Stages, tried in order whenever nothing follows from the pairs at hand.

    def _by_unique_code(self) -> bool:
        """Same masked bytes, and references that say the same, in one unit of each build."""
        return self._by_unique(self._full_key)

    def _by_bare_code(self) -> bool:
        """Same masked bytes in one unit of each build, whatever the references say."""
        return self._by_unique(self._bare_key)

    def _by_unique(self, key: Callable[[Program, Unit], Hashable]) -> bool:
        olds = _unique(self._unmatched(self.old, self.to_new), partial(key, self.old))
        news = _unique(self._unmatched(self.new, self.to_old), partial(key, self.new))
        found = sorted(((olds[k], news[k]) for k in olds.keys() & news.keys()), key=_by_new)
        return any([self._pair(old, new) for old, new in found])

    def _full_key(self, program: Program, unit: Unit) -> Hashable:
        labels = tuple(self._label(program, reference) for reference in unit.references)
        return unit.sizes, unit.masked, labels

    @staticmethod
    def _bare_key(_: Program, unit: Unit) -> Hashable:
        return (unit.sizes, unit.masked) if unit.size >= 48 else None

    def _label(self, program: Program, reference: UnitReference) -> Hashable:
        """What a reference says by itself, before anything is matched."""
        place = reference.place
        match place:
            case ToImport():
                return place
            case InSlot(symbol=symbol) if symbol:
                return place
            case InFunction(unit, offset):
                target = program.units[unit]
                if program is self.new and unit in self.to_old:
                    return "unit", self.to_old[unit], offset
                if program is self.old and unit in self.to_new:
                    return "unit", unit, offset
                return target.symbols, offset
            case InRodata(va):
                size = reference.width or 64
                content = program.image.read(va, size)
                return content if reference.width else content.split(b"\0")[0]
        return type(place).__name__

    def _by_tables(self) -> bool:
        """What stands at the same place of paired tables pairs up: slot by slot where both have
        the same size and slots, else in runs of rows that say the same, since an inserted row
        would pair up strangers."""
        progress = False
        for new_base, old_base in sorted(self.data.pairs().items()):
            if (new_base, old_base) in self._tables_seen:
                continue
            self._tables_seen.add((new_base, old_base))
            old_size = self.old.boundary_after(old_base) - old_base
            new_size = self.new.boundary_after(new_base) - new_base
            old_slots = _within(self.old.image.relocated, old_base, old_base + old_size)
            new_slots = _within(self.new.image.relocated, new_base, new_base + new_size)
            if [va - old_base for va in old_slots] == [va - new_base for va in new_slots]:
                for first, second in zip(old_slots, new_slots, strict=True):
                    progress |= self._link_slots(first, second, sure=True)
            elif max(old_size, new_size) <= _LARGEST_TABLE:
                olds = [self._word(self.old, va) for va in range(old_base, old_base + old_size, 8)]
                news = [self._word(self.new, va) for va in range(new_base, new_base + new_size, 8)]
                matcher = SequenceMatcher(None, olds, news, autojunk=False)
                for first, second, length in matcher.get_matching_blocks():
                    for word in range(length if length >= _RUN else 0):
                        progress |= self._link_slots(
                            old_base + 8 * (first + word),
                            new_base + 8 * (second + word),
                            sure=False,
                        )
        return progress

    def _word(self, program: Program, va: int) -> Hashable:
        """What a word of a table says before anything about it is matched."""
        relocation = program.image.relocations.get(va)
        if relocation is None:
            return program.image.read(va, 8)
        if relocation.symbol is not None:
            return relocation.symbol.name
        place = program.place(relocation.addend)
        if isinstance(place, InRodata):
            return string_at(program, place.va)
        return type(place).__name__

    def _link_slots(self, old_va: int, new_va: int, *, sure: bool) -> bool:
        one = self.old.image.relocations.get(old_va)
        other = self.new.image.relocations.get(new_va)
        if one is None or other is None or one.symbol is not None or other.symbol is not None:
            return False
        match self.old.place(one.addend), self.new.place(other.addend):
            case InFunction(first, 0), InFunction(second, 0):
                old, new = self.old.units[first], self.new.units[second]
                return (sure or self._likeness(old, new) >= _ALIKE) and self._pair(old, new)
            case InData(first), InData(second):
                if not self.data.votes(second):
                    self.data.vote(second, first, -1 - new_va, strong=True)
                    return True
        return False

    def _by_aligned_references(self) -> bool:
        for old, new in self._changed:
            if (old.index, new.index) not in self._aligned:
                self._aligned.add((old.index, new.index))
                for first, second in self.alignment(old.index, new.index).references():
                    self._link(first, second, new, strong=False)
        progress = False
        ranked = sorted(self._candidates.items(), key=lambda c: (-c[1], c[0]))
        for (one, other), _ in ranked:
            old, new = self.old.units[one], self.new.units[other]
            if one in self.to_new or other in self.to_old:
                continue
            if old.masked == new.masked or self._likeness(old, new) >= _ALIKE:
                progress |= self._pair(old, new)
        return progress

    def _by_order(self) -> bool:
        """Between two neighbouring pairs, what is left on both sides pairs up in order."""
        progress = False
        anchors = sorted((old.va, new.va) for old, new in self.pairs())
        olds = sorted(u.va for u in self._unmatched(self.old, self.to_new))
        news = sorted(u.va for u in self._unmatched(self.new, self.to_old))
        ends = [(0, 0), *anchors, (1 << 62, 1 << 62)]
        for (old_from, new_from), (old_to, new_to) in pairwise(ends):
            first = [self.old.unit_at(va) for va in _within(olds, old_from, old_to)]
            second = [self.new.unit_at(va) for va in _within(news, new_from, new_to)]
            if not first or not second:
                continue
            progress |= self._pair_alike([u for u in first if u], [u for u in second if u])
        return progress

    def _pair_alike(self, olds: list[Unit], news: list[Unit]) -> bool:
        progress = False
        if len(olds) == len(news):
            for old, new in zip(olds, news, strict=True):
                if self._likeness(old, new) >= _ALIKE:
                    progress |= self._pair(old, new)
            return progress
        if len(olds) * len(news) > 400:
            return False
        ranked = sorted(
            ((self._likeness(old, new), old.index, new.index) for old in olds for new in news),
            reverse=True,
        )
        for likeness, first, second in ranked:
            if likeness >= _VERY_ALIKE:
                progress |= self._pair(self.old.units[first], self.new.units[second])
        return progress

    # Likeness.

    def _likeness(self, old: Unit, new: Unit) -> float:
        if old.masked == new.masked:
            return 1.0
        if max(old.size, new.size) > 4 * max(1, min(old.size, new.size)):
            return 0.0
        return self.alignment(old.index, new.index).likeness

    def _align(self, old: int, new: int) -> Alignment:
        return Alignment(self.body(old=old), self.body(new=new))

    def body(self, *, old: int | None = None, new: int | None = None) -> Body:
        """The instructions of an old or a new unit, decoded once."""
        is_new = new is not None
        index = new if new is not None else old
        assert index is not None
        program = self.new if is_new else self.old
        if (is_new, index) not in self._bodies:
            self._bodies[is_new, index] = Body(program, program.units[index])
        return self._bodies[is_new, index]

    @staticmethod
    def _unmatched(program: Program, matched: dict[int, int]) -> list[Unit]:
        return [unit for unit in program.units if unit.index not in matched]


def _by_new(pair: tuple[Unit, Unit]) -> int:
    return pair[1].index


def _unique(units: Iterable[Unit], key: Callable[[Unit], Hashable]) -> dict[Hashable, Unit]:
    """Units whose key no other unit has; None is no key."""
    found: dict[Hashable, list[Unit]] = defaultdict(list)
    for unit in units:
        found[key(unit)].append(unit)
    return {k: units[0] for k, units in found.items() if k is not None and len(units) == 1}


def _within(ascending: list[int], start: int, end: int) -> list[int]:
    """The numbers in [start, end)."""
    return ascending[bisect_left(ascending, start) : bisect_left(ascending, end)]


def match(old: Program, new: Program) -> Matching:
    """Match two programs. Deterministic."""
    matching = Matching(old, new)
    matching.run()
    return matching
