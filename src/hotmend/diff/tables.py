"""Static data whose initial content or size differs: a running process keeps the old one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hotmend.diff.identical import Comparison
from hotmend.diff.program import Program

_ALIGNMENT = 32
_SHOWN = 16


@dataclass(frozen=True)
class TableChange:
    """A mapped object whose content differs at ``offset``, or that has ``new_size`` bytes where
    the old one has room for ``old_size`` (``offset`` None). ``before``, ``after``: what differs,
    as text; ``readers``: new unit numbers that refer to it."""

    old_va: int
    new_va: int
    old_size: int
    new_size: int
    offset: int | None
    before: str
    after: str
    readers: frozenset[int]


def changed_tables(comparison: Comparison) -> Iterator[TableChange]:
    """Every mapped writable or relocated object that is not the same in both builds."""
    matching = comparison.matching
    for new_va, old_va in sorted(matching.data.pairs().items()):
        section = matching.new.image.section_at(new_va)
        if section is None or not section.writable or section.name.startswith(".got"):
            continue
        old_size, new_size = _room(comparison, old_va, new_va)
        readers = frozenset(u.index for u in matching.new.referrers.get(new_va, []))
        difference = _difference(comparison, old_va, new_va, min(old_size, new_size))
        if difference is not None:
            yield TableChange(old_va, new_va, old_size, new_size, *difference, readers)
        elif new_size - old_size >= _ALIGNMENT:
            yield TableChange(
                old_va, new_va, old_size, new_size, None, str(old_size), str(new_size), readers
            )


def _room(comparison: Comparison, old_va: int, new_va: int) -> tuple[int, int]:
    """Bytes up to what follows: in the new build the next address referred to, in the old build
    the counterpart of the next new address that has one (an address that only the new build
    refers to inside the object does not make the old one smaller)."""
    new = comparison.matching.new
    new_size = new.boundary_after(new_va) - new_va
    old_size = comparison.matching.old.boundary_after(old_va) - old_va
    if new_size <= old_size:
        return old_size, new_size
    following = comparison.matching.data.old(new_va + new_size)
    if following is not None and following > old_va:
        old_size = following - old_va
    return old_size, new_size


def _difference(
    comparison: Comparison, old_va: int, new_va: int, size: int
) -> tuple[int, str, str] | None:
    """(offset, before, after) of the first place that differs, relocated pointers by meaning."""
    old, new = comparison.matching.old, comparison.matching.new
    before, after = old.image.read(old_va, size), new.image.read(new_va, size)
    offset = 0
    while offset < size:
        first = old.image.relocations.get(old_va + offset)
        second = new.image.relocations.get(new_va + offset)
        if first is None and second is None:
            if before[offset] != after[offset]:
                return offset, before[offset:][:_SHOWN].hex(), after[offset:][:_SHOWN].hex()
            offset += 1
            continue
        if not comparison.same_relocation(first, second):
            return offset, _pointer(old, old_va + offset), _pointer(new, new_va + offset)
        offset += 8
    return None


def _pointer(program: Program, va: int) -> str:
    relocation = program.image.relocations.get(va)
    if relocation is None:
        return program.image.read(va, 8).hex()
    if relocation.symbol is not None:
        return f"&{relocation.symbol.name}+{relocation.addend}"
    unit = program.unit_at(relocation.addend)
    return f"&{unit.name}" if unit is not None else f"&{relocation.addend:#x}"
