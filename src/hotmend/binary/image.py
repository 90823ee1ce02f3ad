"""An image: one ELF file, parsed once. Addresses are link-time virtual addresses ("va")."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from hotmend.binary.frames import Frame
from hotmend.model.build_id import BuildId


@dataclass(frozen=True)
class Section:
    """``data`` is empty for .bss-like sections, which read as zeros."""

    name: str
    va: int
    size: int
    data: bytes
    executable: bool
    writable: bool

    @property
    def end(self) -> int:
        return self.va + self.size

    @property
    def zero(self) -> bool:
        """It has no bytes in the file."""
        return not self.data


@dataclass(frozen=True)
class Symbol:
    """A dynamic symbol. ``version`` is "" where there is none; ``library`` is the soname that the
    version table names for an undefined symbol. ``kind``: func, ifunc, object, tls or other."""

    name: str
    version: str
    library: str
    kind: str
    va: int
    size: int
    defined: bool


@dataclass(frozen=True)
class Relocation:
    """A dynamic relocation. ``kind`` is its psABI name without R_X86_64_; ``symbol`` is None for
    RELATIVE and IRELATIVE, whose ``addend`` is an address in this image."""

    va: int
    kind: str
    symbol: Symbol | None
    addend: int


@dataclass(frozen=True)
class Image:
    """``ranges``: (start, size) of every function range that .eh_frame describes, ascending,
    within executable sections other than PLTs; ``frames``: how to unwind each, by its start.
    ``stubs``: va of a PLT stub -> va of its slot."""

    name: str
    build_id: BuildId
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocations: Mapping[int, Relocation]
    ranges: tuple[tuple[int, int], ...]
    frames: Mapping[int, Frame]
    stubs: Mapping[int, int]
    needed: tuple[str, ...]
    constructors: tuple[int, ...]
    tls_size: int
    entry: int
    end: int

    def section_at(self, va: int) -> Section | None:
        at = bisect_right(self._starts, va) - 1
        if at >= 0 and va < self.sections[at].end:
            return self.sections[at]
        return None

    def read(self, va: int, size: int) -> bytes:
        """``size`` bytes at ``va``, fewer where the section ends; zeros for .bss."""
        section = self.section_at(va)
        if section is None:
            return b""
        size = min(size, section.end - va)
        if section.zero:
            return bytes(size)
        return section.data[va - section.va : va - section.va + size]

    def named(self, name: str) -> Section | None:
        return next((section for section in self.sections if section.name == name), None)

    @cached_property
    def _starts(self) -> list[int]:
        return [section.va for section in self.sections]

    @cached_property
    def relocated(self) -> list[int]:
        """The places that a dynamic relocation writes, ascending."""
        return sorted(self.relocations)
