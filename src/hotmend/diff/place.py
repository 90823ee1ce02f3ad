"""Where a reference leads, in terms that can be compared between two builds."""

from __future__ import annotations

from typing import NamedTuple


class InFunction(NamedTuple):
    """``offset`` bytes into unit number ``unit``; 0 is its entry."""

    unit: int
    offset: int


class ToImport(NamedTuple):
    """A PLT stub for ``symbol`` at ``version``."""

    symbol: str
    version: str


class InSlot(NamedTuple):
    """A GOT slot: the relocation that fills it. ``symbol`` and ``version`` are "" for a relative
    one, whose ``addend`` is an address in the image (or a TLS offset)."""

    kind: str
    symbol: str
    version: str
    addend: int


class InRodata(NamedTuple):
    """Read-only bytes that no relocation touches: compared by content."""

    va: int


class InTable(NamedTuple):
    """A switch table of the function itself: ``targets`` are offsets in its unit."""

    va: int
    targets: tuple[int, ...]


class InData(NamedTuple):
    """Writable data, or read-only data that relocations fill: compared by identity."""

    va: int


class Elsewhere(NamedTuple):
    """A linker's own structure: the ELF header, .dynamic, .init_array, an address in no section."""

    section: str
    offset: int


Place = InFunction | ToImport | InSlot | InRodata | InTable | InData | Elsewhere
