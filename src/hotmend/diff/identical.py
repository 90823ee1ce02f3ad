"""A pair is identical only if the bytes and every reference correspond."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from hotmend.binary.image import Relocation
from hotmend.diff.match import Matching
from hotmend.diff.place import (
    Elsewhere,
    InData,
    InFunction,
    InRodata,
    InSlot,
    InTable,
    Place,
    ToImport,
)
from hotmend.diff.rodata import Rodata
from hotmend.diff.unit import Unit, UnitReference


@dataclass(frozen=True)
class Difference:
    """The first thing in which a pair differs. ``kind``: "code", or the kind of reference."""

    kind: str
    old: str
    new: str


class Comparison:
    """Correspondence of places and units under a finished matching."""

    def __init__(self, matching: Matching) -> None:
        self.matching = matching
        self.rodata = Rodata(matching.old, matching.new, matching.data)

    def difference(self, old: Unit, new: Unit) -> Difference | None:
        """None for an identical pair."""
        if old.masked != new.masked or old.sizes != new.sizes:
            return Difference("code", f"{old.size} bytes", f"{new.size} bytes")
        differing = self.differing(old, new)
        if not differing:
            return None
        first, second = differing[0]
        return Difference(
            type(second.place if second else None).__name__,
            _show(first),
            _show(second),
        )

    def differing(
        self, old: Unit, new: Unit
    ) -> list[tuple[UnitReference | None, UnitReference | None]]:
        """The references of two units with the same bytes that do not correspond."""
        return [
            (first, second)
            for first, second in zip_longest(old.references, new.references)
            if first is None or second is None or not self.correspond(first, second)
        ]

    def correspond(self, old: UnitReference, new: UnitReference) -> bool:
        """Both references mean the same, whatever the instruction around them."""
        if old.use is not new.use or old.width != new.width:
            return False
        return self.same_place(old.place, new.place, new.width)

    def same_place(self, old: Place, new: Place, width: int = 0) -> bool:
        match old, new:
            case InFunction(first, offset), InFunction(second, other):
                return self.matching.to_old.get(second) == first and offset == other
            case InRodata(first), InRodata(second):
                return self.rodata.same(first, second, width)
            case InData(first), InData(second):
                return self.same_data(first, second)
            case InTable(_, first_targets), InTable(_, second_targets):
                return first_targets == second_targets
            case InSlot(symbol=""), InSlot(symbol=""):
                return self._same_relative(old, new)
            case (ToImport(), ToImport()) | (InSlot(), InSlot()) | (Elsewhere(), Elsewhere()):
                return old == new
        return False

    def same_data(self, old: int, new: int) -> bool:
        mapped = self.matching.data.old(new)
        if mapped is None:
            mapped = self.matching.data.proved(new)
        return mapped == old

    def same_relocation(self, old: Relocation | None, new: Relocation | None) -> bool:
        """Two relocations fill their places with what corresponds."""
        if old is None or new is None:
            return old is new
        if old.kind != new.kind:
            return False
        if old.symbol is not None or new.symbol is not None:
            return (
                old.symbol is not None
                and new.symbol is not None
                and (old.symbol.name, old.symbol.version, old.addend)
                == (new.symbol.name, new.symbol.version, new.addend)
            )
        if not old.kind.endswith("RELATIVE"):
            return old.addend == new.addend
        return self.same_place(
            self.matching.old.place(old.addend), self.matching.new.place(new.addend)
        )

    def _same_relative(self, old: InSlot, new: InSlot) -> bool:
        if old.kind != new.kind or not old.kind.endswith("RELATIVE"):
            return old == new
        return self.same_place(
            self.matching.old.place(old.addend), self.matching.new.place(new.addend)
        )


def _show(reference: UnitReference | None) -> str:
    return "none" if reference is None else f"{reference.va:#x} -> {reference.place}"
