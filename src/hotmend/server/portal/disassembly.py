"""The new code of a function as people read it. Pure.

A hotpatch has the new bytes only. What depends on where things are mapped is not filled in yet: the
file says what goes there, and so does the line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iced_x86 import Decoder, Formatter, FormatterSyntax, Instruction, OpKind

from hotmend.hotpatch.hotpatch import Fixup, Function, Import, PatchedImage

_BITS = 64
_NEAR = (OpKind.NEAR_BRANCH16, OpKind.NEAR_BRANCH32, OpKind.NEAR_BRANCH64)


@dataclass(frozen=True)
class Line:
    """``offset``: from the start of the payload; ``refers``: to what, "" for nothing outside."""

    offset: int
    bytes: str
    text: str
    refers: str


def lines(image: PatchedImage, function: Function, most: int) -> list[Line]:
    """At most ``most`` instructions, the parts of the function one after the other."""
    fixups = {fixup.offset: fixup for fixup in image.fixups}
    names = {other.new_entry: other.name for other in image.functions}
    formatter = Formatter(FormatterSyntax.INTEL)
    formatter.hex_prefix, formatter.hex_suffix = "0x", ""
    formatter.branch_leading_zeros = False
    found: list[Line] = []
    for offset, size in function.payload_ranges:
        code = _bytes(image, offset, size)
        for one in Decoder(_BITS, code, ip=offset):
            if len(found) >= most:
                return found
            at = one.ip - offset
            written = code[at : at + one.len].hex(" ")
            refers = _refers(one, fixups, names)
            found.append(Line(one.ip, written, formatter.format(one), refers))
    return found


def _refers(one: Instruction, fixups: dict[int, Fixup], names: dict[int, str]) -> str:
    for at in range(one.ip, one.ip + one.len):
        if at in fixups:
            target = fixups[at].target
            if isinstance(target, Import):
                return target.symbol
            # A displacement counts from the end of its instruction, and the addend says how far
            # the end is from the place that is filled in.
            place = fixups[at].kind == "pcrel32"
            away = fixups[at].addend + (one.ip + one.len - at if place else 0)
            return f"old {target.va + away:#x}"
    if one.op_count and one.op0_kind in _NEAR:
        return names.get(one.near_branch_target, "")
    return ""


def _bytes(image: PatchedImage, offset: int, size: int) -> bytes:
    return b"".join(_overlaps(image, offset, offset + size))


def _overlaps(image: PatchedImage, start: int, end: int) -> Iterator[bytes]:
    for offset, chunk in image.chunks:
        if offset < end and offset + len(chunk) > start:
            yield chunk[max(start - offset, 0) : end - offset]
