"""Processes that make it hard: each is patched rightly, or left alone with the reason."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hotmend.hotpatch.codec import encode
from hotmend.model.outcome import OutcomeKind
from hotmend.model.refusal import RefusalCode
from hotmend.surgery.errors import SurgeryError
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.publishing import Terms
from surgery.test_apply import free_and_untraced, put, take
from surgery.workshop import (
    as_nobody,
    eventually,
    folder,
    hotpatch,
    is_root,
    library,
    program,
    running,
)

root_only = pytest.mark.skipif(not is_root(), reason="only root may")


def test_a_coroutine_that_sleeps_in_replaced_code_goes_on(window: str, ledger: Ledger) -> None:
    """No stack of a thread shows it. It sleeps in the old code, which stays where it is; then in
    the new one, which stays mapped after a revert."""
    patch = hotpatch("call_back")
    with running("coroutines") as target:
        assert put(target.pid, ledger, patch).kind is OutcomeKind.APPLIED
        assert target.ask("resume") == 107
        assert free_and_untraced(target)


def test_jumps_out_of_replaced_code_go_on(window: str, ledger: Ledger) -> None:
    patch = hotpatch("call_back")
    with running("jumps") as target:
        for _ in range(5):
            assert put(target.pid, ledger, patch).kind is OutcomeKind.APPLIED
            assert take(target.pid, ledger).kind is OutcomeKind.REVERTED
        before = target.ask("jumps")
        assert eventually(lambda: target.ask("jumps") > before + 1000)
        assert free_and_untraced(target)


def test_callers_without_unwind_tables_are_scanned(window: str, ledger: Ledger) -> None:
    with running("jit") as target:
        for _ in range(5):
            assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
            assert target.ask() == 2
            assert take(target.pid, ledger).kind is OutcomeKind.REVERTED
        assert target.ask("sum") == 0


def test_a_library_that_is_opened_late_closed_and_opened_elsewhere(
    window: str, ledger: Ledger
) -> None:
    with running("reopened", str(library())) as target:
        assert put(target.pid, ledger).kind is OutcomeKind.NOT_MAPPED
        for _ in range(3):
            target.ask("open")
            assert target.ask("call") == 1
            assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
            assert target.ask("call") == 2
            target.ask("close")
            assert put(target.pid, ledger).kind is OutcomeKind.NOT_MAPPED
        target.ask("open")
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert take(target.pid, ledger).kind is OutcomeKind.REVERTED
        assert target.ask("call") == 1


def test_nothing_below_the_stack_pointer_is_touched(window: str, ledger: Ledger) -> None:
    with running("red_zone") as target:
        for _ in range(10):
            assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
            assert take(target.pid, ledger).kind is OutcomeKind.REVERTED
        time.sleep(0.05)
        assert target.ask("broken") == 0


@root_only
def test_a_process_that_may_not_be_dumped_is_patched(window: str, ledger: Ledger) -> None:
    with running("nondumpable", user=65534) as target:
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert target.ask() == 2
        assert take(target.pid, ledger).kind is OutcomeKind.REVERTED


@root_only
def test_a_set_user_id_program_is_patched_by_root_only(
    window: str, ledger: Ledger, tmp_path: Path
) -> None:
    path = folder() / "setuid-root"
    path.write_bytes(program("setuid").read_bytes())
    path.chmod(0o4755)
    with running("setuid", user=65534, path=path) as target:
        said = as_nobody(lambda: _attempt(target.pid))
        assert said == "NotPermitted"
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert target.ask() == 2
        assert take(target.pid, ledger).kind is OutcomeKind.REVERTED


def _attempt(pid: int) -> str:
    try:
        with LinuxProcess(pid):
            return "opened"
    except SurgeryError as error:
        return type(error).__name__


@pytest.mark.parametrize("how", ["vfork", "clone"])
def test_memory_that_another_process_runs_in_is_left_alone(
    how: str, window: str, ledger: Ledger
) -> None:
    brief = Terms(patience_s=0.1)
    with running("sharing", how) as target:
        child = target.ask("child")
        for pid in (target.pid, child):
            outcome = put(pid, ledger, terms=brief)
            assert outcome.kind is not OutcomeKind.APPLIED, outcome
            assert target.ask() == 1
        assert outcome.blocked is not None
        assert outcome.blocked.function.startswith(f"process {target.pid} runs in the same memory")
        target.ask("free")
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert target.ask() == 2


def test_where_everything_within_reach_is_taken_there_is_no_room(ledger: Ledger) -> None:
    with running("crowded") as target:
        outcome = put(target.pid, ledger)
        assert outcome.refusal is not None
        assert outcome.refusal.code is RefusalCode.NO_ROOM_NEARBY
        assert target.ask() == 1


@root_only
def test_process_1_is_patched_on_request(tmp_path: Path) -> None:
    """In a PID namespace of its own, which the command enters."""
    file = tmp_path / "victim.hotpatch"
    file.write_bytes(encode(hotpatch("answer")))
    outer = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", str(program("idle"))]
    with subprocess.Popen(
        outer, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "1\n"
        inside = ["nsenter", "--target", str(_innermost(process.pid)), "--pid", "--mount"]
        words = [*inside, sys.executable, "-m", "hotmend.cli.main", "apply", str(file)]
        environment = os.environ | {"HOTMEND_STATE": str(tmp_path / "state")}
        for more, said, answer in (
            (("--pid", "1"), "process-is-init", 1),
            (("--all",), "nothing to do", 1),
            (("--all", "--include-init"), "1  applied", 2),
        ):
            done = subprocess.run([*words, *more], env=environment, capture_output=True, text=True)
            assert said in done.stdout, done
            process.stdin.write("answer\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{answer}\n"
        process.stdin.close()


def _chroot(root: Path) -> list[str]:
    """A root with nothing but the program and its libraries; how to start it there."""
    binary = program("idle")
    needed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True)
    files = {word for word in needed.stdout.split() if word.startswith("/")}
    for file in {*files, str(binary), str(library())}:
        place = root / file.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(Path(file).read_bytes())
        place.chmod(0o755)
    return ["chroot", str(root), str(binary)]


_PLACES = {
    "mount namespace": ["unshare", "--mount"],
    "user namespace": ["unshare", "--user", "--map-root-user"],
    "pid namespace": ["unshare", "--pid", "--fork", "--kill-child"],
    "network and IPC namespaces": ["unshare", "--net", "--ipc", "--uts"],
}


@root_only
@pytest.mark.parametrize("place", [*_PLACES, "chroot"])
def test_a_process_somewhere_else_is_found_by_what_it_maps(
    place: str, ledger: Ledger, tmp_path: Path
) -> None:
    words = _chroot(tmp_path) if place == "chroot" else [*_PLACES[place], str(program("idle"))]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.readline(), f"{words} does not start here"
            pid = _innermost(process.pid)
            assert put(pid, ledger).kind is OutcomeKind.APPLIED
            process.stdin.write("answer\n")
            process.stdin.flush()
            assert process.stdout.readline() == "2\n"
            assert take(pid, ledger).kind is OutcomeKind.REVERTED
        finally:
            os.kill(_innermost(process.pid), 9)
            process.kill()


def _innermost(pid: int) -> int:
    """The program that unshare or chroot became, or has as a child."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return _innermost(int(children[0])) if children else pid
