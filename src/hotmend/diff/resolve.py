"""Where a reference of carried code must lead once it runs beside the old image.

Code and constants that the hotpatch carries are reached as in the new build. Everything else must
be the old build's: its functions, its PLT stubs and GOT slots, its data. A reference without an
old counterpart that evidence supports is a refusal, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from hotmend.binary.image import Relocation, Symbol
from hotmend.binary.x86_64 import Use
from hotmend.diff.identical import Comparison
from hotmend.diff.place import (
    Elsewhere,
    InData,
    InFunction,
    InRodata,
    InSlot,
    InTable,
    ToImport,
)
from hotmend.diff.rodata import string_at
from hotmend.diff.unit import Unit, UnitReference
from hotmend.model.refusal import Refusal, RefusalCode


@dataclass(frozen=True)
class Inside:
    """Stays as it is: it leads to carried code."""


@dataclass(frozen=True)
class ToOld:
    """Leads to ``va`` of the old image."""

    va: int


@dataclass(frozen=True)
class Constants:
    """Stays as it is, and the new build's bytes from ``start`` to ``end`` are carried with it."""

    start: int
    end: int


@dataclass(frozen=True)
class Slot:
    """Leads to a slot of the payload's own at ``va``, filled with ``symbol``'s address;
    ``stub``: va of a PLT stub to carry as well."""

    va: int
    symbol: Symbol
    stub: int | None = None


Resolution = Inside | ToOld | Constants | Slot


class Standing(Enum):
    """What is to become of a new unit."""

    SAME = "same"  # the old build's is as good
    CARRIED = "carried"
    REFUSED = "refused"


