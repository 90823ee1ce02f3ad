"""Names for addresses, from a build with symbols and debug information.

Which functions a source change touches, and what became of them: code of their own, or inlined
into others.
"""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

LOADED = (".plt", ".plt.got", ".text", ".rodata", ".eh_frame", ".data.rel.ro", ".data", ".dynsym")


def differing_sections(one: Path, other: Path) -> list[str]:
    """Of the sections that are loaded: those that differ in address or content."""
    with one.open("rb") as a, other.open("rb") as b:
        files = ELFFile(a), ELFFile(b)
        differing = []
        for name in LOADED:
            left, right = (file.get_section_by_name(name) for file in files)
            if (left["sh_addr"], left.data()) != (right["sh_addr"], right.data()):
                differing.append(name)
        return differing


def function_names(library: Path) -> dict[int, str]:
    """Address -> name of every function, static ones too; of several names the shortest.

    A name that several files use for a static function of theirs comes as ``file:name``.
    """
    names: dict[int, str] = {}
    files: dict[int, str] = {}
    file = ""
    with library.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        for symbol in table.iter_symbols():
            va, kind = symbol["st_value"], symbol["st_info"]["type"]
            if kind == "STT_FILE":
                file = symbol.name
            elif kind == "STT_FUNC" and va:
                known = names.get(va)
                if known is None or (len(symbol.name), symbol.name) < (len(known), known):
                    names[va], files[va] = symbol.name, file
    uses = Counter(names.values())
    return {va: f"{files[va]}:{n}" if uses[n] > 1 else n for va, n in names.items()}


@dataclass(frozen=True)
class Place:
    """Where a source function's code went: ``own``, addresses of its own copies; ``hosts``,
    addresses of functions that hold a copy of it."""

    own: frozenset[int]
    hosts: frozenset[int]


def places(library: Path, files: set[str]) -> dict[tuple[str, str], Place]:
    """(source file, function) -> its place, for the functions of ``files`` (base names)."""
    own: dict[tuple[str, str], set[int]] = defaultdict(set)
    hosts: dict[tuple[str, str], set[int]] = defaultdict(set)
    for unit, file in _units(library, files):
        for die in unit.get_top_DIE().iter_children():
            if die.tag != "DW_TAG_subprogram":
                continue
            name = _name(die)
            own[file, name].update(_start(die))
            for inner in _inlined(die):
                hosts[file, _name(inner)].update(_start(die))
    return {
        key: Place(frozenset(own[key]), frozenset(hosts[key])) for key in {*own, *hosts} if key[1]
    }


def touched(old_tree: Path, new_tree: Path, old: Path, new: Path) -> set[tuple[str, str]]:
    """(source file, function) of every function with a line that differs between two trees.

    ``old``, ``new``: the builds of the trees; they tell where each function begins. It ends at
    the next closing brace in the first column.
    """
    lines: dict[str, tuple[set[int], set[int]]] = {}
    for path in sorted(new_tree.glob("*.c")):
        before, after = (_lines(tree / path.name) for tree in (old_tree, new_tree))
        if before and before != after:
            lines[path.name] = _differing_lines(before, after)
    result = set()
    for side, (tree, library) in enumerate(((old_tree, old), (new_tree, new))):
        for unit, file in _units(library, set(lines)):
            found = _functions_at(unit, file, _lines(tree / file), lines[file][side])
            result.update((file, name) for name in found)
    return result


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def _differing_lines(old: list[str], new: list[str]) -> tuple[set[int], set[int]]:
    """Numbers, from 1, of the lines that only the old text has, and of those only the new has."""
    only_old, only_new = set(), set()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        if kind != "equal":
            only_old.update(range(old_start + 1, old_end + 1))
            only_new.update(range(new_start + 1, new_end + 1))
    return only_old, only_new


def _functions_at(unit: CompileUnit, file: str, text: list[str], lines: set[int]) -> Iterator[str]:
    files = unit.dwarfinfo.line_program_for_CU(unit).header["file_entry"]
    for die in unit.get_top_DIE().iter_children():
        marks = die.attributes
        if die.tag != "DW_TAG_subprogram" or "DW_AT_declaration" in marks:
            continue
        if (
            "DW_AT_decl_line" in marks
            and files[marks["DW_AT_decl_file"].value].name == file.encode()
        ):
            start = marks["DW_AT_decl_line"].value
            end = next((n for n in range(start, len(text)) if text[n].startswith("}")), start) + 1
            if lines & set(range(start, end + 1)):
                yield _name(die)


def _units(library: Path, files: set[str]) -> Iterator[tuple[CompileUnit, str]]:
    with library.open("rb") as stream:
        for unit in ELFFile(stream).get_dwarf_info().iter_CUs():
            file = Path(unit.get_top_DIE().attributes["DW_AT_name"].value.decode()).name
            if file in files:
                yield unit, file


def _name(die: DIE) -> str:
    while "DW_AT_name" not in die.attributes:
        for link in ("DW_AT_abstract_origin", "DW_AT_specification"):
            if link in die.attributes:
                die = die.get_DIE_from_attribute(link)
                break
        else:
            return ""
    # libxml2 calls its exports through aliases, and the definition bears the alias's name.
    return str(die.attributes["DW_AT_name"].value.decode().removesuffix("__internal_alias"))


def _start(die: DIE) -> Iterator[int]:
    """The address of a function's first (hot) byte."""
    if "DW_AT_low_pc" in die.attributes:
        yield die.attributes["DW_AT_low_pc"].value
    elif "DW_AT_ranges" in die.attributes:
        lists = die.dwarfinfo.range_lists()
        entries = lists.get_range_list_at_offset(die.attributes["DW_AT_ranges"].value, die.cu)
        base = 0
        for entry in entries:
            if hasattr(entry, "base_address"):
                base = entry.base_address
            else:
                yield entry.begin_offset + (0 if entry.is_absolute else base)
                return


def _inlined(die: DIE) -> Iterator[DIE]:
    for child in die.iter_children():
        if child.tag == "DW_TAG_inlined_subroutine":
            yield child
        yield from _inlined(child)
