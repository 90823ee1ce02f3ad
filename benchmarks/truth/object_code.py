"""The code of every function in a folder of object files, in a form that two builds share.

Before linking, an address is still a relocation that names what it means. With those names in
place of the bytes, two functions are equal exactly when the compiler made the same code of them:
independent evidence of what changed between two builds, which the differ never sees.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import Relocation, RelocationSection
from elftools.elf.sections import Section, SymbolTableSection
from iced_x86 import Decoder, FlowControl, Instruction, OpKind

_BRANCHES = (FlowControl.UNCONDITIONAL_BRANCH, FlowControl.CONDITIONAL_BRANCH, FlowControl.CALL)
_ABSOLUTE_64 = 1  # R_X86_64_64; the other kinds found in code have four bytes


@dataclass(frozen=True)
class Code:
    """``bytes``: with every address field zeroed. ``references``: (offset, meaning).
    ``numbers``: the offsets of 32-bit immediate operands."""

    bytes: bytes
    references: tuple[tuple[int, str], ...]
    numbers: tuple[int, ...]

    def same_but_for_line_numbers(self, other: Code) -> bool:
        """Whether only ``__LINE__`` moved: numbers, in a function that names its source file."""
        names_file = any(meaning.endswith(".c'") for _, meaning in self.references)
        return names_file and self._without_numbers() == other._without_numbers()

    def _without_numbers(self) -> Code:
        blank = bytearray(self.bytes)
        for at in self.numbers:
            blank[at : at + 4] = bytes(4)
        return Code(bytes(blank), self.references, self.numbers)


def functions(folder: Path) -> dict[tuple[str, str], Code]:
    """(object's name, function's name) -> its code; .cold and other parts are functions too."""
    found: dict[tuple[str, str], Code] = {}
    for path in sorted(folder.glob("*.o")):
        with path.open("rb") as stream:
            for name, code in _Object(ELFFile(stream)).functions():
                found[path.stem, name] = code
    return found


class _Object:
    def __init__(self, elf: ELFFile) -> None:
        table = elf.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        self._elf, self._table = elf, table
        self._relocations: dict[int, dict[int, Relocation]] = {
            section["sh_info"]: {r["r_offset"]: r for r in section.iter_relocations()}
            for section in elf.iter_sections()
            if isinstance(section, RelocationSection)
        }
        # Section -> (start, size, name); of several names for one place the shortest.
        places: dict[tuple[int, int], tuple[int, str]] = {}
        self._code: list[tuple[int, int]] = []
        for symbol in table.iter_symbols():
            kind, index = symbol["st_info"]["type"], symbol["st_shndx"]
            if kind in ("STT_FUNC", "STT_OBJECT") and isinstance(index, int):
                place = (index, symbol["st_value"])
                if place not in places or len(symbol.name) < len(places[place][1]):
                    places[place] = (symbol["st_size"], symbol.name)
                if kind == "STT_FUNC":
                    self._code.append(place)
        self._places: dict[int, list[tuple[int, int, str]]] = {}
        for (index, start), (size, name) in sorted(places.items()):
            self._places.setdefault(index, []).append((start, size, name))

    def functions(self) -> Iterator[tuple[str, Code]]:
        for index, places in self._places.items():
            for start, size, name in places:
                if (index, start) in self._code:
                    yield name, self._function(index, start, size)

    def _function(self, index: int, start: int, size: int) -> Code:
        body = bytearray(self._elf.get_section(index).data()[start : start + size])
        relocations = self._relocations.get(index, {})
        references, numbers = [], []
        decoder = Decoder(64, bytes(body), ip=start)
        for instruction in decoder:
            end = instruction.next_ip
            named = [at for at in range(instruction.ip, end) if at in relocations]
            for at in named:
                entry = relocations[at]
                width = 8 if entry["r_info_type"] == _ABSOLUTE_64 else 4
                body[at - start : at - start + width] = bytes(width)
                addend = entry["r_addend"] + (0 if width == 8 else end - at)
                references.append((at - start, self._meaning(entry["r_info_sym"], addend)))
            fields = decoder.get_constant_offsets(instruction)
            if instruction.op1_kind == OpKind.IMMEDIATE32:
                numbers.append(instruction.ip - start + fields.immediate_offset)
            target = self._outside(instruction, start, start + size)
            if not named and target is not None:
                at = fields.displacement_offset or fields.immediate_offset
                width = fields.displacement_size or fields.immediate_size
                at += instruction.ip - start
                body[at : at + width] = bytes(width)
                references.append((at, self._in_section(index, target)))
        return Code(bytes(body), tuple(references), tuple(numbers))

    @staticmethod
    def _outside(instruction: Instruction, start: int, end: int) -> int | None:
        """Where in its section an instruction reaches that the assembler resolved by itself."""
        if instruction.is_ip_rel_memory_operand:
            target = instruction.ip_rel_memory_address
        elif instruction.flow_control in _BRANCHES and instruction.op0_kind == OpKind.NEAR_BRANCH64:
            target = instruction.near_branch_target
        else:
            return None
        return None if start <= target < end else target

    def _meaning(self, symbol_index: int, addend: int) -> str:
        symbol = self._table.get_symbol(symbol_index)
        index = symbol["st_shndx"]
        if not isinstance(index, int):
            return f"{symbol.name}{addend:+d}"
        return self._in_section(index, symbol["st_value"] + addend)

    def _in_section(self, index: int, offset: int) -> str:
        """What lies at an offset of a section, in words that survive another build."""
        section: Section = self._elf.get_section(index)
        if section.name.startswith(".rodata.str"):
            return f"string {section.data()[offset : section.data().index(0, offset)]!r}"
        if section.name.startswith(".rodata.cst"):
            return f"constant {section.data()[offset : offset + section['sh_entsize']].hex()}"
        places = self._places.get(index, [])
        at = bisect_right(places, (offset, 1 << 62, "")) - 1
        if at >= 0 and offset < places[at][0] + max(places[at][1], 1):
            return f"{places[at][2]}{offset - places[at][0]:+d}"
        # A jump table: it belongs to the function that reads it, and follows from its code.
        return f"unnamed {section.name}"
