"""A program: one image cut into units, every reference resolved to a place."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property

from hotmend.binary.image import Image, Relocation, Section
from hotmend.binary.x86_64 import Reference, Scan, Use, padding, scan
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
from hotmend.diff.unit import Unit, UnitReference

_LINKERS_OWN = (".dynamic", ".init_array", ".fini_array", ".eh_frame", ".eh_frame_hdr")
_MAX_TABLE = 4096
_ROUNDING = 64


class Program:
    """``units`` in address order of their entries' parts."""

    def __init__(self, image: Image) -> None:
        self.image = image
        covered = list(image.ranges)
        gaps = list(_gaps(image))
        self._starts, self._sizes = _columns(sorted(covered + gaps))
        uncovered = {start for start, _ in gaps}
        scans = {
            start: _scan_uncovered(image, start, size)
            if start in uncovered
            else scan(image.read(start, size), start)
            for start, size in zip(self._starts, self._sizes, strict=True)
        }
        self.entered = _entered(image, scans)
        addressed = {
            r.target
            for scanned in scans.values()
            for r in scanned.references
            if r.use is Use.ADDRESS
        }
        tables = {
            start: dict(self._switch_tables(start, scanned, addressed))
            for start, scanned in scans.items()
            if scanned.indirect
        }
        self.units: list[Unit] = []
        self._unit_of_part: dict[int, int] = {}
        for parts in self._group(scans, tables):
            self._add(parts, scans, uncovered)
        for unit in self.units:
            unit.references = tuple(self._resolve(unit, tables))

    def unit_at(self, va: int) -> Unit | None:
        """The unit that holds ``va`` in one of its parts."""
        start = self._part_at(va)
        return None if start is None else self.units[self._unit_of_part[start]]

    def room_after(self, start: int, size: int) -> int:
        """Where the range at ``start`` ends, padding after it included."""
        at = bisect_right(self._starts, start)
        section = self.image.section_at(start)
        end = section.end if section is not None else start + size
        return min(self._starts[at], end) if at < len(self._starts) else end

    def part_before(self, va: int) -> tuple[int, int] | None:
        """(start, size) of the part that ends last before ``va``."""
        at = bisect_left(self._starts, va)
        return (self._starts[at - 1], self._sizes[at - 1]) if at else None

    def place(self, target: int) -> Place:
        """What lies at ``target``."""
        image = self.image
        slot = image.stubs.get(target)
        if slot is not None:
            relocation = image.relocations[slot]
            if relocation.symbol is not None:
                return ToImport(relocation.symbol.name, relocation.symbol.version)
            return _slot(relocation)
        unit = self.unit_at(target)
        if unit is not None:
            offset = unit.offset_of(target)
            assert offset is not None
            return InFunction(unit.index, offset)
        section = image.section_at(target)
        if section is None:
            return self._between_sections(target)
        if section.executable:
            return self._beside_unit(target)
        if section.name in _LINKERS_OWN:
            return Elsewhere(section.name, target - section.va)
        relocation_here = image.relocations.get(target)
        if relocation_here is not None and section.name.startswith(".got"):
            return _slot(relocation_here)
        if section.writable:
            return InData(target)
        return InRodata(target)

    def _beside_unit(self, target: int) -> Place:
        """Padding before a unit: assembly's tables may begin with zeros, and look like it."""
        at = min(bisect_right(self._starts, target), len(self._starts) - 1)
        unit = self.units[self._unit_of_part[self._starts[at]]]
        return InFunction(unit.index, target - self._starts[at])

    def _between_sections(self, target: int) -> Elsewhere:
        """The linker marks ends of sections, rounded up: such an address belongs to the section
        before it."""
        before = [s for s in self.image.sections if s.end <= target]
        if not before:
            return Elsewhere("", target)
        beyond = target - before[-1].end
        return Elsewhere(f"end of {before[-1].name}", beyond if beyond >= _ROUNDING else 0)

    def boundary_after(self, va: int) -> int:
        """The next address after ``va`` that anything refers to, or the end of its section."""
        at = bisect_right(self.boundaries, va)
        section = self.image.section_at(va)
        end = section.end if section is not None else va
        return min(self.boundaries[at], end) if at < len(self.boundaries) else end

    @cached_property
    def boundaries(self) -> list[int]:
        """Every address that code, a relocation or a symbol refers to, ascending."""
        found = {reference.target for unit in self.units for reference in unit.references}
        found |= {r.addend for r in self.image.relocations.values() if r.symbol is None}
        found |= {symbol.va for symbol in self.image.symbols if symbol.defined}
        return sorted(found)

    @cached_property
    def referrers(self) -> dict[int, list[Unit]]:
        """Data and rodata address -> units that refer to it."""
        found: dict[int, list[Unit]] = defaultdict(list)
        for unit in self.units:
            for reference in unit.references:
                if isinstance(reference.place, InData | InRodata):
                    found[reference.target].append(unit)
        return found

    def _part_at(self, va: int) -> int | None:
        at = bisect_right(self._starts, va) - 1
        if at >= 0 and va < self._starts[at] + self._sizes[at]:
            return self._starts[at]
        return None

    def _switch_tables(
        self, start: int, scanned: Scan, addressed: set[int]
    ) -> Iterator[tuple[int, tuple[int, ...]]]:
        """(table va, target addresses): rodata that a range with an indirect jump takes the
        address of, whose 32-bit entries, counted from the table, lead into the range itself or
        into parts that nothing else enters. The next addressed object ends a table."""
        bases = {r.target for r in scanned.references if r.use is Use.ADDRESS}
        for base in bases:
            section = self.image.section_at(base)
            if section is None or section.writable or section.executable:
                continue
            targets = []
            for at in range(base, base + 4 * _MAX_TABLE, 4):
                if at != base and at in addressed:
                    break
                entry = int.from_bytes(self.image.read(at, 4), "little", signed=True)
                part = self._part_at(base + entry) if -(1 << 30) < entry < 0 else None
                if part is None or (part != start and part in self.entered):
                    break
                targets.append(base + entry)
            if len(targets) > 1:
                yield base, tuple(targets)

    def _group(
        self, scans: dict[int, Scan], tables: dict[int, dict[int, tuple[int, ...]]]
    ) -> Iterator[list[int]]:
        """Parts that jump into one another's middle belong together."""
        leader = {start: start for start in self._starts}

        def find(start: int) -> int:
            while leader[start] != start:
                leader[start] = leader[leader[start]]
                start = leader[start]
            return start

        def join(start: int, target: int) -> None:
            other = self._part_at(target)
            if other is not None and other not in (start, target):
                leader[find(start)] = find(other)

        for start, scanned in scans.items():
            for reference in scanned.references:
                if reference.use is Use.JUMP:
                    join(start, reference.target)
            for targets in tables.get(start, {}).values():
                for target in targets:
                    join(start, target)
        groups: dict[int, list[int]] = defaultdict(list)
        for start in self._starts:
            groups[find(start)].append(start)
        yield from sorted(groups.values())

    def _add(self, parts: list[int], scans: dict[int, Scan], uncovered: set[int]) -> None:
        named = [start for start in parts if start in self._exports]
        entered = [start for start in parts if start in self.entered]
        main = (named or entered or parts)[-1]
        order = [main, *(start for start in parts if start != main)]
        index = len(self.units)
        ranges = tuple((start, self._size(start)) for start in order)
        entries = {
            va for start, size in ranges for va in self._entered_between(start, start + size)
        }
        self.units.append(
            Unit(
                index=index,
                parts=ranges,
                symbols=tuple(self._exports.get(main, ())),
                entries=tuple(sorted(entries | {main})),
                masked=b"".join(scans[start].masked for start in order),
                references=(),
                scans=tuple(scans[start] for start in order),
                uncovered=main in uncovered,
            )
        )
        for start in order:
            self._unit_of_part[start] = index

    def _size(self, start: int) -> int:
        return self._sizes[bisect_right(self._starts, start) - 1]

    def _entered_between(self, start: int, end: int) -> Iterable[int]:
        at = bisect_right(self._entered_sorted, start - 1)
        while at < len(self._entered_sorted) and self._entered_sorted[at] < end:
            yield self._entered_sorted[at]
            at += 1

    @cached_property
    def _entered_sorted(self) -> list[int]:
        return sorted(self.entered)

    @cached_property
    def _exports(self) -> dict[int, list[tuple[str, str]]]:
        found: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for symbol in self.image.symbols:
            if symbol.defined and symbol.kind in ("func", "ifunc"):
                found[symbol.va].append((symbol.name, symbol.version))
        return {va: sorted(names) for va, names in found.items()}

    def _resolve(
        self, unit: Unit, tables: dict[int, dict[int, tuple[int, ...]]]
    ) -> Iterator[UnitReference]:
        before = 0
        for (start, size), scanned in zip(unit.parts, unit.scans, strict=True):
            for reference in scanned.references:
                yield UnitReference(
                    offset=before + reference.at,
                    va=start + reference.at,
                    size=reference.size,
                    end=start + reference.end,
                    use=reference.use,
                    target=reference.target,
                    width=reference.width,
                    place=self._place_in(unit, start, reference, tables),
                )
            before += size

    def _place_in(
        self,
        unit: Unit,
        start: int,
        reference: Reference,
        tables: dict[int, dict[int, tuple[int, ...]]],
    ) -> Place:
        targets = tables.get(start, {}).get(reference.target)
        if targets is not None:
            offsets = [unit.offset_of(target) for target in targets]
            inside = tuple(offset for offset in offsets if offset is not None)
            if len(inside) == len(offsets):
                return InTable(reference.target, inside)
        return self.place(reference.target)


