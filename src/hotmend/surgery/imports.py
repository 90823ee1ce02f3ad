"""Where a symbol leads in a running process, found without running any code in it.

Dynamic symbol tables are read from memory. For an IFUNC the process has long made its choice: the
defining module keeps it in an IRELATIVE slot, other modules in their own slots.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hotmend.hotpatch.hotpatch import Import
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery.errors import ProcessError
from hotmend.surgery.module import Module, Read

_DYN = struct.Struct("<QQ")
_SYM = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")
_DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ = 2, 5, 6, 7, 8
_DT_STRSZ, _DT_JMPREL, _DT_GNU_HASH, _DT_VERSYM = 10, 23, 0x6FFFFEF5, 0x6FFFFFF0
_DT_VERDEF, _DT_VERDEFNUM = 0x6FFFFFFC, 0x6FFFFFFD
_STT_GNU_IFUNC = 10
_R_64, _R_GLOB_DAT, _R_JUMP_SLOT, _R_IRELATIVE = 1, 6, 7, 37
_MOST_ENTRIES = 1 << 17
_MOST_TABLE = 32 << 20
_HIDDEN = 0x8000


@dataclass(frozen=True)
class _Symbol:
    name: str
    value: int
    kind: int
    defined: bool
    version: int


class _Dynamic:
    """One module's dynamic section and tables, as mapped."""

    def __init__(self, module: Module, read: Read) -> None:
        self.module = module
        self._read = read

    def find(self, wanted: Import) -> _Symbol | None:
        """The definition of ``wanted``; without a version, the default one."""
        for symbol in self.symbols:
            if symbol.name != wanted.symbol or not symbol.defined:
                continue
            number = symbol.version & ~_HIDDEN
            if wanted.version:
                if self.versions.get(number) == wanted.version:
                    return symbol
            elif not symbol.version & _HIDDEN:
                return symbol
        return None

    @cached_property
    def symbols(self) -> list[_Symbol]:
        count = self._symbol_count()
        table = self._read(self._entry(_DT_SYMTAB), count * _SYM.size)
        strings = self._read(self._entry(_DT_STRTAB), self._size(_DT_STRSZ))
        versions: Sequence[int] = [1] * count
        if _DT_VERSYM in self._entries:
            versions = struct.unpack(f"<{count}H", self._read(self._entry(_DT_VERSYM), 2 * count))
        found = []
        for (name, info, _, section, value, _), version in zip(
            _SYM.iter_unpack(table), versions, strict=True
        ):
            end = strings.find(b"\0", name)
            text = strings[name:end].decode("utf-8", "replace")
            found.append(_Symbol(text, value, info & 15, section != 0, version))
        return found

    @cached_property
    def versions(self) -> dict[int, str]:
        """Version number -> name, of what the module defines."""
        if _DT_VERDEF not in self._entries:
            return {}
        strings = self._read(self._entry(_DT_STRTAB), self._size(_DT_STRSZ))
        found = {}
        at = self._entry(_DT_VERDEF)
        for _ in range(min(self._entries.get(_DT_VERDEFNUM, 0), 1 << 12)):
            _, _, number, _, _, auxiliary, following = struct.unpack("<HHHHIII", self._read(at, 20))
            name = struct.unpack("<I", self._read(at + auxiliary, 4))[0]
            found[number] = strings[name : strings.find(b"\0", name)].decode("utf-8", "replace")
            if not following:
                break
            at += following
        return found

    def relocations(self) -> Iterator[tuple[int, int, int, int]]:
        """(slot address, kind, symbol number, addend) of RELA and PLT relocations."""
        for table, size in ((_DT_RELA, _DT_RELASZ), (_DT_JMPREL, _DT_PLTRELSZ)):
            if table in self._entries and size in self._entries:
                data = self._read(self._entry(table), self._size(size) // _RELA.size * _RELA.size)
                for offset, info, addend in _RELA.iter_unpack(data):
                    yield self.module.bias + offset, info & 0xFFFFFFFF, info >> 32, addend

    def word(self, address: int) -> int:
        return int.from_bytes(self._read(address, 8), "little")

    def _symbol_count(self) -> int:
        """From DT_GNU_HASH: the longest chain's end."""
        at = self._entry(_DT_GNU_HASH)
        buckets, first, bloom, _ = struct.unpack("<IIII", self._read(at, 16))
        if max(buckets, bloom) > _MOST_ENTRIES or first > _MOST_ENTRIES:
            raise ProcessError(f"{self.module.name} has an unlikely symbol table")
        at += 16 + 8 * bloom
        last = max(struct.unpack(f"<{buckets}I", self._read(at, 4 * buckets)), default=0)
        if last < first:
            return int(first)
        at += 4 * buckets
        while last < _MOST_ENTRIES:
            entry = struct.unpack("<I", self._read(at + 4 * (last - first), 4))[0]
            last += 1
            if entry & 1:
                return int(last)
        raise ProcessError(f"{self.module.name} has an unlikely symbol table")

    @cached_property
    def _entries(self) -> dict[int, int]:
        address, size = self.module.dynamic
        data = self._read(address, min(size, 1 << 16) // _DYN.size * _DYN.size)
        found: dict[int, int] = {}
        for tag, value in _DYN.iter_unpack(data):
            if tag == 0:
                break
            found[tag] = value
        return found

    def _entry(self, tag: int) -> int:
        """The absolute address of a table: the loader relocates these entries in place, except
        in modules whose dynamic section is read-only."""
        if tag not in self._entries:
            raise ProcessError(f"{self.module.name} has no dynamic entry {tag:#x}")
        value = self._entries[tag]
        return value if self.module.start <= value < self.module.end else self.module.bias + value

    def _size(self, tag: int) -> int:
        size = self._entries.get(tag, 0)
        if not 0 <= size <= _MOST_TABLE:
            raise ProcessError(f"{self.module.name} has a table of unlikely size")
        return size


class Imports:
    """Resolves imports in one process."""

    def __init__(self, modules: Sequence[Module], read: Read) -> None:
        self._dynamics = [_Dynamic(module, read) for module in modules if module.dynamic[0]]

    def maps(self, library: str) -> bool:
        """The process maps a library of that name."""
        return any(dynamic.module.name.startswith(library) for dynamic in self._dynamics)

    def resolve(self, wanted: Import) -> int | Refusal:
        """The address that ``wanted`` has in the process, or why it has none."""
        for dynamic in sorted(
            self._dynamics, key=lambda d: not d.module.name.startswith(wanted.library or "\0")
        ):
            try:
                symbol = dynamic.find(wanted)
                if symbol is None:
                    continue
                address = dynamic.module.bias + symbol.value
                if symbol.kind != _STT_GNU_IFUNC:
                    return address
                chosen = self._chosen(dynamic, wanted, symbol, address)
            except (ProcessError, struct.error):
                continue
            if chosen is not None:
                return chosen
        version = f"@{wanted.version}" if wanted.version else ""
        return Refusal(
            RefusalCode.IMPORT_UNRESOLVED,
            f"the fixed code imports {wanted.symbol}{version}, which the process has not resolved",
            wanted.symbol,
            (("library", wanted.library),),
        )

    def _chosen(
        self, defining: _Dynamic, wanted: Import, symbol: _Symbol, resolver: int
    ) -> int | None:
        """What the process's own loader made of an IFUNC."""
        module = defining.module
        for slot, kind, _, addend in defining.relocations():
            if kind == _R_IRELATIVE and module.bias + addend == resolver:
                address = defining.word(slot)
                if module.start <= address < module.end and address != resolver:
                    return address
        for dynamic in self._dynamics:
            try:
                for slot, kind, number, _ in dynamic.relocations():
                    if kind not in (_R_JUMP_SLOT, _R_GLOB_DAT, _R_64) or not number:
                        continue
                    if dynamic.symbols[number].name != wanted.symbol:
                        continue
                    address = dynamic.word(slot)
                    if module.start <= address < module.end and address != resolver:
                        return address
            except (ProcessError, struct.error, IndexError):
                continue
        return None
