"""What will be done to a process, decided before anything is touched."""

from __future__ import annotations

import hashlib
import itertools
import struct
from dataclasses import replace

import pytest

from hotmend.hotpatch.hotpatch import Fixup, Function, Import, OldAddress
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery.fake import FakeProcess
from hotmend.surgery.module import find_modules
from hotmend.surgery.plan import Plan, WriteDetour, plan
from hotmend.surgery.process import PAGE
from surgery import workshop
from surgery.rehearsal import BASE, planned, process_with

_NEAR = 1 << 30


def decide(process: FakeProcess, hotpatch: workshop.Hotpatch) -> Plan | Refusal | None:
    maps = process.maps()
    return plan(hotpatch, find_modules(maps, process.read), maps, process.read)


def test_a_detour_is_one_write_that_jumps_to_the_replacement() -> None:
    process = process_with("old")
    made = planned(process, workshop.hotpatch("answer", "other"))
    image = made.images[0]
    assert [d.function for d in image.detours] == ["answer", "other"]
    for detour, function in zip(image.detours, image.image.functions, strict=True):
        entry = BASE + workshop.symbols(workshop.library())[detour.function][0]
        inside = entry - detour.write.address
        jump = detour.write.after[inside : inside + 5]
        assert jump[0] == 0xE9
        assert entry + 5 + struct.unpack("<i", jump[1:])[0] == detour.target
        assert detour.target == image.payload.base + function.new_entry
        unchanged = detour.write.after[:inside] + detour.write.after[inside + 5 :]
        assert unchanged == detour.write.before[:inside] + detour.write.before[inside + 5 :]


@pytest.mark.parametrize(
    ("at", "start", "size"),
    [(0, 0, 8), (3, 0, 8), (4, 4, 5), (7, 7, 5), (8, 8, 8), (PAGE - 8, PAGE - 8, 8)],
)
def test_a_write_is_the_aligned_word_where_the_jump_fits(at: int, start: int, size: int) -> None:
    write = _detour_at(at).write
    assert (write.address % PAGE, len(write.after)) == (start % PAGE, size)


@pytest.mark.parametrize("at", [PAGE - 4, PAGE - 1])
def test_an_entry_across_two_pages_cannot_be_written_at_once(at: int) -> None:
    refusal = _decide_at(at)
    assert isinstance(refusal, Refusal) and refusal.code is RefusalCode.ENTRY_TOO_SHORT


def _detour_at(offset: int) -> WriteDetour:
    made = _decide_at(offset)
    assert isinstance(made, Plan), made
    return made.images[0].detours[0]


def _decide_at(offset: int) -> Plan | Refusal | None:
    """A function whose entry is ``offset`` bytes into a page of two made of nops."""
    process = process_with("old")
    start = BASE + (1 << 20)
    process.place(start, b"\x90" * 2 * PAGE)
    made = workshop.hotpatch("answer")
    image = made.images[0]
    va = start - BASE + offset
    code = (b"\x90" * 16, ((va, 16),))
    function = replace(image.functions[0], ranges=code[1], entry=va, sha256=_sha256(code[0]))
    return decide(process, replace(made, images=(replace(image, functions=(function,)),)))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_payload_lies_in_reach_and_on_nothing() -> None:
    process = process_with("old")
    for near in range(-6, 7):
        if near:
            process.place(BASE + near * (1 << 26), b"x" * PAGE)
    made = planned(process, workshop.hotpatch("answer"))
    payload = made.images[0].payload
    assert payload.address % PAGE == 0
    assert abs(payload.address - BASE) < _NEAR
    for mapping in process.maps():
        assert payload.address + payload.size <= mapping.start or mapping.end <= payload.address


def test_where_there_is_no_room_nearby_nothing_is_planned() -> None:
    process = process_with("old")
    maps = list(process.maps())
    modules = find_modules(maps, process.read)
    full = [
        replace(maps[0], start=max(BASE - (3 << 30), PAGE), end=BASE, inode=0, path=""),
        *maps,
        replace(maps[0], start=maps[-1].end, end=BASE + (3 << 30), inode=0, path=""),
    ]
    hotpatch = workshop.hotpatch("answer")
    refusal = plan(hotpatch, modules, full, process.read)
    assert isinstance(refusal, Refusal) and refusal.code is RefusalCode.NO_ROOM_NEARBY
    assert isinstance(plan(hotpatch, modules, maps, process.read), Plan)