def _columns(ranges: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [start for start, _ in ranges], [size for _, size in ranges]


def _slot(relocation: Relocation) -> InSlot:
    if relocation.symbol is not None:
        symbol = relocation.symbol
        return InSlot(relocation.kind, symbol.name, symbol.version, relocation.addend)
    return InSlot(relocation.kind, "", "", relocation.addend)


def _gaps(image: Image) -> Iterator[tuple[int, int]]:
    """(start, size) of executable bytes outside PLTs that no function range covers."""
    for section in image.sections:
        if not section.executable or section.name.startswith(".plt"):
            continue
        at = section.va
        inside = [r for r in image.ranges if section.va <= r[0] < section.end]
        for start, size in [*inside, (section.end, 0)]:
            yield from _trimmed(section, at, start)
            at = start + size


def _trimmed(section: Section, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The gap without padding before and after; nothing when it is all padding."""
    data = section.data[start - section.va : end - section.va]
    before, after = padding(data)
    if before < len(data):
        yield start + before, len(data) - before - after


def _scan_uncovered(image: Image, start: int, size: int) -> Scan:
    """Uncovered bytes are code only where they read as such: assembly keeps tables in .text."""
    data = image.read(start, size)
    scanned = scan(data, start)
    sound = scanned.clean and all(0 <= r.target <= image.end for r in scanned.references)
    return scanned if sound else Scan(data, (), frozenset(), False, True, False)


def _entered(image: Image, scans: dict[int, Scan]) -> set[int]:
    """Addresses that a call, an address, a symbol or a relocation leads to."""
    found = {image.entry}
    for scanned in scans.values():
        found |= {r.target for r in scanned.references if r.use in (Use.CALL, Use.ADDRESS)}
    found |= {r.addend for r in image.relocations.values() if r.symbol is None}
    found |= {
        symbol.va for symbol in image.symbols if symbol.defined and symbol.kind in ("func", "ifunc")
    }
    return found
