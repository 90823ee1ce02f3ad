"""A change set to the part of a hotpatch that patches one image.

The payload keeps the fixed build's relative layout (``offset = va - base``), so what carried code
says about carried code is right as it stands; only references that leave become fixups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from hotmend.binary.frames import eh_frame
from hotmend.diff.changeset import ChangeSet, Replacement
from hotmend.diff.resolve import Constants, Slot, ToOld
from hotmend.diff.short_entry import short_entry
from hotmend.diff.unit import Unit
from hotmend.hotpatch.hotpatch import (
    PAGE,
    Fixup,
    Function,
    Import,
    OldAddress,
    PatchedImage,
    ShortEntry,
)

_SLOT_SIZE = 8
_STUB_SIZE = 6
_FRAMES_ALIGNED = 8


def patched_image(changes: ChangeSet) -> PatchedImage:
    """The image's part of the hotpatch. The change set carries at least one function."""
    return _Payload(changes).build()


class _Payload:
    def __init__(self, changes: ChangeSet) -> None:
        self._changes = changes
        self._old = changes.matching.old.image
        self._new = changes.matching.new.image
        self._pieces: dict[int, bytes] = {}
        self._fixups: dict[int, Fixup] = {}

    def build(self) -> PatchedImage:
        changes = self._changes
        for unit in (*(r.new for r in changes.replacements), *changes.added):
            for start, size in unit.parts:
                self._pieces[start] = self._new.read(start, size)
        for resolved in changes.resolutions.values():
            for reference, resolution in resolved:
                match resolution:
                    case ToOld(va):
                        # The displacement counts from the next instruction, the fixup from the
                        # field itself.
                        addend = reference.va - reference.end
                        self._fixups[reference.va] = Fixup(
                            reference.va, "pcrel32", OldAddress(va), addend
                        )
                    case Constants(start, end):
                        data = self._new.read(start, end - start)
                        self._pieces[start] = max(self._pieces.get(start, b""), data, key=len)
                    case Slot():
                        self._slot(resolution)
        base = min(self._pieces) // PAGE * PAGE
        frames = self._frames()
        chunks = _merged(self._pieces)
        end = chunks[-1][0] + len(chunks[-1][1])
        return PatchedImage(
            name=self._new.name,
            old_build_id=self._old.build_id,
            new_build_id=self._new.build_id,
            span=-(-(end - base) // PAGE) * PAGE,
            chunks=tuple((va - base, data) for va, data in chunks),
            fixups=tuple(
                Fixup(va - base, f.kind, f.target, f.addend)
                for va, f in sorted(self._fixups.items())
            ),
            functions=tuple(
                function for r in changes.replacements for function in self._functions(r, base)
            ),
            near=(0, self._old.end),
            frames=(frames[0] - base, frames[1]),
            independent=changes.independent,
            dependence=changes.dependence,
        )

    def _frames(self) -> tuple[int, int]:
        """An .eh_frame for the carried code, behind everything else: (va, size)."""
        units = (*(r.new for r in self._changes.replacements), *self._changes.added)
        starts = sorted(start for unit in units for start, _ in unit.parts)
        known = [self._new.frames[start] for start in starts if start in self._new.frames]
        last = max(self._pieces)
        va = -(-(last + len(self._pieces[last])) // _FRAMES_ALIGNED) * _FRAMES_ALIGNED
        data = eh_frame(((frame.start, frame) for frame in known), va)
        self._pieces[va] = data
        return va, len(data)

    def _slot(self, slot: Slot) -> None:
        """A slot of our own for a new import, and the stub that jumps through it."""
        symbol = slot.symbol
        self._pieces[slot.va] = bytes(_SLOT_SIZE)
        self._fixups[slot.va] = Fixup(
            slot.va, "abs64", Import(symbol.name, symbol.version, symbol.library)
        )
        if slot.stub is not None:
            self._pieces[slot.stub] = self._new.read(slot.stub, _STUB_SIZE)

    def _functions(self, replacement: Replacement, base: int) -> Iterator[Function]:
        """One function for each entry with a detour; parts without one go with the first."""
        old, new = replacement.old, replacement.new
        extra = {va: to for va, to in replacement.detours.items() if _own_part(old, va)}
        own_ranges = [part for part in old.parts if part[0] not in extra]
        yield self._function(
            old.name,
            own_ranges,
            [(start - base, size) for start, size in new.parts],
            old.va if old.va in replacement.detours else None,
            new.va - base,
        )
        for va, to in extra.items():
            part = next(part for part in old.parts if part[0] == va)
            target = next(p for p in new.parts if p[0] <= to < p[0] + p[1])
            yield self._function(
                f"{old.name}@{va:#x}", [part], [(target[0] - base, target[1])], va, to - base
            )

    def _function(
        self,
        name: str,
        ranges: list[tuple[int, int]],
        payload_ranges: list[tuple[int, int]],
        entry: int | None,
        new_entry: int,
    ) -> Function:
        old_bytes = b"".join(self._old.read(start, size) for start, size in ranges)
        return Function(
            name=name,
            ranges=tuple(ranges),
            sha256=hashlib.sha256(old_bytes).hexdigest(),
            payload_ranges=tuple(payload_ranges),
            entry=entry,
            new_entry=new_entry,
            short=None if entry is None else self._short(entry),
        )

    def _short(self, entry: int) -> ShortEntry | None:
        found = short_entry(self._changes.matching.old, entry)
        return None if found is None else ShortEntry(*found)


def _own_part(unit: Unit, va: int) -> bool:
    return va != unit.va and any(start == va for start, _ in unit.parts)


def _merged(pieces: dict[int, bytes]) -> list[tuple[int, bytes]]:
    """Overlapping and touching pieces as one; ascending."""
    merged: list[tuple[int, bytearray]] = []
    for va, data in sorted(pieces.items()):
        if merged and va <= merged[-1][0] + len(merged[-1][1]):
            start, before = merged[-1]
            before += data[max(0, start + len(before) - va) :]
        else:
            merged.append((va, bytearray(data)))
    return [(va, bytes(data)) for va, data in merged]
