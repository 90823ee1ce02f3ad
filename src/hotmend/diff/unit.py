"""A unit: one function with all its parts, masked, its references resolved to places.

Hot and cold parts that jump into each other's middle are one unit. Executable bytes that no
.eh_frame entry covers (start-up code, tables that assembly keeps in .text) are units of their own,
marked ``uncovered``, so that no byte of code escapes comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

from hotmend.binary.x86_64 import Scan, Use
from hotmend.diff.place import Place


@dataclass(frozen=True, slots=True)
class UnitReference:
    """``offset``: of the field in the unit; ``va``: of the field; ``end``: va of the next
    instruction; the rest as in binary.x86_64.Reference."""

    offset: int
    va: int
    size: int
    end: int
    use: Use
    target: int
    width: int
    place: Place


@dataclass(eq=False, slots=True)
class Unit:
    """``parts``: (va, size), the part with the entry first, then by address. An offset in a unit
    counts through its parts in that order. ``symbols``: (name, version) of the exports at the
    entry. ``entries``: addresses at which somebody enters the unit from outside, ascending."""

    index: int
    parts: tuple[tuple[int, int], ...]
    symbols: tuple[tuple[str, str], ...]
    entries: tuple[int, ...]
    masked: bytes
    references: tuple[UnitReference, ...]
    scans: tuple[Scan, ...]
    uncovered: bool

    @property
    def va(self) -> int:
        return self.parts[0][0]

    @property
    def size(self) -> int:
        return sum(size for _, size in self.parts)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(size for _, size in self.parts)

    @property
    def name(self) -> str:
        return self.symbols[0][0] if self.symbols else f"fn@{self.va:#x}"

    def offset_of(self, va: int) -> int | None:
        before = 0
        for start, size in self.parts:
            if start <= va < start + size:
                return before + va - start
            before += size
        return None
