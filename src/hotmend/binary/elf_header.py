"""The few facts of an ELF file that choosing and pairing images needs; pyelftools reads them.

No code, no symbols, no LIEF: this stays cheap enough to run over every file of a package.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import NoteSegment, Segment

from hotmend.binary.errors import BinaryError
from hotmend.model.build_id import BuildId

MAGIC = b"\x7fELF"
_MAX_HEADERS = 4096
_MAX_TAGS = 4096
_MACHINES = {
    "EM_X86_64": "amd64",
    "EM_386": "i386",
    "EM_AARCH64": "arm64",
    "EM_ARM": "arm",
    "EM_PPC64": "ppc64",
    "EM_RISCV": "riscv64",
    "EM_S390": "s390x",
    "EM_MIPS": "mips",
    "EM_LOONGARCH": "loong64",
}
# What pyelftools lets through on damaged input, seen by cutting and flipping real files.
_DAMAGE = (
    ELFError,
    ConstructError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    OSError,
)


class ElfKind(StrEnum):
    """What an ELF file is good for."""

    IMAGE = "image"
    OBJECT = "object file (.o)"
    CORE = "core dump"
    STATIC = "statically linked program"
    DEBUG = "separate debug file"


@dataclass(frozen=True)
class ElfHeader:
    """``machine`` in Debian's words (amd64, i386, x32 …). ``soname`` is "" where there is none."""

    machine: str
    kind: ElfKind
    soname: str
    build_id: BuildId | None


def read_header(data: bytes, name: str) -> ElfHeader:
    """The facts of one ELF file. Raises BinaryError: not an ELF file, truncated, damaged."""
    if not data.startswith(MAGIC):
        raise BinaryError(f"{name} is not an ELF file; give a .deb, an ELF file or a folder")
    try:
        elf = ELFFile(io.BytesIO(data))
        machine = _machine(elf)
        if machine != "amd64":
            return ElfHeader(machine, ElfKind.IMAGE, "", None)
        return _read_x86_64(elf, len(data), name)
    except _DAMAGE:
        if len(data) < 64 or _past_end(data):
            raise BinaryError(f"{name} is truncated; fetch it again") from None
        raise BinaryError(
            f"{name} is damaged: its ELF structure cannot be read; fetch it again"
        ) from None


def _read_x86_64(elf: ELFFile, size: int, name: str) -> ElfHeader:
    kind = {"ET_REL": ElfKind.OBJECT, "ET_CORE": ElfKind.CORE}.get(elf.header.e_type)
    if kind is not None:
        return ElfHeader("amd64", kind, "", None)
    if elf.header.e_type not in ("ET_DYN", "ET_EXEC"):
        raise ValueError(f"unknown type {elf.header.e_type}")
    if elf.num_segments() > _MAX_HEADERS or elf.num_sections() > _MAX_HEADERS:
        raise ValueError("too many headers")
    segments = list(elf.iter_segments())
    if not segments:
        raise ValueError("no program headers")
    loads = [segment for segment in segments if segment.header.p_type == "PT_LOAD"]
    if any(_is_code(load) and not load.header.p_filesz for load in loads) or _without_text(elf):
        return ElfHeader("amd64", ElfKind.DEBUG, "", _build_id(segments))
    if any(load.header.p_offset + load.header.p_filesz > size for load in loads):
        raise BinaryError(f"{name} is truncated: a segment lies past its end; fetch it again")
    dynamic = next((s for s in segments if isinstance(s, DynamicSegment)), None)
    if dynamic is None:
        return ElfHeader("amd64", ElfKind.STATIC, "", _build_id(segments))
    return ElfHeader("amd64", ElfKind.IMAGE, _soname(dynamic), _build_id(segments))


def _machine(elf: ELFFile) -> str:
    machine = str(elf.header.e_machine)
    if elf.elfclass == 32 and machine == "EM_X86_64":
        return "x32"
    return _MACHINES.get(machine, machine)


def _is_code(load: Segment) -> bool:
    return bool(load.header.p_flags & 1)


def _without_text(elf: ELFFile) -> bool:
    """``objcopy --only-keep-debug`` keeps the headers of .text, not its bytes."""
    text = elf.get_section_by_name(".text")
    return text is not None and text.header.sh_type == "SHT_NOBITS"


def _past_end(data: bytes) -> bool:
    """The section headers, which linkers write last, lie past the end."""
    if data[4] != 2:
        return False
    table, count = int.from_bytes(data[40:48], "little"), int.from_bytes(data[60:62], "little")
    return table + 64 * count > len(data)


def _soname(dynamic: DynamicSegment) -> str:
    for count, tag in enumerate(dynamic.iter_tags()):
        if count > _MAX_TAGS:
            raise ValueError("a dynamic table without end")
        if tag.entry.d_tag == "DT_SONAME":
            return str(vars(tag)["soname"])
    return ""


def _build_id(segments: list[Segment]) -> BuildId | None:
    notes = chain.from_iterable(s.iter_notes() for s in segments if isinstance(s, NoteSegment))
    for count, note in enumerate(notes):
        if count > _MAX_TAGS:
            raise ValueError("notes without end")
        if note["n_type"] == "NT_GNU_BUILD_ID" and note["n_name"] == "GNU":
            return BuildId(note["n_desc"])
    return None
