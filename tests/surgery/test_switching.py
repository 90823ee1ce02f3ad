"""Entries switched while threads run."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import iced_x86
import pytest

from hotmend.hotpatch.hotpatch import Hotpatch, ShortEntry
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import RefusalCode
from hotmend.surgery import ptrace
from hotmend.surgery.errors import ProcessError
from hotmend.surgery.ledger import Ledger, State
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.process import PAGE
from hotmend.surgery.publishing import Consistency, Terms
from hotmend.surgery.short_detour import short_detour
from surgery.rehearsal import jump_target, process_with
from surgery.test_apply import put, take
from surgery.test_decisions import ENTRY
from surgery.test_decisions import put as rehearse
from surgery.workshop import (
    Target,
    code,
    eventually,
    hotpatch,
    library,
    range_of,
    running,
    symbols,
    threads,
)

NO_STOP = Terms(Consistency.NO_STOP, patience_s=0.2)
BOTH = ("answer", "call_back")

_MOST_STEPS = 100_000
_SINGLESTEP, _WALL = 9, 0x40000000


def both(*, independent: bool = True) -> Hotpatch:
    return hotpatch(*BOTH, independent=independent)


@pytest.mark.parametrize("name", ["idle", "mdwe", "seccomp_strict", "nondumpable"])
@pytest.mark.parametrize("window", ["c", "python"])
def test_processes_of_every_temper(
    monkeypatch: pytest.MonkeyPatch, ledger: Ledger, window: str, name: str
) -> None:
    monkeypatch.setenv("HOTMEND_WINDOW", window)
    with running(name) as target:
        assert put(target.pid, ledger, both(), NO_STOP).kind is OutcomeKind.APPLIED
        assert target.ask() == 2
        assert take(target.pid, ledger).kind is OutcomeKind.REVERTED
        assert target.ask() == 1


def code_of(outcome: Outcome) -> RefusalCode | None:
    return outcome.refusal and outcome.refusal.code


def test_no_thread_sees_anything_but_old_or_new(ledger: Ledger) -> None:
    with running("entries", "3") as target:
        for _ in range(30):
            applied = put(target.pid, ledger, both(), NO_STOP)
            assert (applied.kind, applied.pause_ms) == (OutcomeKind.APPLIED, 0.0)
            assert target.ask() == 2
            assert take(target.pid, ledger).kind is OutcomeKind.REVERTED
            assert target.ask() == 1
        assert target.ask("entered") > 1000
        assert target.ask("wrong") == 0


def test_what_was_switched_is_verified_and_nothing_leaks(ledger: Ledger) -> None:
    with running("entries", "1") as target, LinuxProcess(target.pid) as process:
        put(target.pid, ledger, both(), NO_STOP)
        take(target.pid, ledger)
        mappings = len(process.maps())
        for _ in range(5):
            put(target.pid, ledger, both(), NO_STOP)
            take(target.pid, ledger)
        assert len(process.maps()) == mappings


def single_step(tid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.ptrace(_SINGLESTEP, tid, None, None) == 0
    os.waitid(os.P_PID, tid, os.WSTOPPED | os.WEXITED | _WALL)


@contextmanager
def standing_at(target: Target, tid: int, address: int) -> Iterator[None]:
    """A thread held right before the instruction at ``address``."""
    ptrace.seize(tid)
    ptrace.interrupt(tid)
    assert eventually(lambda: ptrace.look(tid) is not None)
    try:
        for _ in range(_MOST_STEPS):
            if ptrace.get_registers(tid).rip == address:
                break
            single_step(tid)
        else:
            pytest.fail(f"thread {tid} never came to {address:#x}")
        yield
    finally:
        ptrace.detach(tid)


def instructions(name: str) -> list[int]:
    """Offsets of the instructions in the first bytes of a function."""
    va, size = symbols(library())[name]
    decoder = iced_x86.Decoder(64, code(library(), va, size))
    return [ins.ip for ins in decoder if ins.ip < 12]


@pytest.mark.parametrize(
    ("name", "at"), [(name, at) for name in BOTH for at in range(12) if at in instructions(name)]
)
def test_a_thread_at_any_instruction_of_the_entry_goes_on_well(
    ledger: Ledger, name: str, at: int
) -> None:
    with running("entries", "1") as target:
        worker = next(tid for tid in threads(target.pid) if tid != target.pid)
        with LinuxProcess(target.pid) as process:
            entry = range_of(process, name).start
        with standing_at(target, worker, entry + at):
            assert put(target.pid, ledger, both(), NO_STOP).kind is OutcomeKind.APPLIED
        before = target.ask("entered")
        while target.ask("entered") < before + 100:
            pass
        assert (target.ask("wrong"), target.ask()) == (0, 2)


def test_a_long_detour_there_would_hurt(ledger: Ledger) -> None:
    """The positive control: with five bytes switched, a thread at the second instruction dies."""
    with running("entries", "1") as target:
        worker = next(tid for tid in threads(target.pid) if tid != target.pid)
        with LinuxProcess(target.pid) as process:
            entry = range_of(process, "call_back").start
            second = entry + instructions("call_back")[1]
            with standing_at(target, worker, second):
                process.write(entry, b"\xe9\x11\xff\xff\xff")
        assert target.process.wait(5) != 0


def test_functions_that_belong_together_need_a_stop(ledger: Ledger) -> None:
    with running("entries", "1") as target:
        bound = put(target.pid, ledger, both(independent=False), NO_STOP)
        assert code_of(bound) is RefusalCode.NOT_INDEPENDENT
        assert put(target.pid, ledger, both(), NO_STOP).kind is OutcomeKind.APPLIED


def test_a_page_that_somebody_changed_is_not_exchanged(ledger: Ledger) -> None:
    with running("entries", "1") as target, LinuxProcess(target.pid) as process:
        there = range_of(process, "other").start
        byte = process.read(there, 1)
        process.write(there, b"\xcc")
        assert code_of(put(target.pid, ledger, both(), NO_STOP)) is RefusalCode.NEEDS_STOP
        process.write(there, byte)
        assert put(target.pid, ledger, both()).kind is OutcomeKind.APPLIED
        assert target.ask() == 2


def test_an_earlier_hotpatch_is_superseded_in_a_stop(ledger: Ledger) -> None:
    with running("entries", "1") as target:
        assert put(target.pid, ledger, both(), NO_STOP).kind is OutcomeKind.APPLIED
        later = hotpatch("other", independent=True)
        assert code_of(put(target.pid, ledger, later, NO_STOP)) is RefusalCode.NEEDS_STOP
        assert put(target.pid, ledger, later).kind is OutcomeKind.APPLIED
        assert target.ask() == 1


def test_without_a_short_entry_it_needs_a_stop(ledger: Ledger) -> None:
    patch = both()
    image = patch.images[0]
    functions = tuple(replace(function, short=None) for function in image.functions)
    patch = replace(patch, images=(replace(image, functions=functions),))
    assert code_of(rehearse(process_with("old"), patch, ledger, NO_STOP)) is RefusalCode.NEEDS_STOP


def test_a_switch_that_fails_leaves_the_old(ledger: Ledger) -> None:
    process = process_with("old")
    original = process.read(ENTRY // PAGE * PAGE, 256)

    def fail(operation: str) -> None:
        if operation == "exchange_page":
            raise ProcessError("no")

    process.before = fail
    with pytest.raises(ProcessError, match="no"):
        rehearse(process, both(), ledger, NO_STOP)
    process.before = lambda _: None
    assert process.read(ENTRY // PAGE * PAGE, 256) == original
    assert rehearse(process, both(), ledger, NO_STOP).kind is OutcomeKind.APPLIED
    assert [e.state for e in ledger.of(process.identity)] == [State.APPLIED]
    assert jump_target(process, ENTRY) is None, "no long jump"


@pytest.mark.parametrize(
    ("filler", "code", "works"),
    [
        (b"\x66\x90" + b"\x90" * 4, b"\x53\x48\x83\xec\x10", True),
        (b"\x66\x90" + b"\x90" * 4, b"\x52\x48\x83\xec\x10", True),
        (b"\x66\x90" + b"\x90" * 4, b"\xc3\x48\x83\xec\x10", False),
        (b"\x66\x90\x41\x90\x90\x90", b"\x53\x48\x83\xec\x10", False),
    ],
)
def test_the_way_undoes_the_pushes(filler: bytes, code: bytes, works: bool) -> None:
    memory = filler + code
    made = short_detour(ShortEntry(1, 6), 0x1006, 0x5000, lambda a, n: memory[a - 0x1000 :][:n])
    assert (made is not None) == works
    if made is not None:
        assert made.way[0] == 0x1000 and made.way[1][:2] == bytes([code[0] + 8, 0xE9])
        assert 0x1006 + int.from_bytes(made.way[1][2:6], "little", signed=True) == 0x5000
        assert (made.write.address, made.write.after) == (0x1007, b"\xeb\xf7")
