"""A hotpatch into real processes of every temper, and out again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hotmend.hotpatch.codec import encode
from hotmend.hotpatch.hotpatch import Hotpatch
from hotmend.model.build_id import BuildId
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import RefusalCode
from hotmend.surgery.apply import apply
from hotmend.surgery.errors import Refused
from hotmend.surgery.ledger import Ledger, State
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.publishing import Consistency, Terms
from hotmend.surgery.revert import revert
from hotmend.surgery.verify import verify
from surgery.workshop import (
    Target,
    eventually,
    hotpatch,
    library,
    private_copy,
    resting,
    running,
    states,
    threads,
)

_PATIENT = Terms(budget_ms=200.0, patience_s=10.0)
_BRIEF = Terms(budget_ms=50.0, patience_s=0.2)


def put(
    pid: int, ledger: Ledger, patch: Hotpatch | None = None, terms: Terms = _PATIENT
) -> Outcome:
    patch = patch or hotpatch("answer")
    with LinuxProcess(pid) as process:
        return apply(process, patch, ledger.keep(encode(patch)), ledger, terms)


def take(pid: int, ledger: Ledger, terms: Terms = _PATIENT) -> Outcome:
    with LinuxProcess(pid) as process:
        entries = [e for e in ledger.of(process.identity) if e.state is not State.REVERTED]
        return revert(process, entries[0], ledger, terms)


def free_and_untraced(target: Target) -> bool:
    return target.tracer() == 0 and not set(states(target)) & set("tT")


@pytest.mark.parametrize(
    "words",
    [
        ("idle",),
        ("threads", "16", "idle"),
        ("threads", "128", "idle"),
        ("threads", "32", "spin"),
        ("threads", "4", "call"),
        ("births",),
        ("forks",),
        ("deep_stack",),
        ("mdwe",),
        ("seccomp_filter",),
        ("seccomp_strict",),
        ("seccomp_thread",),
    ],
    ids=" ".join,
)
def test_is_applied_verified_reverted_and_applied_again(
    words: tuple[str, ...], window: str, ledger: Ledger
) -> None:
    with running(*words) as target:
        assert target.ask() == 1
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert target.ask() == 2
        with LinuxProcess(target.pid) as process:
            (entry,) = ledger.of(process.identity)
            assert entry.state is State.APPLIED
            assert verify(process, entry) == []
        assert put(target.pid, ledger).kind is OutcomeKind.ALREADY
        assert take(target.pid, ledger).kind is OutcomeKind.REVERTED
        assert target.ask() == 1
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert target.ask() == 2
        assert free_and_untraced(target)


def test_fifty_cycles_leave_one_mapping(window: str, ledger: Ledger) -> None:
    with running("idle") as target, LinuxProcess(target.pid) as process:
        put(target.pid, ledger)
        take(target.pid, ledger)
        mapped = len(process.maps())
        for _ in range(50):
            assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
            assert take(target.pid, ledger).kind is OutcomeKind.REVERTED
        assert len(process.maps()) == mapped
        assert target.ask() == 1


def test_calls_that_are_interrupted_return_what_they_should(window: str, ledger: Ledger) -> None:
    with running("syscalls") as target:
        assert resting(target)
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert take(target.pid, ledger).kind is OutcomeKind.REVERTED
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert resting(target)
        assert target.ask("wake") == 6


_SENDER = """
import ctypes, select, sys, time
libc = ctypes.CDLL(None)
sent = 0
while True:
    sent += 1
    while libc.sigqueue(int(sys.argv[1]), int(sys.argv[2]), ctypes.c_void_p(sent)):
        time.sleep(0.001)
    if sent == 200:
        print("many", flush=True)
    if sent % 10 == 0:
        time.sleep(0.001)
        if select.select([sys.stdin], [], [], 0)[0]:
            break