class Resolver:
    """``standing``: of a new unit number; ``anchored``: the old function may stand in for a
    refused one, its interface is proved."""

    def __init__(
        self,
        comparison: Comparison,
        standing: Callable[[int], Standing],
        anchored: Callable[[int], bool],
    ) -> None:
        self._comparison = comparison
        self._matching = comparison.matching
        self._standing = standing
        self._anchored = anchored

    def resolve(self, unit: Unit, reference: UnitReference) -> Resolution | Refusal:
        """The way of one reference of a carried unit, or why it has none."""
        found = self._resolve(unit, reference)
        if reference.size == 1 and not isinstance(found, Inside | Refusal):
            return self._refuse(
                RefusalCode.UNMAPPED_REFERENCE,
                unit,
                reference,
                "a one-byte jump leaves the function for code that is not carried",
            )
        return found

    def _resolve(self, unit: Unit, reference: UnitReference) -> Resolution | Refusal:
        match reference.place:
            case InFunction(target, offset):
                return self._function(unit, reference, target, offset)
            case InTable(va, targets):
                return Constants(va, va + 4 * len(targets))
            case InRodata(va):
                return self._rodata(unit, reference, va)
            case InData(va):
                return self._data(unit, reference, va)
            case ToImport() as wanted:
                return self._stub(reference, wanted)
            case InSlot() as slot:
                return self._slot(unit, reference, slot)
            case Elsewhere(section, offset):
                return self._elsewhere(unit, reference, section, offset)

    def _function(
        self, unit: Unit, reference: UnitReference, target: int, offset: int
    ) -> Resolution | Refusal:
        standing = self._standing(target)
        old = self._matching.to_old.get(target)
        if target == unit.index:
            return Inside()
        if standing is Standing.CARRIED:
            if reference.use is Use.ADDRESS and old is not None and offset == 0:
                return ToOld(self._matching.old.units[old].va)
            return Inside()
        if old is not None and standing is Standing.SAME:
            return ToOld(_va_at(self._matching.old.units[old], offset))
        name = self._matching.new.units[target].name
        if old is not None and offset == 0 and self._anchored(target):
            return ToOld(self._matching.old.units[old].va)
        return self._refuse(
            RefusalCode.DEPENDS_ON_REFUSED, unit, reference, f"it needs the new {name}, not carried"
        )

    def _rodata(self, unit: Unit, reference: UnitReference, va: int) -> Resolution | Refusal:
        rodata, data = self._comparison.rodata, self._matching.data
        old = data.old(va)
        same = old is not None and rodata.same(old, va, reference.width)
        exported = old is not None and data.votes(va)[old].settled
        closed = reference.width or string_at(self._matching.new, va) is not None
        if old is not None and same and (closed or exported):
            return ToOld(old)
        if exported:
            return self._refuse(
                RefusalCode.STATIC_TABLE_CHANGED,
                unit,
                reference,
                "it reads an exported constant that others keep reading in its old version",
            )
        return Constants(*rodata.extent(va, reference.width))

    def _data(self, unit: Unit, reference: UnitReference, va: int) -> Resolution | Refusal:
        old = self._matching.data.proved(va, other_than=unit.index)
        if old is not None:
            return ToOld(old)
        votes = self._matching.data.votes(va)
        if not votes:
            return self._refuse(
                RefusalCode.NEW_INITIALISED_DATA,
                unit,
                reference,
                "it uses static data that the old build does not have",
            )
        shown = ", ".join(
            f"{candidate:#x}: {len(v.strong)} strong, {len(v.weak)} weak"
            for candidate, v in sorted(votes.items())
        )
        return self._refuse(
            RefusalCode.CONFLICTING_EVIDENCE,
            unit,
            reference,
            f"nothing independent says which old object its data is ({shown})",
        )

    def _stub(self, reference: UnitReference, wanted: ToImport) -> Resolution | Refusal:
        old = self._old_stubs.get(wanted)
        if old is not None:
            return ToOld(old)
        image = self._matching.new.image
        slot = image.stubs[reference.target]
        symbol = image.relocations[slot].symbol
        assert symbol is not None
        return Slot(slot, symbol, stub=reference.target)

    def _slot(self, unit: Unit, reference: UnitReference, slot: InSlot) -> Resolution | Refusal:
        """GOT slots; stubs of IFUNC slots inside the image come here too."""
        for va, candidate in self._old_slots:
            if self._comparison.same_place(candidate, slot):
                stub = self._old_stub_of_slot.get(va)
                through_stub = reference.target in self._matching.new.image.stubs
                if through_stub and stub is None:
                    continue
                return ToOld(stub if through_stub and stub is not None else va)
        image = self._matching.new.image
        relocation = image.relocations.get(reference.target)
        if slot.symbol and slot.kind in ("GLOB_DAT", "64") and relocation is not None:
            assert relocation.symbol is not None
            return Slot(reference.target, relocation.symbol)
        code = RefusalCode.NEW_TLS if "TP" in slot.kind else RefusalCode.UNMAPPED_REFERENCE
        return self._refuse(code, unit, reference, "the old image has no such slot")

    def _elsewhere(
        self, unit: Unit, reference: UnitReference, section: str, offset: int
    ) -> Resolution | Refusal:
        image = self._matching.old.image
        ends = section.startswith("end of ")
        old = image.named(section.removeprefix("end of "))
        if old is None:
            return self._refuse(
                RefusalCode.UNMAPPED_REFERENCE, unit, reference, "it leads into no known section"
            )
        return ToOld((old.end if ends else old.va) + offset)

    @cached_property
    def _old_stubs(self) -> dict[ToImport, int]:
        program = self._matching.old
        found: dict[ToImport, int] = {}
        for stub in program.image.stubs:
            place = program.place(stub)
            if isinstance(place, ToImport):
                found.setdefault(place, stub)
        return found

    @cached_property
    def _old_slots(self) -> list[tuple[int, InSlot]]:
        program = self._matching.old
        return [
            (va, _slot_of(relocation))
            for va, relocation in sorted(program.image.relocations.items())
            if (section := program.image.section_at(va)) and section.name.startswith(".got")
        ]

    @cached_property
    def _old_stub_of_slot(self) -> dict[int, int]:
        return {slot: stub for stub, slot in self._matching.old.image.stubs.items()}

    @staticmethod
    def _refuse(code: RefusalCode, unit: Unit, reference: UnitReference, why: str) -> Refusal:
        return Refusal(
            code,
            f"{unit.name}: {why}",
            unit.name,
            (("new address", f"{reference.va:#x}"), ("refers to", f"{reference.target:#x}")),
        )


def _slot_of(relocation: Relocation) -> InSlot:
    symbol = relocation.symbol
    return InSlot(
        relocation.kind,
        symbol.name if symbol is not None else "",
        symbol.version if symbol is not None else "",
        relocation.addend,
    )


def _va_at(unit: Unit, offset: int) -> int:
    """The address ``offset`` bytes into a unit, counted through its parts."""
    for start, size in unit.parts:
        if offset < size:
            return start + offset
        offset -= size
    return unit.va + offset
