"""The hotpatches in a process as debuggers and profilers want them: names and unwind tables.

For gdb an ELF file with absolute addresses (``add-symbol-file FILE``); for perf the text file that
it looks for, /tmp/perf-PID.map: start and size in hexadecimal, and a name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from hotmend.hotpatch.hotpatch import PatchedImage
from hotmend.surgery.process import Process

_EHDR = struct.Struct("<4s5B7xHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SYM = struct.Struct("<IBBHQQ")
_PROGBITS, _SYMTAB, _STRTAB = 1, 2, 3
_ALLOC, _EXECUTE = 2, 4
_GLOBAL_FUNCTION = 0x12
_TEXT = 1


@dataclass(frozen=True)
class LivePayload:
    """One image's payload in a process: ``base`` is its address."""

    image: PatchedImage
    base: int


def functions(payloads: Iterable[LivePayload]) -> list[tuple[int, int, str]]:
    """(start, size, name) of every part of every replaced function, ascending."""
    return sorted(
        (payload.base + offset, size, f"{function.name}@hotpatch")
        for payload in payloads
        for function in payload.image.functions
        for offset, size in function.payload_ranges
    )


def perf_map(payloads: Iterable[LivePayload]) -> str:
    """The content of /tmp/perf-PID.map."""
    return "".join(f"{start:x} {size:x} {name}\n" for start, size, name in functions(payloads))


def symbol_file(process: Process, payload: LivePayload) -> bytes:
    """An ELF file for one payload, with the code that the process has there now."""
    code = process.read(payload.base, payload.image.span)
    at, size = payload.image.frames
    names = b"\0"
    symbols = _SYM.pack(0, 0, 0, 0, 0, 0)
    for start, length, name in functions([payload]):
        symbols += _SYM.pack(len(names), _GLOBAL_FUNCTION, 0, _TEXT, start, length)
        names += name.encode() + b"\0"
    sections = [
        (".text", _PROGBITS, _ALLOC | _EXECUTE, payload.base, code, 0),
        (".eh_frame", _PROGBITS, _ALLOC, payload.base + at, code[at : at + size], 0),
        (".symtab", _SYMTAB, 0, 0, symbols, 4),
        (".strtab", _STRTAB, 0, 0, names, 0),
    ]
    titles = b"\0"
    headers = _SHDR.pack(*[0] * 10)
    body = b""
    for title, kind, flags, address, data, link in sections:
        row = _SYM.size if kind == _SYMTAB else 0
        headers += _SHDR.pack(
            *(len(titles), kind, flags, address, _EHDR.size + len(body), len(data)),
            *(link, 1 if link else 0, 16, row),
        )
        titles += title.encode() + b"\0"
        body += data + bytes(-len(data) % 16)
    name_at = len(titles)
    titles += b".shstrtab\0"
    headers += _SHDR.pack(name_at, _STRTAB, 0, 0, _EHDR.size + len(body), len(titles), 0, 0, 1, 0)
    body += titles + bytes(-len(titles) % 16)
    return (
        _EHDR.pack(
            *(b"\x7fELF", 2, 1, 1, 0, 0, 2, 62, 1, 0, 0, _EHDR.size + len(body), 0),
            *(_EHDR.size, 0, 0, _SHDR.size, len(sections) + 2, len(sections) + 1),
        )
        + body
        + headers
    )
