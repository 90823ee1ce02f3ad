"""The unwinder in Python, where a thread stands in a stub of the procedure linkage table."""

from __future__ import annotations

import struct

from elftools.elf.elffile import ELFFile

from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.module import FrameTable
from hotmend.surgery.unwind import Unwinder
from surgery.workshop import program, running

_RSP = 7


def test_the_caller_of_a_stub_is_found() -> None:
    """Its rule is an expression that computes with the pc: one word is on the stack before the
    stub's push, two after it."""
    with program("idle").open("rb") as file:
        elf = ELFFile(file)
        plt, text = elf.get_section_by_name(".plt"), elf.get_section_by_name(".text")
        first_stub = plt["sh_addr"] + 16
        caller = text["sh_addr"] + 4
    with running("idle") as target, LinuxProcess(target.pid) as process:
        module = process.modules()[0]
        table = FrameTable(module.start, module.end, *module.eh_frame_hdr)
        stack = 0x7000_0000_0000

        for offset, words in ((0, [module.bias + caller]), (11, [0, module.bias + caller])):
            memory = struct.pack("<8Q", *words, *[0] * (8 - len(words)))

            def read(address: int, size: int, memory: bytes = memory) -> bytes:
                if stack <= address and address + size <= stack + len(memory):
                    return memory[address - stack :][:size]
                return process.read(address, size)

            unwinder = Unwinder(read, [table])
            pc = module.bias + first_stub + offset
            frames, _ = unwinder.unwind(pc, {_RSP: stack})
            assert frames[1].address == module.bias + caller, hex(offset)
