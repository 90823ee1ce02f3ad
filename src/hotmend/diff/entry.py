"""Who reaches an old function, and whether a detour fits at its entry."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from hotmend.binary.x86_64 import Use
from hotmend.diff.place import InFunction
from hotmend.diff.program import Program
from hotmend.diff.unit import Unit
from hotmend.model.refusal import Refusal, RefusalCode

DETOUR_SIZE = 5
_PAGE = 4096


class Entries:
    """Ways into the functions of one program."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def reached(self, unit: Unit, replaced: set[int]) -> Iterator[int]:
        """The entries of ``unit`` that something outside the ``replaced`` units may reach: an
        export, a pointer in data, an address taken anywhere, a call or jump from a unit that
        stays."""
        starts = {start for start, _ in unit.parts}
        for va in sorted(set(unit.entries) | starts):
            callers = self._callers.get(va, set()) - replaced - {unit.index}
            if va in self._always or callers:
                yield va

    def pointed_at(self, unit: Unit) -> bool:
        """Its entry is exported or stored in data."""
        return unit.va in self._stored

    def callers(self, unit: Unit) -> set[int]:
        """Numbers of the other units that refer to its entry."""
        return self._callers.get(unit.va, set()) | self._takers.get(unit.va, set()) - {unit.index}

    def refusal(self, unit: Unit, va: int, others: set[int]) -> Refusal | None:
        """Why no detour can be written at ``va``. ``others``: entries that get detours too."""
        program = self._program
        inside = range(va + 1, va + DETOUR_SIZE)
        start, size = next(part for part in unit.parts if part[0] <= va < part[0] + part[1])
        room = program.room_after(start, size) - va
        shown = (("old bytes", program.image.read(va, 8).hex()), ("old address", f"{va:#x}"))
        if room < DETOUR_SIZE:
            return Refusal(
                RefusalCode.ENTRY_TOO_SHORT,
                f"{unit.name} has {room} bytes at its entry; a detour needs {DETOUR_SIZE}",
                unit.name,
                shown,
            )
        branches = {t for scanned in unit.scans for t in scanned.inner}
        branches |= {t for t in program.entered if va < t < va + DETOUR_SIZE}
        if any(target in branches or target in others for target in inside):
            return Refusal(
                RefusalCode.BRANCH_INTO_ENTRY,
                f"{unit.name} is branched to inside the {DETOUR_SIZE} bytes of its detour",
                unit.name,
                shown,
            )
        if va // _PAGE != (va + DETOUR_SIZE - 1) // _PAGE:
            return Refusal(
                RefusalCode.ENTRY_TOO_SHORT,
                f"{unit.name}'s entry crosses a page; it cannot be replaced in one write",
                unit.name,
                shown,
            )
        return None

    @cached_property
    def _stored(self) -> set[int]:
        image = self._program.image
        found = {r.addend for r in image.relocations.values() if r.symbol is None}
        found |= {s.va for s in image.symbols if s.defined and s.kind in ("func", "ifunc")}
        return found | {image.entry}

    @cached_property
    def _always(self) -> set[int]:
        return self._stored | self._takers.keys()

    @cached_property
    def _takers(self) -> dict[int, set[int]]:
        return self._by_target(Use.ADDRESS, Use.ACCESS)

    @cached_property
    def _callers(self) -> dict[int, set[int]]:
        return self._by_target(Use.CALL, Use.JUMP)

    def _by_target(self, *uses: Use) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for unit in self._program.units:
            for reference in unit.references:
                if reference.use in uses and isinstance(reference.place, InFunction):
                    found.setdefault(reference.target, set()).add(unit.index)
        return found