print(sent)
"""


def test_no_signal_is_lost_and_no_vector_register_is_touched(window: str, ledger: Ledger) -> None:
    with running("signals") as target:
        number = signal.SIGRTMIN + 3
        with subprocess.Popen(
            [sys.executable, "-c", _SENDER, str(target.pid), str(int(number))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as sender:
            assert sender.stdout is not None and sender.stdout.readline() == "many\n"
            for _ in range(12):
                assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
                assert take(target.pid, ledger).kind is OutcomeKind.REVERTED
            sent = int(sender.communicate("x")[0])
        assert eventually(lambda: target.ask("count") == sent)
        assert target.ask("sum") == sent * (sent + 1) // 2
        assert target.ask("broken") == 0
        assert target.ask("traps") == 0


@pytest.mark.parametrize("how", ["plain", "deep", "handler", "altstack"])
def test_a_thread_inside_the_function_blocks_until_it_leaves(
    how: str, window: str, ledger: Ledger
) -> None:
    name = "hold_deep" if how == "deep" else "hold"
    with running("inside", how) as target:
        assert resting(target)
        if how in ("handler", "altstack"):
            os.kill(target.pid, signal.SIGUSR1)
            assert resting(target)
        blocked = put(target.pid, ledger, hotpatch(name), _BRIEF)
        assert blocked.kind is OutcomeKind.BLOCKED
        assert blocked.blocked is not None
        assert blocked.blocked.function == name
        assert blocked.blocked.tid in threads(target.pid)
        assert any(frame.startswith(f"{name}+") for frame in blocked.blocked.stack)
        assert free_and_untraced(target)
        assert target.ask("free") == 0
        assert put(target.pid, ledger, hotpatch(name)).kind is OutcomeKind.APPLIED


@pytest.mark.parametrize("how", ["plain", "deep", "handler", "altstack"])
def test_a_thread_inside_another_function_blocks_nothing(
    how: str, window: str, ledger: Ledger
) -> None:
    with running("inside", how) as target:
        assert resting(target)
        assert put(target.pid, ledger, hotpatch("answer")).kind is OutcomeKind.APPLIED
        assert target.ask() == 2


def test_a_stale_return_address_on_the_stack_blocks_nothing(window: str, ledger: Ledger) -> None:
    with running("inside", "stale") as target:
        assert resting(target)
        assert put(target.pid, ledger, hotpatch("hold_deep")).kind is OutcomeKind.APPLIED


def test_entry_consistency_waits_for_nobody_and_needs_independence(
    window: str, ledger: Ledger
) -> None:
    entry = Terms(Consistency.ENTRY, budget_ms=200, patience_s=0.2)
    with running("inside", "plain") as target:
        assert resting(target)
        refused = put(target.pid, ledger, hotpatch("hold"), entry)
        assert refused.refusal is not None
        assert refused.refusal.code is RefusalCode.NOT_INDEPENDENT
        applied = put(target.pid, ledger, hotpatch("hold", independent=True), entry)
        assert applied.kind is OutcomeKind.APPLIED


def test_a_stopped_process_stays_stopped(window: str, ledger: Ledger) -> None:
    with running("threads", "3", "idle") as target:
        os.kill(target.pid, signal.SIGSTOP)
        assert eventually(lambda: target.state() == "T")
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert eventually(lambda: set(states(target)) == {"T"})
        time.sleep(0.05)
        assert set(states(target)) == {"T"}
        os.kill(target.pid, signal.SIGCONT)
        assert target.ask() == 2


def test_a_process_that_waits_for_its_vfork_child_is_left_alone(
    window: str, ledger: Ledger
) -> None:
    with running("vforked") as target:
        assert eventually(lambda: target.state() == "D")
        began = time.monotonic()
        with LinuxProcess(target.pid) as process:
            patch = hotpatch("answer")
            outcome = apply(process, patch, ledger.keep(encode(patch)), ledger, _BRIEF)
        assert outcome.refusal is not None
        assert outcome.refusal.code is RefusalCode.MAPPING_FAILED
        assert "vfork" in outcome.refusal.sentence
        assert time.monotonic() - began < 5
        assert target.tracer() == 0
        # The child reads one line and ends; then the parent serves.
        assert target.process.stdin is not None
        target.process.stdin.write("free\n")
        target.process.stdin.flush()
        assert int(target._line()) == target.pid
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert target.ask() == 2


@pytest.mark.parametrize("end", ["exit", "exec"])
def test_a_process_that_ends_midway_is_gone_or_done(end: str, window: str, ledger: Ledger) -> None:
    kinds = set()
    for delay in range(0, 6000, 400):
        with running("mortal", end, str(delay)) as target:
            target.ask("go")
            began = time.monotonic()
            try:
                kinds.add(put(target.pid, ledger).kind)
            except Exception as error:  # whatever it is, it must be one we know how to say
                assert type(error).__module__ == "hotmend.surgery.errors", repr(error)
            assert time.monotonic() - began < 20, "nobody waits for what will never come"
            if end == "exec":
                assert eventually(lambda pid=target.pid: _command(pid) == "sleep")
                assert target.tracer() == 0
    assert kinds <= {OutcomeKind.APPLIED, OutcomeKind.GONE, OutcomeKind.NOT_MAPPED}


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_children_forked_meanwhile_run_old_or_new_code(window: str, ledger: Ledger) -> None:
    with running("forks") as target:
        for _ in range(10):
            assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
            assert take(target.pid, ledger).kind is OutcomeKind.REVERTED
        before = target.ask("children")
        assert eventually(lambda: target.ask("children") > before + 20)
        assert target.ask("wrong") == 0


def test_a_library_deleted_from_disk_is_found(window: str, ledger: Ledger, tmp_path: Path) -> None:
    path = private_copy("idle", tmp_path / "own")
    with running("idle", path=path) as target:
        (tmp_path / "own" / "libvictim.so.1").unlink()
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert target.ask() == 2


def test_a_library_that_is_loaded_twice_is_refused(ledger: Ledger) -> None:
    with running("twice", str(library())) as target:
        outcome = put(target.pid, ledger)
        assert outcome.refusal is not None
        assert outcome.refusal.code is RefusalCode.MODULE_MAPPED_TWICE
        assert len(outcome.refusal.evidence) == 2


def test_another_build_is_not_touched(ledger: Ledger) -> None:
    other = hotpatch("answer", old_build_id=BuildId("00" * 20))
    with running("idle") as target:
        assert put(target.pid, ledger, other).kind is OutcomeKind.NOT_MAPPED
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED


def test_no_address_space_left_is_said(window: str, ledger: Ledger) -> None:
    with running("low_limit") as target:
        outcome = put(target.pid, ledger)
        assert outcome.refusal is not None
        assert outcome.refusal.code is RefusalCode.MAPPING_FAILED
        assert dict(outcome.refusal.evidence)["errno"] == "ENOMEM"
        assert target.ask() == 1


def test_a_debugger_stands_in_the_way_until_it_goes(window: str, ledger: Ledger) -> None:
    with running("idle") as target:
        debugger = (
            "import ctypes, sys\n"
            "libc = ctypes.CDLL(None)\n"
            f"assert libc.ptrace(0x4206, {target.pid}, None, None) == 0\n"
            "print('holding', flush=True); sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", debugger], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            outcome = put(target.pid, ledger)
            assert outcome.refusal is not None
            assert outcome.refusal.code is RefusalCode.ALREADY_TRACED
            assert str(holder.pid) in outcome.refusal.sentence
            holder.communicate()
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED


def test_a_32_bit_program_is_refused() -> None:
    with running("bits32") as target, pytest.raises(Refused) as no:
        LinuxProcess(target.pid)
    assert no.value.refusal.code is RefusalCode.NOT_64_BIT


def test_changed_bytes_are_refused_with_evidence(ledger: Ledger) -> None:
    with running("idle") as target, LinuxProcess(target.pid) as process:
        module = next(m for m in process.modules() if m.name == "libvictim.so.1")
        patch = hotpatch("answer", "other")
        va = next(f.ranges[0][0] for f in patch.images[0].functions if f.name == "other")
        original = process.read(module.bias + va, 1)
        process.write(module.bias + va, b"\x90")
        outcome = put(target.pid, ledger, patch)
        assert outcome.refusal is not None
        assert outcome.refusal.code is RefusalCode.BYTES_DIFFER
        assert outcome.refusal.subject == "other"
        assert dict(outcome.refusal.evidence)["bytes there"].startswith("90")
        process.write(module.bias + va, original)
        assert put(target.pid, ledger, patch).kind is OutcomeKind.APPLIED


def test_a_later_hotpatch_of_one_package_supersedes_the_earlier(
    window: str, ledger: Ledger
) -> None:
    with running("idle") as target:
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert put(target.pid, ledger, hotpatch("answer", "other")).kind is OutcomeKind.APPLIED
        assert target.ask() == 2
        with LinuxProcess(target.pid) as process:
            earlier, later = ledger.of(process.identity)
            assert (earlier.state, later.state) == (State.REVERTED, State.APPLIED)
            assert verify(process, later) == []
            assert revert(process, later, ledger, _PATIENT).kind is OutcomeKind.REVERTED
        assert target.ask() == 1


def test_verify_names_the_place_that_was_tampered_with(ledger: Ledger) -> None:
    with running("idle") as target, LinuxProcess(target.pid) as process:
        put(target.pid, ledger)
        (entry,) = ledger.of(process.identity)
        (image,) = entry.images
        process.write(image.payload + 100, b"\x00")
        (found,) = verify(process, entry)
        assert found.code is RefusalCode.BYTES_DIFFER
        assert dict(found.evidence)["address"] == f"{image.payload:#x}"
