"""Modules: images as a process has them mapped, identified by build-id.

Everything is read from the process's memory, never from a path: files are deleted and replaced,
containers have their own. Every byte of it is hostile, so each count and size is bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hotmend.model.build_id import BuildId
from hotmend.surgery.errors import ProcessError
from hotmend.surgery.process import PAGE, Mapping

Read = Callable[[int, int], bytes]

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR = struct.Struct("<IIQQQQQQ")
_PT_LOAD, _PT_DYNAMIC, _PT_NOTE, _PT_GNU_EH_FRAME = 1, 2, 4, 0x6474E550
_MOST_HEADERS = 64
_MOST_NOTES = 4096
_NT_GNU_BUILD_ID = 3
_VDSO = "[vdso]"


@dataclass(frozen=True)
class Module:
    """``bias``: what to add to a link-time address. ``start``, ``end``: of all its segments.
    ``eh_frame_hdr``, ``dynamic``: (absolute address, size), (0, 0) where there is none.
    ``deleted``: the file under ``path`` is gone or replaced."""

    path: str
    bias: int
    start: int
    end: int
    build_id: BuildId | None
    eh_frame_hdr: tuple[int, int]
    dynamic: tuple[int, int]
    device: str
    inode: int

    @property
    def name(self) -> str:
        return self.path.removesuffix(" (deleted)").rpartition("/")[2]

    @property
    def deleted(self) -> bool:
        return self.path.endswith(" (deleted)")


@dataclass(frozen=True)
class FrameTable:
    """One module's .eh_frame_hdr at absolute address ``header``, of ``size`` bytes, for code
    between ``start`` and ``end``."""

    start: int
    end: int
    header: int
    size: int


def find_modules(maps: Iterable[Mapping], read: Read) -> list[Module]:
    """The modules of a process, by start address."""
    found = []
    for mapping in maps:
        begins = mapping.offset == 0 and (mapping.inode or mapping.path == _VDSO)
        if not begins or "r" not in mapping.permissions:
            continue
        module = _module(mapping, read)
        if module is not None:
            found.append(module)
    return found


def _module(mapping: Mapping, read: Read) -> Module | None:
    try:
        read = _beginning_with(mapping, read)
        header = _EHDR.unpack(read(mapping.start, _EHDR.size))
        ident, machine, phoff, phentsize, phnum = header[0], header[2], *_program_header_of(header)
        if ident[:4] != b"\x7fELF" or ident[4] != 2 or machine != 62:
            return None
        if phentsize != _PHDR.size or not 0 < phnum <= _MOST_HEADERS or phoff > 1 << 20:
            return None
        table = read(mapping.start + phoff, phnum * _PHDR.size)
        headers = list(_PHDR.iter_unpack(table))
        loads = [h for h in headers if h[0] == _PT_LOAD]
        if not loads or loads[0][2] != 0:
            return None
        bias = mapping.start - loads[0][3]
        end = bias + max(h[3] + h[6] for h in loads)
        notes = [(bias + h[3], h[6]) for h in headers if h[0] == _PT_NOTE]
        build_id = next((b for note in notes for b in _build_ids(note, read)), None)
        if not mapping.start < end < 1 << 47:
            return None
    except (ProcessError, struct.error):
        return None
    return Module(
        path=mapping.path,
        bias=bias,
        start=mapping.start,
        end=end,
        build_id=build_id,
        eh_frame_hdr=_segment(headers, _PT_GNU_EH_FRAME, bias),
        dynamic=_segment(headers, _PT_DYNAMIC, bias),
        device=mapping.device,
        inode=mapping.inode,
    )


def _beginning_with(mapping: Mapping, read: Read) -> Read:
    """The same, but the first page, where nearly everything is, is read once."""
    head = read(mapping.start, min(PAGE, mapping.end - mapping.start))

    def reading(address: int, size: int) -> bytes:
        at = address - mapping.start
        return head[at : at + size] if 0 <= at <= len(head) - size else read(address, size)

    return reading


def _program_header_of(header: tuple[int, ...]) -> tuple[int, int, int]:
    return header[5], header[9], header[10]


def _segment(headers: list[tuple[int, ...]], kind: int, bias: int) -> tuple[int, int]:
    for header in headers:
        if header[0] == kind:
            return bias + header[3], header[6]
    return 0, 0


def _build_ids(note: tuple[int, int], read: Read) -> Iterator[BuildId]:
    address, size = note
    data = read(address, min(size, _MOST_NOTES))
    at = 0
    while at + 12 <= len(data):
        name_size, value_size, kind = struct.unpack_from("<III", data, at)
        name_at = at + 12
        value_at = name_at + (name_size + 3 & ~3)
        at = value_at + (value_size + 3 & ~3)
        if name_size > _MOST_NOTES or value_size > _MOST_NOTES or at > len(data):
            return
        if kind == _NT_GNU_BUILD_ID and data[name_at : name_at + 4] == b"GNU\0":
            if 8 <= value_size <= 64:
                yield BuildId.from_bytes(data[value_at : value_at + value_size])
            return
