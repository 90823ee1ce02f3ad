"""x86-64 machine code to references and instructions. iced-x86 decodes; only this file knows it.

Two views of the same bytes, because most functions need only the first: ``scan`` finds what
leaves a range (cheap, run over every function), ``instructions`` gives one record for each
instruction (run over the few functions that changed).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, cast

import iced_x86
from iced_x86 import Code, Decoder, FlowControl, Mnemonic, OpKind, Register


class Use(Enum):
    """What an instruction does with the address it refers to."""

    CALL = "call"
    JUMP = "jump"
    ADDRESS = "address"
    ACCESS = "access"


class Reference(NamedTuple):
    """A field of an instruction that holds a distance.

    ``at``: offset of the field in its range; ``size``: of the field, 1 or 4 bytes; ``end``: offset
    of the next instruction, from which the distance counts; ``target``: the address it means;
    ``width``: bytes read or written there (0 unless ``use`` is ACCESS).
    """

    at: int
    size: int
    end: int
    use: Use
    target: int
    width: int


@dataclass(frozen=True, slots=True)
class Scan:
    """``masked``: the bytes with every field of ``references`` zeroed. ``inner``: targets of the
    branches that stay inside. ``indirect``: it jumps through a register or memory. ``returns``:
    it has a return, a jump that leaves, or an indirect jump. ``clean``: every byte decoded."""

    masked: bytes
    references: tuple[Reference, ...]
    inner: frozenset[int]
    indirect: bool
    returns: bool
    clean: bool


_BRANCHES = {
    FlowControl.UNCONDITIONAL_BRANCH,
    FlowControl.CONDITIONAL_BRANCH,
    FlowControl.CALL,
    FlowControl.XBEGIN_XABORT_XEND,
}
_WIDTHS = {
    size: iced_x86.MemorySizeExt.size(cast(iced_x86.MemorySize_, size))
    for size in vars(iced_x86.MemorySize).values()
    if isinstance(size, int)
}


def pushes_before_room(code: bytes) -> int | None:
    """How many one-byte pushes ``code`` begins with, where an instruction of two bytes or more
    comes next; None where another short one does."""
    for pushes, ins in enumerate(Decoder(64, code)):
        if ins.len >= 2:
            return None if ins.is_invalid else pushes
        if ins.mnemonic != Mnemonic.PUSH:
            return None
    return None


def scan(code: bytes, va: int) -> Scan:
    """What leaves the range ``code`` at ``va``."""
    masked = bytearray(code)
    references = []
    inner = set()
    indirect = returns = False
    clean = True
    end = va + len(code)
    decoder = Decoder(64, code, ip=va)
    for ins in decoder:
        flow = ins.flow_control
        if flow != FlowControl.NEXT:
            if flow in _BRANCHES:
                if ins.op0_kind != OpKind.NEAR_BRANCH64:
                    continue
                target = ins.near_branch_target
                if va <= target < end and flow != FlowControl.CALL:
                    inner.add(target)
                    continue
                offsets = decoder.get_constant_offsets(ins)
                at, size = ins.ip - va + offsets.immediate_offset, offsets.immediate_size
                use = Use.CALL if flow == FlowControl.CALL else Use.JUMP
                returns = returns or use is Use.JUMP
                references.append(Reference(at, size, ins.next_ip - va, use, target, 0))
                masked[at : at + size] = bytes(size)
                continue
            if flow == FlowControl.RETURN:
                returns = True
            elif flow == FlowControl.INDIRECT_BRANCH:
                indirect = returns = True
            elif flow == FlowControl.EXCEPTION and ins.code == Code.INVALID:
                clean = False
        if ins.is_ip_rel_memory_operand:
            offsets = decoder.get_constant_offsets(ins)
            at, size = ins.ip - va + offsets.displacement_offset, offsets.displacement_size
            address = ins.mnemonic == Mnemonic.LEA
            references.append(
                Reference(
                    at,
                    size,
                    ins.next_ip - va,
                    Use.ADDRESS if address else Use.ACCESS,
                    ins.ip_rel_memory_address,
                    0 if address else _WIDTHS.get(ins.memory_size, 0),
                )
            )
            masked[at : at + size] = bytes(size)
    return Scan(bytes(masked), tuple(references), frozenset(inner), indirect, returns, clean)


def slot_of_stub(code: bytes, va: int) -> int | None:
    """The slot that the PLT stub ``code`` at ``va`` jumps through, None when it is no stub."""
    for ins in Decoder(64, code, ip=va):
        if ins.flow_control == FlowControl.INDIRECT_BRANCH and ins.is_ip_rel_memory_operand:
            return int(ins.ip_rel_memory_address)
        if ins.mnemonic not in (Mnemonic.ENDBR64, Mnemonic.NOP):
            return None
    return None


def padding(code: bytes) -> tuple[int, int]:
    """(bytes before, bytes after) of ``code`` that only pad: nops, int3 and zeros."""
    solid = [
        (ins.ip, ins.next_ip)
        for ins in Decoder(64, code)
        if ins.mnemonic not in (Mnemonic.NOP, Mnemonic.INT3) and any(code[ins.ip : ins.next_ip])
    ]
    if not solid:
        return len(code), 0
    return solid[0][0], len(code) - solid[-1][1]


def is_filler(code: bytes) -> bool:
    """Nothing but nops and int3, as compilers put between functions."""
    return all(ins.mnemonic in (Mnemonic.NOP, Mnemonic.INT3) for ins in Decoder(64, code))


class Instruction(NamedTuple):
    """One instruction of a changed function.

    ``shape``: opcode, registers and scale, all but numbers; ``displacement``: of a memory operand
    that is not RIP-relative; ``base``: the register it counts from, 0 for none; ``accesses``: it
    reads or writes there (lea does not); ``immediate``: None for none; ``target``: of a branch or
    of a RIP-relative operand; ``flow``: "next", "branch", "jump", "call", "return", "stop".
    """

    va: int
    size: int
    shape: tuple[int, ...]
    base: int
    displacement: int
    immediate: int | None
    target: int | None
    flow: str
    accesses: bool


_FLOWS = {
    FlowControl.NEXT: "next",
    FlowControl.UNCONDITIONAL_BRANCH: "jump",
    FlowControl.INDIRECT_BRANCH: "jump",
    FlowControl.CONDITIONAL_BRANCH: "branch",
    FlowControl.RETURN: "return",
    FlowControl.CALL: "call",
    FlowControl.INDIRECT_CALL: "call",
    FlowControl.INTERRUPT: "stop",
    FlowControl.EXCEPTION: "stop",
    FlowControl.XBEGIN_XABORT_XEND: "next",
}
_IMMEDIATES = {
    OpKind.IMMEDIATE8,
    OpKind.IMMEDIATE8_2ND,
    OpKind.IMMEDIATE16,
    OpKind.IMMEDIATE32,
    OpKind.IMMEDIATE64,
    OpKind.IMMEDIATE8TO16,
    OpKind.IMMEDIATE8TO32,
    OpKind.IMMEDIATE8TO64,
    OpKind.IMMEDIATE32TO64,
}
STACK_POINTER = int(Register.RSP)
FRAME_POINTER = int(Register.RBP)
ARGUMENTS = tuple(
    int(register)
    for register in (
        Register.RDI,
        Register.RSI,
        Register.RDX,
        Register.RCX,
        Register.R8,
        Register.R9,
    )
)
"""Integer argument registers of the System V calling convention, in order."""
LINE_ARGUMENTS = {
    int(Register.ESI): ARGUMENTS[0],
    int(Register.EDX): ARGUMENTS[1],
    int(Register.ECX): ARGUMENTS[2],
    int(Register.R8D): ARGUMENTS[3],
    int(Register.R9D): ARGUMENTS[4],
}
"""32-bit argument register -> the 64-bit register of the argument before it."""
SMALL_ARGUMENTS = frozenset((int(Register.EDI), *LINE_ARGUMENTS))
"""The argument registers as 32-bit ones: what small constants are loaded into."""
_FORMATTER = iced_x86.Formatter(iced_x86.FormatterSyntax.GAS)

# A branch is the same whether its distance takes one byte or four.
_NEAR = {
    getattr(Code, name): getattr(Code, name.replace("_REL8_64", "_REL32_64"))
    for name in dir(Code)
    if name.endswith("_REL8_64") and hasattr(Code, name.replace("_REL8_64", "_REL32_64"))
}


def instructions(code: bytes, va: int) -> list[Instruction]:
    """One record for each instruction of ``code`` at ``va``."""
    return [_record(ins) for ins in Decoder(64, code, ip=va)]


def text_of(code: bytes, va: int) -> list[str]:
    """AT&T assembly, one line for each instruction: evidence for people."""
    return [_FORMATTER.format(ins) for ins in Decoder(64, code, ip=va)]


def _record(ins: iced_x86.Instruction) -> Instruction:
    shape = [_NEAR.get(ins.code, ins.code)]
    base = displacement = 0
    immediate: int | None = None
    target: int | None = None
    for place in range(ins.op_count):
        kind = ins.op_kind(place)
        if kind == OpKind.REGISTER:
            shape.append(ins.op_register(place))
        elif kind == OpKind.MEMORY:
            if ins.is_ip_rel_memory_operand:
                target = ins.ip_rel_memory_address
            else:
                base = ins.memory_base
                displacement = _signed(ins.memory_displacement)
            shape += [ins.memory_base, ins.memory_index, ins.memory_index_scale]
            shape.append(ins.segment_prefix)
        elif kind == OpKind.NEAR_BRANCH64:
            target = ins.near_branch_target
        elif kind in _IMMEDIATES:
            immediate = ins.immediate(place)
        else:
            shape.append(-kind)
    return Instruction(
        ins.ip,
        ins.len,
        tuple(shape),
        base,
        displacement,
        immediate,
        target,
        _FLOWS[ins.flow_control],
        base != 0 and ins.mnemonic != Mnemonic.LEA,
    )


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
