"""A fake process that has libvictim mapped, and what there is to do with it."""

from __future__ import annotations

from elftools.elf.elffile import ELFFile

from hotmend.hotpatch.hotpatch import Hotpatch
from hotmend.surgery.fake import FakeProcess
from hotmend.surgery.module import find_modules
from hotmend.surgery.plan import Plan, plan
from hotmend.surgery.process import PAGE
from surgery import workshop

BASE = 0x7F12_3450_0000


def process_with(*builds: str) -> FakeProcess:
    """A process that maps these builds of libvictim ("old", "fixed"), 16 MiB apart."""
    process = FakeProcess()
    for number, build in enumerate(builds):
        _load(process, build, BASE + (number << 24))
    return process


def _load(process: FakeProcess, build: str, base: int) -> None:
    path = workshop.library(build)
    with path.open("rb") as file:
        for segment in ELFFile(file).iter_segments("PT_LOAD"):
            start = segment["p_vaddr"] // PAGE * PAGE
            lead = segment["p_vaddr"] - start
            size = -(-(lead + segment["p_memsz"]) // PAGE) * PAGE
            data = (bytes(lead) + segment.data()).ljust(size, b"\0")
            flags = segment["p_flags"]
            permissions = f"r{'w' if flags & 2 else '-'}{'x' if flags & 1 else '-'}p"
            offset = segment["p_offset"] - lead
            process.place(base + start, data, permissions, offset, f"/usr/lib/{path.name}")


def planned(process: FakeProcess, hotpatch: Hotpatch) -> Plan:
    """The plan, which must be one."""
    maps = process.maps()
    made = plan(hotpatch, find_modules(maps, process.read), maps, process.read)
    assert isinstance(made, Plan), made
    return made


def jump_target(process: FakeProcess, entry: int) -> int | None:
    """Where the entry jumps to; None when it is not a detour."""
    code = process.read(entry, 5)
    if code[0] != 0xE9:
        return None
    return entry + 5 + int.from_bytes(code[1:], "little", signed=True)
