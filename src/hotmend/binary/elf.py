"""ELF files to images. LIEF parses the file, pyelftools its .eh_frame."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator

import lief

from hotmend.binary.errors import BinaryError
from hotmend.binary.frames import Frame, read_frames
from hotmend.binary.image import Image, Relocation, Section, Symbol
from hotmend.binary.x86_64 import slot_of_stub
from hotmend.model.build_id import BuildId

_KINDS = {
    lief.ELF.Symbol.TYPE.FUNC: "func",
    lief.ELF.Symbol.TYPE.GNU_IFUNC: "ifunc",
    lief.ELF.Symbol.TYPE.OBJECT: "object",
    lief.ELF.Symbol.TYPE.TLS: "tls",
}
# What a damaged file makes a parser of binary data trip over, ours or a library's.
_TRIPPED = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RecursionError),
    *(TypeError, ValueError, struct.error),
)
_PLT_NAMES = (".plt", ".plt.got", ".plt.sec")


def load(data: bytes, name: str) -> Image:
    """Parse one ELF file; ``name`` is used in messages and where the file has no soname.

    Raises BinaryError: not an ELF file, truncated, not x86-64, not position independent, without
    build-id or .eh_frame.
    """
    if data[:4] != b"\x7fELF":
        raise BinaryError(f"{name} is not an ELF file; give a .deb, an ELF file or a folder")
    if len(data) < 64 or data[4] != 2 or int.from_bytes(data[18:20], "little") != 62:
        raise BinaryError(f"{name} is not for x86-64; Hotmend patches 64-bit x86 images only")
    lief.logging.disable()
    parsed = lief.parse(io.BytesIO(data))
    if not isinstance(parsed, lief.ELF.Binary):
        raise BinaryError(f"{name} is damaged: its ELF structure cannot be read; fetch it again")
    for segment in parsed.segments:
        if segment.file_offset + segment.physical_size > len(data):
            raise BinaryError(f"{name} is truncated: a segment lies past its end; fetch it again")
    if parsed.header.file_type != lief.ELF.Header.FILE_TYPE.DYN:
        raise BinaryError(
            f"{name} is not position independent (not a shared library or PIE program); "
            "its code holds absolute addresses that Hotmend cannot move"
        )
    try:
        return _image(parsed, data, name)
    except _TRIPPED as error:
        raise BinaryError(f"{name} is damaged ({error}); fetch it again") from None


def _image(parsed: lief.ELF.Binary, data: bytes, name: str) -> Image:
    sections = tuple(_sections(parsed))
    libraries = {
        auxiliary.other: str(requirement.name)
        for requirement in parsed.symbols_version_requirement
        for auxiliary in requirement.get_auxiliary_symbols()
    }
    symbols = tuple(_symbol(symbol, libraries) for symbol in parsed.dynamic_symbols)
    relocations = {r.va: r for r in _relocations(parsed, libraries)}
    frames = _frames(data, sections, name)
    return Image(
        name=_soname(parsed) or name,
        build_id=_build_id(parsed, name),
        sections=sections,
        symbols=symbols,
        relocations=relocations,
        ranges=tuple(_ranges(frames, name)),
        frames=frames,
        stubs=dict(_stubs(parsed, relocations)),
        needed=tuple(str(library) for library in parsed.libraries),
        constructors=tuple(_constructors(sections, relocations)),
        tls_size=sum(
            s.virtual_size for s in parsed.segments if s.type == lief.ELF.Segment.TYPE.TLS
        ),
        entry=parsed.entrypoint,
        end=max(s.virtual_address + s.virtual_size for s in parsed.segments),
    )


def _sections(parsed: lief.ELF.Binary) -> Iterator[Section]:
    found = []
    for section in parsed.sections:
        flags = section.flags
        if not flags & lief.ELF.Section.FLAGS.ALLOC.value or not section.virtual_address:
            continue
        if flags & lief.ELF.Section.FLAGS.TLS.value:
            continue  # a template: no code refers to it by address
        zero = section.type == lief.ELF.Section.TYPE.NOBITS
        found.append(
            Section(
                name=str(section.name),
                va=section.virtual_address,
                size=section.size,
                data=b"" if zero else bytes(section.content),
                executable=bool(flags & lief.ELF.Section.FLAGS.EXECINSTR.value),
                writable=bool(flags & lief.ELF.Section.FLAGS.WRITE.value),
            )
        )
    yield from sorted(found, key=lambda s: s.va)


def _symbol(symbol: lief.ELF.Symbol, libraries: dict[int, str]) -> Symbol:
    version, library = "", ""
    if symbol.symbol_version is not None:
        # By index: two libraries may both define a version of one name (GLIBC_2.2.5 does).
        library = libraries.get(symbol.symbol_version.value & 0x7FFF, "")
        auxiliary = symbol.symbol_version.symbol_version_auxiliary
        if auxiliary is not None:
            version = str(auxiliary.name)
    defined = symbol.shndx != 0
    return Symbol(
        name=str(symbol.name),
        version=version,
        library="" if defined else library,
        kind=_KINDS.get(symbol.type, "other"),
        va=symbol.value,
        size=symbol.size,
        defined=defined,
    )


def _relocations(parsed: lief.ELF.Binary, libraries: dict[int, str]) -> Iterator[Relocation]:
    for relocation in parsed.relocations:
        symbol = relocation.symbol if relocation.has_symbol else None
        named = symbol is not None and bool(symbol.name)
        yield Relocation(
            va=relocation.address,
            kind=relocation.type.name.removeprefix("X86_64_"),
            symbol=_symbol(symbol, libraries) if symbol is not None and named else None,
            addend=_addend(parsed, relocation),
        )


def _addend(parsed: lief.ELF.Binary, relocation: lief.ELF.Relocation) -> int:
    """RELR entries keep their addend in the place that they relocate."""
    if relocation.encoding != lief.ELF.Relocation.ENCODING.RELR:
        return relocation.addend
    place = parsed.get_content_from_virtual_address(relocation.address, 8)
    return int.from_bytes(place, "little")


def _soname(parsed: lief.ELF.Binary) -> str:
    entry = parsed.get(lief.ELF.DynamicEntry.TAG.SONAME)
    return str(entry.name) if isinstance(entry, lief.ELF.DynamicSharedObject) else ""


def _build_id(parsed: lief.ELF.Binary, name: str) -> BuildId:
    for note in parsed.notes:
        if note.type == lief.ELF.Note.TYPE.GNU_BUILD_ID:
            return BuildId.from_bytes(bytes(note.description))
    raise BinaryError(f"{name} has no build-id; link it with --build-id, Hotmend matches by it")


def _frames(data: bytes, sections: Iterable[Section], name: str) -> dict[int, Frame]:
    """The frames of functions, by start; the longest where several begin at one place."""
    code = [s for s in sections if s.executable and s.name not in (*_PLT_NAMES, ".init", ".fini")]
    frames: dict[int, Frame] = {}
    seen = False
    for frame in read_frames(data, name):
        seen = True
        inside = any(s.va <= frame.start and frame.start + frame.size <= s.end for s in code)
        known = frames.get(frame.start)
        if frame.size and inside and (known is None or known.size < frame.size):
            frames[frame.start] = frame
    if not seen:
        raise BinaryError(f"{name} has no .eh_frame; Hotmend finds functions by it")
    return dict(sorted(frames.items()))


def _ranges(frames: dict[int, Frame], name: str) -> Iterator[tuple[int, int]]:
    end = 0
    for start, frame in frames.items():
        if start < end:
            raise BinaryError(f"{name}: two functions overlap at {start:#x}")
        end = start + frame.size
        yield start, frame.size


def _stubs(
    parsed: lief.ELF.Binary, relocations: dict[int, Relocation]
) -> Iterator[tuple[int, int]]:
    for section in parsed.sections:
        if section.name in _PLT_NAMES:
            code, width = bytes(section.content), section.entry_size or 16
            for at in range(0, len(code), width):
                stub = section.virtual_address + at
                slot = slot_of_stub(code[at : at + width], stub)
                if slot in relocations:
                    yield stub, slot


def _constructors(sections: Iterable[Section], relocations: dict[int, Relocation]) -> Iterator[int]:
    for section in sections:
        if section.name == ".init_array":
            for va in range(section.va, section.va + len(section.data), 8):
                relocation = relocations.get(va)
                if relocation is not None:
                    base = relocation.symbol.va if relocation.symbol is not None else 0
                    yield base + relocation.addend
