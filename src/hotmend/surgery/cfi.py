"""Call frame information: the rules by which a frame is left, and the programs that make them.

Rules after the DWARF 5 standard, section 6.4. The bytes are another process's and not trusted: what
makes no sense is an UnwindError.
"""

from __future__ import annotations

from dataclasses import dataclass, field

RSP = 7


class UnwindError(Exception):
    """No rule for this address, or a rule that makes no sense."""


@dataclass
class Row:
    """The rules in force at one address: CFA = register + offset, or an expression; where
    registers were saved, as ("cfa", offset), ("expression", bytes), ("value", ...)."""

    cfa: tuple[int, int] | bytes = (RSP, 8)
    saved: dict[int, tuple[str, int | bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A CIE and FDE pair, parsed."""

    start: int
    size: int
    code_factor: int
    data_factor: int
    initial: bytes
    program: bytes
    signal: bool


def rows_at(entry: Entry, pc: int) -> Row:
    """Run the CIE's and the FDE's programs up to ``pc``."""
    row = Row()
    _run(entry, entry.initial, row, Row(), entry.start, pc)
    first = Row(row.cfa, dict(row.saved))
    _run(entry, entry.program, row, first, entry.start, pc)
    return row


def _run(entry: Entry, code: bytes, row: Row, first: Row, location: int, pc: int) -> None:
    data = Cursor(code)
    remembered: list[Row] = []
    while data.at < len(code):
        operation = data.byte()
        high, low = operation & 0xC0, operation & 0x3F
        step = None
        if high == 0x40:
            step = low
        elif 0x02 <= operation <= 0x04:
            step = data.number(1 << (operation - 2), False)
        if step is not None:
            location += step * entry.code_factor
            if location > pc:
                return
        elif high == 0x80:
            row.saved[low] = ("cfa", data.unsigned() * entry.data_factor)
        elif high == 0xC0:
            _restore(row, first, low)
        else:
            _instruct(operation, data, entry, row, first, remembered)


def _restore(row: Row, first: Row, register: int) -> None:
    if register in first.saved:
        row.saved[register] = first.saved[register]
    else:
        row.saved.pop(register, None)


def _instruct(
    operation: int,
    data: Cursor,
    entry: Entry,
    row: Row,
    first: Row,
    remembered: list[Row],
) -> None:
    factor = entry.data_factor
    match operation:
        case 0x00:
            pass
        case 0x05:
            register = data.unsigned()
            row.saved[register] = ("cfa", data.unsigned() * factor)
        case 0x06:
            _restore(row, first, data.unsigned())
        case 0x07:
            row.saved[data.unsigned()] = ("undefined", 0)
        case 0x08:
            row.saved.pop(data.unsigned(), None)
        case 0x09:
            register = data.unsigned()
            row.saved[register] = ("register", data.unsigned())
        case 0x0A:
            remembered.append(Row(row.cfa, dict(row.saved)))
        case 0x0B:
            if not remembered:
                raise UnwindError("restore without remember")
            kept = remembered.pop()
            row.cfa, row.saved = kept.cfa, kept.saved
        case 0x0C:
            row.cfa = data.unsigned(), data.unsigned()
        case 0x0D:
            row.cfa = data.unsigned(), _offset(row)
        case 0x0E:
            row.cfa = _register(row), data.unsigned()
        case 0x0F:
            row.cfa = data.block()
        case 0x10:
            register = data.unsigned()
            row.saved[register] = ("expression", data.block())
        case 0x11:
            register = data.unsigned()
            row.saved[register] = ("cfa", data.signed() * factor)
        case 0x12:
            row.cfa = data.unsigned(), data.signed() * factor
        case 0x13:
            row.cfa = _register(row), data.signed() * factor
        case 0x14:
            register = data.unsigned()
            row.saved[register] = ("value", data.unsigned() * factor)
        case 0x15:
            register = data.unsigned()
            row.saved[register] = ("value", data.signed() * factor)
        case 0x16:
            register = data.unsigned()
            row.saved[register] = ("value expression", data.block())
        case 0x2E:
            data.unsigned()  # GNU_args_size says nothing about registers
        case _:
            raise UnwindError(f"instruction {operation:#x} in an FDE")


def _register(row: Row) -> int:
    if isinstance(row.cfa, bytes):
        raise UnwindError("an offset to a CFA that is an expression")
    return row.cfa[0]


def _offset(row: Row) -> int:
    if isinstance(row.cfa, bytes):
        raise UnwindError("a register for a CFA that is an expression")
    return row.cfa[1]


class Cursor:
    """A cursor over bytes; reading past the end is an UnwindError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def byte(self) -> int:
        if self.at >= len(self._data):
            raise UnwindError("rules end in the middle")
        self.at += 1
        return self._data[self.at - 1]

    def number(self, size: int, signed: bool) -> int:
        data = self._data[self.at : self.at + size]
        if len(data) < size:
            raise UnwindError("rules end in the middle")
        self.at += size
        return int.from_bytes(data, "little", signed=signed)

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
            if shift > 63:
                raise UnwindError("a number of more than 64 bits")

    def signed(self) -> int:
        start = self.at
        value = self.unsigned()
        bits = 7 * (self.at - start)
        return value - (1 << bits) if self._data[self.at - 1] & 0x40 else value

    def text(self) -> str:
        end = self._data.find(b"\0", self.at)
        if end < 0:
            raise UnwindError("rules end in the middle")
        text = self._data[self.at : end].decode("latin-1")
        self.at = end + 1
        return text

    def block(self) -> bytes:
        size = self.unsigned()
        data = self._data[self.at : self.at + size]
        if len(data) < size:
            raise UnwindError("rules end in the middle")
        self.at += size
        return data

    def skip_encoded(self, encoding: int) -> None:
        sizes = {0x0: 8, 0x2: 2, 0x3: 4, 0x4: 8, 0xA: 2, 0xB: 4, 0xC: 8}
        if encoding & 0x0F not in sizes:
            raise UnwindError("an address of unknown encoding")
        self.at += sizes[encoding & 0x0F]

    def rest(self) -> bytes:
        return self._data[self.at :]
