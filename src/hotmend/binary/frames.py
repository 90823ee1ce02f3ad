"""Unwind tables: what .eh_frame says of each range of code, and a new .eh_frame for moved code.

The format is the LSB's (Linux Standard Base core, 10.6), on top of DWARF's call frame information.
pyelftools reads the entries; the instructions in them are carried as they are.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from elftools.common.exceptions import ELFError
from elftools.dwarf.callframe import CIE, FDE
from elftools.elf.elffile import ELFFile

from hotmend.binary.errors import BinaryError

_PCREL_SDATA4 = 0x1B
_NOP = 0


@dataclass(frozen=True)
class Rules:
    """What frames share: a CIE. ``code``, ``data``: alignment factors; ``column``: of the return
    address; ``program``: the initial instructions; ``signal``: frames of signal handlers."""

    code: int
    data: int
    column: int
    program: bytes
    signal: bool


@dataclass(frozen=True)
class Frame:
    """``program``: the instructions for the code from ``start``, ``size`` bytes. ``catches``: it
    has a table of its own for exceptions (an LSDA), or one that cannot be moved."""

    start: int
    size: int
    rules: Rules
    program: bytes
    catches: bool


def read_frames(data: bytes, name: str) -> Iterator[Frame]:
    """Every range that the file's .eh_frame describes. Raises BinaryError."""
    try:
        file = ELFFile(io.BytesIO(data))
        section = file.get_section_by_name(".eh_frame")
        content = section.data() if section is not None else b""
        dwarf = file.get_dwarf_info()
        entries = dwarf.EH_CFI_entries() if dwarf.has_EH_CFI() else []
        for entry in entries:
            if isinstance(entry, FDE):
                yield _frame(content, entry)
    except (ELFError, AssertionError, KeyError, ValueError, IndexError, struct.error) as error:
        raise BinaryError(f"{name}: its .eh_frame cannot be read ({error})") from None


def eh_frame(frames: Iterable[tuple[int, Frame]], start: int) -> bytes:
    """An .eh_frame to stand at ``start``, for frames whose code stands at the address before
    each. It ends with a terminator."""
    out = bytearray()
    shared: dict[Rules, int] = {}
    for address, frame in frames:
        if frame.rules not in shared:
            shared[frame.rules] = len(out)
            out += _padded(_shared(frame.rules))
        at = len(out)
        location = address - (start + at + 8)
        back = at + 4 - shared[frame.rules]
        out += _padded(struct.pack("<IiIB", back, location, frame.size, 0) + frame.program)
    return bytes(out) + bytes(4)


def _frame(content: bytes, entry: FDE) -> Frame:
    if entry.cie is None:
        raise ValueError("a frame without what it shares with others")
    start, size = entry.header["initial_location"], entry.header["address_range"]
    rules = _rules(content, entry.cie)
    if entry.cie.augmentation_dict.get("FDE_encoding") != _PCREL_SDATA4:
        return Frame(start, size, rules, b"", catches=True)  # nothing that could be moved
    at = _after_augmentation(content, entry.offset + 16)
    program = content[at : entry.offset + 4 + entry.header["length"]]
    return Frame(start, size, rules, program, catches=bool(entry.lsda_pointer))


def _rules(content: bytes, entry: CIE) -> Rules:
    augmentation = entry.header["augmentation"]
    at = entry.offset + 9 + len(augmentation) + 1
    for _ in range(3):  # the two factors and the column
        at = _after_number(content, at)
    at = _after_augmentation(content, at)
    return Rules(
        code=entry.header["code_alignment_factor"],
        data=entry.header["data_alignment_factor"],
        column=entry.header["return_address_register"],
        program=content[at : entry.offset + 4 + entry.header["length"]],
        signal=b"S" in augmentation,
    )


def _after_augmentation(content: bytes, at: int) -> int:
    """Where the instructions begin: after the augmentation's length, one byte here, and data."""
    if content[at] & 0x80:
        raise ValueError("an augmentation of more than 127 bytes")
    return at + 1 + content[at]


def _after_number(content: bytes, at: int) -> int:
    while content[at] & 0x80:
        at += 1
    return at + 1


def _shared(rules: Rules) -> bytes:
    augmentation = b"zRS\0" if rules.signal else b"zR\0"
    head = struct.pack("<IB", 0, 1) + augmentation
    factors = bytes([rules.code, rules.data & 0x7F, rules.column])
    return head + factors + bytes([1, _PCREL_SDATA4]) + rules.program


def _padded(body: bytes) -> bytes:
    """An entry with its length in front, filled up to a multiple of eight bytes."""
    body += bytes([_NOP]) * (-(4 + len(body)) % 8)
    return struct.pack("<I", len(body)) + body
