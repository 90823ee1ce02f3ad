"""Precise unwinding of a stopped thread by the .eh_frame of what it runs.

Only asked where the conservative scan of a stack found a suspicious word: is it the return
address of a frame, or a stale one? Reads the target's memory through a function, trusts nothing in
it, and says "unknown" rather than guess. Rules after the DWARF 5 standard, section 6.4, and the
LSB's description of .eh_frame and .eh_frame_hdr.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hotmend.surgery.cfi import RSP, Cursor, Entry, UnwindError, rows_at
from hotmend.surgery.errors import ProcessError
from hotmend.surgery.module import FrameTable

Read = Callable[[int, int], bytes]

_RA = 16
_MOST_FRAMES = 512
_MOST_OPERATIONS = 4096
_PRESERVED = (3, 6, 12, 13, 14, 15)  # rbx, rbp, r12-r15 in DWARF numbers
_MASK = (1 << 64) - 1
# KeyError: a rule that asks for a register which nobody knows any more.
_NO_WAY_ON = (UnwindError, ProcessError, OSError, struct.error, IndexError, KeyError)


@dataclass(frozen=True)
class Frame:
    """``address``: the pc of the innermost frame, a return address in the others. ``slot``: where
    on the stack that return address lies, None for the innermost."""

    address: int
    slot: int | None


class Unwinder:
    """Unwinds threads of one process; reads each module's search table once."""

    def __init__(self, read: Read, tables: Sequence[FrameTable]) -> None:
        self._read = read
        self._tables = sorted(tables, key=lambda table: table.start)
        self._search: dict[int, list[tuple[int, int]]] = {}

    def prepare(self) -> None:
        """Read every search table now, so that unwinding a stopped thread reads little."""
        for table in self._tables:
            try:
                self._rows(table)
            except _NO_WAY_ON:
                self._search[table.header] = []

    def unwind(self, pc: int, registers: Mapping[int, int]) -> tuple[list[Frame], bool]:
        """(frames innermost first, complete). ``registers``: DWARF number -> value; complete is
        False where no rule was found before the outermost frame."""
        values = dict(registers)
        frames = [Frame(pc, None)]
        address, exact = pc, True
        try:
            for _ in range(_MOST_FRAMES):
                step = self._step(address if exact else address - 1, values)
                if step is None:
                    return frames, True
                address, slot, exact = step
                if address == 0:
                    return frames, True
                frames.append(Frame(address, slot))
        except _NO_WAY_ON:
            return frames, False
        return frames, False

    def _step(self, pc: int, values: dict[int, int]) -> tuple[int, int, bool] | None:
        """Turn ``values`` into the caller's; (return address, its slot, it is an exact pc). None
        at the outermost frame, where the return address has no rule."""
        entry = self._entry(pc)
        row = rows_at(entry, pc)
        values[_RA] = pc  # the rules of a PLT compute with it
        if isinstance(row.cfa, bytes):
            cfa = self._expression(row.cfa, values, [])
        else:
            register, offset = row.cfa
            cfa = (values[register] + offset) & _MASK
        where = row.saved.get(_RA, ("cfa", -8))
        if where[0] == "undefined":
            return None
        caller = {}
        for register in (*_PRESERVED, RSP):
            rule = row.saved.get(register)
            if rule is not None:
                caller[register] = self._saved(rule, cfa, values)
            elif register in values:
                caller[register] = values[register]
        slot = self._address(where, cfa, values)
        address = self._word(slot)
        caller.setdefault(RSP, cfa)
        if RSP not in row.saved:
            caller[RSP] = cfa
        if not entry.signal and caller[RSP] <= values[RSP]:
            raise UnwindError("the stack does not grow")
        values.clear()
        values.update(caller)
        return address, slot, entry.signal

    def _saved(self, rule: tuple[str, int | bytes], cfa: int, values: Mapping[int, int]) -> int:
        kind, argument = rule
        if kind == "register":
            assert isinstance(argument, int)
            return values[argument]
        if kind == "value":
            assert isinstance(argument, int)
            return (cfa + argument) & _MASK
        if kind == "value expression":
            assert isinstance(argument, bytes)
            return self._expression(argument, values, [cfa])
        return self._word(self._address(rule, cfa, values))

    def _address(self, rule: tuple[str, int | bytes], cfa: int, values: Mapping[int, int]) -> int:
        kind, argument = rule
        if kind == "cfa" and isinstance(argument, int):
            return (cfa + argument) & _MASK
        if kind == "expression" and isinstance(argument, bytes):
            return self._expression(argument, values, [cfa])
        raise UnwindError(f"no address by rule {kind}")

    def _word(self, address: int) -> int:
        return int.from_bytes(self._read(address, 8), "little")

    # Finding the rules.

    def _entry(self, pc: int) -> Entry:
        for table in self._tables:
            if table.start <= pc < table.end:
                rows = self._rows(table)
                low, high = 0, len(rows)
                while low < high:
                    middle = (low + high) // 2
                    if rows[middle][0] <= pc:
                        low = middle + 1
                    else:
                        high = middle
                if low:
                    entry = self._parse(rows[low - 1][1])
                    if entry.start <= pc < entry.start + entry.size:
                        return entry
        raise UnwindError(f"no rules for {pc:#x}")

    def _rows(self, table: FrameTable) -> list[tuple[int, int]]:
        """(start, address of its FDE), ascending: the binary search table."""
        if table.header not in self._search:
            data = self._read(table.header, table.size)
            if data[:4] != b"\x01\x1b\x03\x3b":  # version 1, pcrel sdata4, udata4, datarel sdata4
                raise UnwindError("an .eh_frame_hdr of unknown shape")
            count = min(struct.unpack_from("<I", data, 8)[0], (len(data) - 12) // 8)
            rows = struct.iter_unpack("<ii", data[12 : 12 + 8 * count])
            self._search[table.header] = [
                (table.header + start, table.header + entry) for start, entry in rows
            ]
        return self._search[table.header]

    def _parse(self, address: int) -> Entry:
        length = struct.unpack("<I", self._read(address, 4))[0]
        if not 16 <= length < 1 << 16:
            raise UnwindError("an FDE of unlikely length")
        fde = self._read(address + 4, length)
        cie_address = address + 4 - struct.unpack_from("<I", fde)[0]
        cie_length = struct.unpack("<I", self._read(cie_address, 4))[0]
        if not 8 <= cie_length < 1 << 12:
            raise UnwindError("a CIE of unlikely length")
        cie = Cursor(self._read(cie_address + 4, cie_length))
        cie.at = 5  # id, version
        augmentation = cie.text()
        code_factor, data_factor = cie.unsigned(), cie.signed()
        cie.unsigned()  # the return address register, 16
        signal, encoding = "S" in augmentation, 0
        if augmentation.startswith("z"):
            end = cie.unsigned() + cie.at
            for letter in augmentation[1:]:
                if letter == "R":
                    encoding = cie.byte()
                elif letter == "P":
                    cie.skip_encoded(cie.byte())
                elif letter == "L":
                    cie.byte()
            cie.at = end
        if encoding != 0x1B:
            raise UnwindError("an FDE whose addresses are not pcrel sdata4")
        start = address + 8 + struct.unpack_from("<i", fde, 4)[0]
        body = Cursor(fde)
        body.at = 12
        if augmentation.startswith("z"):
            body.at += body.unsigned()
        return Entry(
            start=start,
            size=struct.unpack_from("<I", fde, 8)[0],
            code_factor=code_factor,
            data_factor=data_factor,
            initial=cie.rest(),
            program=body.rest(),
            signal=signal,
        )

    # DWARF expressions.

    def _expression(self, code: bytes, values: Mapping[int, int], stack: list[int]) -> int:
        data = Cursor(code)
        for _ in range(_MOST_OPERATIONS):
            if data.at >= len(code):
                break
            self._operation(data, values, stack)
        return stack[-1] & _MASK

    def _operation(self, data: Cursor, values: Mapping[int, int], stack: list[int]) -> None:
        operation = data.byte()
        if 0x30 <= operation <= 0x4F:
            stack.append(operation - 0x30)
        elif 0x70 <= operation <= 0x8F:
            stack.append((values[operation - 0x70] + data.signed()) & _MASK)
        elif operation in _CONSTANTS:
            stack.append(data.number(*_CONSTANTS[operation]) & _MASK)
        elif operation == 0x10:
            stack.append(data.unsigned())
        elif operation == 0x11:
            stack.append(data.signed() & _MASK)
        elif operation == 0x06:
            stack.append(self._word(stack.pop()))
        elif operation == 0x12:
            stack.append(stack[-1])
        elif operation == 0x13:
            stack.pop()
        elif operation == 0x23:
            stack.append((stack.pop() + data.unsigned()) & _MASK)
        elif operation in _BINARY:
            second, first = stack.pop(), stack.pop()
            stack.append(_BINARY[operation](first, second) & _MASK)
        else:
            raise UnwindError(f"operation {operation:#x} in an expression")


_CONSTANTS = {0x08: (1, False), 0x09: (1, True), 0x0A: (2, False), 0x0B: (2, True)} | {
    0x0C: (4, False),
    0x0D: (4, True),
    0x0E: (8, False),
    0x0F: (8, True),
}
_BINARY: dict[int, Callable[[int, int], int]] = {
    0x1A: lambda a, b: a & b,
    0x1C: lambda a, b: a - b,
    0x1E: lambda a, b: a * b,
    0x21: lambda a, b: a | b,
    0x22: lambda a, b: a + b,
    0x24: lambda a, b: a << min(b, 64),
    0x25: lambda a, b: a >> min(b, 64),
    0x27: lambda a, b: a ^ b,
    0x29: lambda a, b: int(a == b),
    0x2A: lambda a, b: int(_signed(a) >= _signed(b)),
    0x2B: lambda a, b: int(_signed(a) > _signed(b)),
    0x2C: lambda a, b: int(_signed(a) <= _signed(b)),
    0x2D: lambda a, b: int(_signed(a) < _signed(b)),
    0x2E: lambda a, b: int(a != b),
}


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
