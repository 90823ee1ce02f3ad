"""Read-only bytes: what of them a reference means, and whether it says the same in both builds.

A stripped image does not say where one constant ends and the next begins. The width of an access
and the NUL of a string do. For an address of anything else the bytes up to the next address that
somebody refers to are compared, and then on, as long as what follows moved along with it, so that
a reference into the middle of a table does not hide a change behind it.
"""

from __future__ import annotations

from hotmend.diff.evidence import DataMap
from hotmend.diff.place import InTable
from hotmend.diff.program import Program

_REACH = 4096
_BEFORE = 256
_ALIGNMENT = 32
_STRING_MOST = 1 << 16


class Rodata:
    """Comparison of the read-only data of two programs, under a data map."""

    def __init__(self, old: Program, new: Program, data: DataMap) -> None:
        self._old, self._new, self._data = old, new, data
        self._tables = {
            reference.target
            for unit in new.units
            for reference in unit.references
            if isinstance(reference.place, InTable)
        }
        self._known: dict[tuple[int, int], bool] = {}

    def same(self, old: int, new: int, width: int) -> bool:
        """The reference to ``new`` reads what the one to ``old`` reads; ``width`` 0: its address
        is taken."""
        if width:
            return self._old.image.read(old, width) == self._new.image.read(new, width)
        if (old, new) not in self._known:
            self._known[old, new] = self._same_object(old, new)
        return self._known[old, new]

    def extent(self, va: int, width: int) -> tuple[int, int]:
        """(start, end) of the bytes of the new build that a reference to ``va`` may read."""
        section = self._new.image.section_at(va)
        assert section is not None
        if width:
            return va, min(va + width, section.end)
        text = string_at(self._new, va)
        if text is not None:
            return va, va + len(text) + 1
        end = self._new.boundary_after(va)
        return max(section.va, va - _BEFORE), min(section.end, max(end, va + _REACH))

    def _same_object(self, old: int, new: int) -> bool:
        text = string_at(self._new, new)
        if text is not None:
            return self._old.image.read(old, len(text) + 1) == text + b"\0"
        shift = new - old
        at = new
        while at - new < _REACH:
            end = self._new.boundary_after(at)
            if self._old.image.read(at - shift, end - at) != self._new.image.read(at, end - at):
                return False
            if end == at or self._another_object(end, shift):
                return True
            at = end
        return True

    def _another_object(self, new: int, shift: int) -> bool:
        """What begins at ``new`` is no part of what lies before it: a table of jumps, a string,
        something that moved otherwise, or an address on which compilers align large objects."""
        if new in self._tables or new % _ALIGNMENT == 0:
            return True
        old = self._data.old(new)
        return (old is not None and old != new - shift) or string_at(self._new, new) is not None


def string_at(program: Program, va: int) -> bytes | None:
    """The text at ``va`` when two or more characters of UTF-8 text and a NUL stand there."""
    text, nul, _ = program.image.read(va, _STRING_MOST).partition(b"\0")
    if len(text) < 2 or not nul:
        return None
    try:
        characters = text.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\t\n\r\x1b\f\v" for c in characters) else None
