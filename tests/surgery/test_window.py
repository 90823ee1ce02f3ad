"""One stop window at a time: what it finds in the way, and that it always lets go."""

from __future__ import annotations

import time

import pytest

from hotmend.surgery import nativewindow
from hotmend.surgery.errors import NotPermitted
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.module import FrameTable
from hotmend.surgery.process import Ending, Publication, Range, Write
from surgery.workshop import (
    as_nobody,
    build_id,
    is_root,
    library,
    range_of,
    resting,
    running,
    states,
    threads,
)

BUDGET_MS = 500.0


def _nothing(process: LinuxProcess, name: str) -> Write:
    """A write at a function's entry that changes nothing."""
    start = range_of(process, name).start // 8 * 8
    data = process.read(start, 8)
    return Write(start, data, data)


def _change(address: int, before: bytes) -> Write:
    return Write(address, before, bytes([before[0] ^ 1]) + before[1:])


def test_writes_and_reports_the_pause_and_the_threads(window: str) -> None:
    with running("threads", "7", "idle") as target, LinuxProcess(target.pid) as process:
        place = range_of(process, "other")
        write = _change(place.start // 8 * 8, process.read(place.start // 8 * 8, 8))
        attempt = process.publish(Publication((write,), (place,), budget_ms=BUDGET_MS))
        assert attempt.ending is Ending.PUBLISHED
        assert attempt.threads == 8
        assert 0 < attempt.pause_ms < BUDGET_MS
        assert process.read(write.address, 8) == write.after


def test_other_bytes_than_expected_stop_everything(window: str) -> None:
    with running("idle") as target, LinuxProcess(target.pid) as process:
        good = _change(
            range_of(process, "answer").start, process.read(range_of(process, "answer").start, 8)
        )
        wrong = Write(range_of(process, "other").start // 8 * 8, b"\0" * 8, b"\1" * 8)
        attempt = process.publish(Publication((good, wrong), (), budget_ms=BUDGET_MS))
        assert attempt.ending is Ending.BYTES_DIFFER
        assert f"{wrong.address:#x}" in attempt.detail
        assert process.read(good.address, 8) == good.before
        assert target.ask() == 1


def test_a_write_that_fails_takes_back_the_others(window: str) -> None:
    with running("idle") as target, LinuxProcess(target.pid) as process:
        good = _change(
            range_of(process, "answer").start, process.read(range_of(process, "answer").start, 8)
        )
        nowhere = Write(1 << 40, b"\0" * 8, b"\1" * 8)
        attempt = process.publish(Publication((good, nowhere), (), budget_ms=BUDGET_MS))
        assert attempt.ending is Ending.FAILED
        assert process.read(good.address, 8) == good.before


def test_a_pc_among_the_bytes_that_change_blocks_even_entry_consistency(window: str) -> None:
    with running("inside", "plain") as target, LinuxProcess(target.pid) as process:
        assert resting(target)
        # hold() waits behind its syscall instruction: 0f 05 and then the pc.
        hold = range_of(process, "hold")
        pc = hold.start + process.read(hold.start, 64).index(b"\x0f\x05") + 2
        around = pc // 8 * 8 if pc % 8 else pc - 4
        data = process.read(around, 8)
        over = Write(around, data, bytes(b ^ 1 for b in data))
        blocked = process.publish(Publication((over,), (), strict=False, budget_ms=BUDGET_MS))
        assert blocked.ending is Ending.BLOCKED
        assert process.read(around, 8) == data
        beside = _change(pc + 64 & ~7, process.read(pc + 64 & ~7, 8))
        free = process.publish(Publication((beside,), (hold,), strict=False, budget_ms=BUDGET_MS))
        assert free.ending is Ending.PUBLISHED


def test_where_no_table_tells_the_scan_decides() -> None:
    """The control of the test that a stale return address blocks nothing: here it does."""
    if not nativewindow.chosen():
        pytest.skip("the C extension is not built")
    with running("inside", "stale") as target, LinuxProcess(target.pid) as process:
        assert resting(target)
        publication = Publication(
            (_nothing(process, "hold_deep"),),
            (range_of(process, "hold_deep"),),
            budget_ms=BUDGET_MS,
        )
        modules = process.modules()
        tables = [FrameTable(m.start, m.end, *m.eh_frame_hdr) for m in modules if m.eh_frame_hdr[0]]

        def ending(known: list[FrameTable]) -> Ending:
            return nativewindow.publish(
                target.pid, process._memory, publication, process.maps(), known, hex
            ).ending

        assert ending([]) is Ending.BLOCKED
        assert ending(tables) is Ending.PUBLISHED
        old = build_id(library())
        bias = next(m.bias for m in modules if m.build_id == old)
        damaged = [FrameTable(t.start, t.end, bias, 64) for t in tables]
        assert ending(damaged) is Ending.BLOCKED


def test_a_pointer_to_an_entry_is_no_return_address(window: str) -> None:
    with running("idle") as target, LinuxProcess(target.pid) as process:
        main = next(m for m in process.maps() if m.path == "[stack]")
        place = range_of(process, "answer")
        top = main.end - 64
        saved = process.read(top, 8)
        publication = Publication((_nothing(process, "answer"),), (place,), budget_ms=BUDGET_MS)
        process.write(top, place.start.to_bytes(8, "little"))
        assert process.publish(publication).ending is Ending.PUBLISHED
        process.write(top, saved)


def test_a_budget_that_is_spent_lets_everybody_go(window: str) -> None:
    with running("threads", "128", "spin") as target, LinuxProcess(target.pid) as process:
        entry = range_of(process, "answer").start
        write = _change(entry, process.read(entry, 8))
        began = time.monotonic()
        attempt = process.publish(Publication((write,), (), budget_ms=0.1))
        assert attempt.ending is Ending.BLOCKED
        assert attempt.detail == "pause budget used up"
        assert time.monotonic() - began < 2.0
        assert process.read(write.address, 8) == write.before
        assert target.tracer() == 0
        assert not set(states(target)) & set("tT")


def test_while_another_process_runs_in_its_memory_nothing_is_stopped(window: str) -> None:
    with running("vforked") as target, LinuxProcess(target.pid) as process:
        attempt = process.publish(Publication((_nothing(process, "answer"),), ()))
        assert attempt.ending is Ending.BLOCKED
        assert "vfork" in attempt.detail
        assert target.tracer() == 0


def test_the_stack_of_who_blocks_is_told_to_its_end(window: str) -> None:
    with running("inside", "plain") as target, LinuxProcess(target.pid) as process:
        assert resting(target)
        publication = Publication(
            (_nothing(process, "hold"),), (range_of(process, "hold"),), budget_ms=BUDGET_MS
        )
        blocked = process.publish(publication).blocked
        assert blocked is not None
        assert blocked.function == "hold"
        assert blocked.stack[0].startswith("hold+")
        assert blocked.stack[1].startswith("inside+")
        assert blocked.stack[-1].startswith("libc.so.6+")
        assert 3 <= len(blocked.stack) <= 6


def test_ranges_of_nobody_block_nobody(window: str) -> None:
    with running("threads", "64", "spin") as target, LinuxProcess(target.pid) as process:
        nowhere = Range(1 << 20, 1 << 21, "nowhere")
        publication = Publication((_nothing(process, "answer"),), (nowhere,), budget_ms=5000.0)
        assert process.publish(publication).ending is Ending.PUBLISHED
        assert len(threads(target.pid)) == 65


def test_somebody_elses_process_is_not_permitted() -> None:
    if not is_root():
        pytest.skip("needs root to become somebody else")
    with running("idle") as target:

        def look() -> str:
            try:
                LinuxProcess(target.pid).close()
            except NotPermitted as no:
                return str(no)
            return "permitted"

        assert look() == "permitted"
        assert as_nobody(look) == (
            f"process {target.pid} may not be examined by you; run as root (sudo)"
        )