def test_fixups_are_counted_from_where_they_lie() -> None:
    hotpatch = workshop.hotpatch(
        "answer",
        tail=b"\0" * 32,
        fixups=(Fixup(64, "pcrel32", OldAddress(0x1010), -4), Fixup(72, "abs64", OldAddress(8), 1)),
    )
    image = planned(process_with("old"), hotpatch).images[0]
    address, data = image.fill.pages[0]
    assert address == image.payload.base
    assert struct.unpack_from("<i", data, 64)[0] == BASE + 0x1010 - 4 - (address + 64)
    assert struct.unpack_from("<Q", data, 72)[0] == BASE + 8 + 1


def test_an_import_that_nobody_exports_is_named() -> None:
    missing = Import("no_such_function", "NO_1.0", "libnowhere.so.1")
    hotpatch = workshop.hotpatch(
        "answer", tail=b"\0" * 32, fixups=(Fixup(64, "abs64", missing, 0),)
    )
    refusal = decide(process_with("old"), hotpatch)
    assert isinstance(refusal, Refusal) and refusal.code is RefusalCode.IMPORT_UNRESOLVED
    assert "no_such_function" in refusal.sentence


def test_two_copies_of_one_build_are_refused() -> None:
    hotpatch = workshop.hotpatch("answer")
    refusal = decide(process_with("old", "old"), hotpatch)
    assert isinstance(refusal, Refusal) and refusal.code is RefusalCode.MODULE_MAPPED_TWICE
    assert isinstance(decide(process_with("old", "fixed"), hotpatch), Plan)


def test_a_process_with_other_builds_only_has_nothing_to_do() -> None:
    assert decide(process_with("fixed"), workshop.hotpatch("answer")) is None


def test_one_foreign_byte_in_a_function_is_enough_to_refuse() -> None:
    va, size = workshop.symbols(workshop.library())["answer"]
    hotpatch = workshop.hotpatch("answer")
    for at in range(size):
        process = process_with("old")
        byte = process.read(BASE + va + at, 1)[0]
        process.write(BASE + va + at, bytes([byte ^ 1]))
        refusal = decide(process, hotpatch)
        assert isinstance(refusal, Refusal) and refusal.code is RefusalCode.BYTES_DIFFER, at
    process = process_with("old")
    process.write(BASE + va + size, b"\x90")  # the byte after it is nobody's
    assert isinstance(decide(process, hotpatch), Plan)


def test_a_dormant_payload_is_used_again() -> None:
    process = process_with("old")
    hotpatch = workshop.hotpatch("answer")
    first = planned(process, hotpatch).images[0].payload
    process.map_memory(first.address, first.size)
    maps = process.maps()
    known = [(hotpatch.images[0].old_build_id.hex, first.base)]
    again = plan(hotpatch, find_modules(maps, process.read), maps, process.read, known)
    assert isinstance(again, Plan)
    assert (again.images[0].payload.address, again.images[0].payload.reused) == (
        first.address,
        True,
    )


def test_everything_that_replaced_code_may_be_running_in_must_be_clear() -> None:
    image = planned(process_with("old"), workshop.hotpatch("answer", "other")).images[0]
    table = workshop.symbols(workshop.library())
    assert {(r.start, r.end) for r in image.old_ranges} == {
        (BASE + table[n][0], BASE + sum(table[n])) for n in ("answer", "other")
    }
    payload = image.payload
    covered = sorted((r.start, r.end) for r in image.new_ranges)
    assert covered[0][0] == payload.base
    assert covered[-1][1] == payload.address + payload.size
    assert all(a[1] == b[0] for a, b in itertools.pairwise(covered))


def test_a_function_without_an_entry_gets_no_detour() -> None:
    hotpatch = workshop.hotpatch("answer", "other")
    image = hotpatch.images[0]
    cold: Function = replace(image.functions[1], entry=None, short=None)
    hotpatch = replace(hotpatch, images=(replace(image, functions=(image.functions[0], cold)),))
    assert [d.function for d in planned(process_with("old"), hotpatch).images[0].detours] == [
        image.functions[0].name
    ]
