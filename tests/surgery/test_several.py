"""Several hotpatches in a process, several surgeons at one, several processes of one number."""

from __future__ import annotations

import array
import itertools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from hotmend.hotpatch.codec import encode
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import RefusalCode
from hotmend.surgery import nativewindow, pyborrow
from hotmend.surgery.ledger import Ledger, State
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.loan import Loan
from hotmend.surgery.publishing import Terms
from hotmend.surgery.revert import revert
from hotmend.surgery.settle import settled
from hotmend.surgery.verify import verify
from surgery.test_apply import free_and_untraced, put
from surgery.workshop import Target, hotpatch, is_root, program, range_of, running

PACKAGES = {
    "one": hotpatch("answer", package="one"),
    "two": hotpatch("other", package="two"),
    "three": hotpatch("hold", package="three"),
}
FUNCTIONS = {"one": "answer", "two": "other", "three": "hold"}
_GETPID = 39
_TERMS = Terms(budget_ms=200.0)


def _take_out(target: Target, ledger: Ledger, package: str) -> Outcome:
    with LinuxProcess(target.pid) as process:
        (entry,) = (e for e in settled(process, ledger, _TERMS) if e.package == package)
        return revert(process, entry, ledger, _TERMS)


def _in_force(target: Target) -> set[str]:
    """The packages whose function begins with a jump."""
    with LinuxProcess(target.pid) as process:
        starts = {p: range_of(process, f).start for p, f in FUNCTIONS.items()}
        return {p for p, start in starts.items() if process.read(start, 1) == b"\xe9"}


@pytest.mark.parametrize("order", list(itertools.permutations(PACKAGES)), ids=" ".join)
def test_packages_are_reverted_in_any_order(order: tuple[str, ...], ledger: Ledger) -> None:
    with running("idle") as target:
        for patch in PACKAGES.values():
            assert put(target.pid, ledger, patch).kind is OutcomeKind.APPLIED
            assert put(target.pid, ledger, patch).kind is OutcomeKind.ALREADY
        left = set(PACKAGES)
        for package in order:
            assert _in_force(target) == left
            assert _take_out(target, ledger, package).kind is OutcomeKind.REVERTED
            left.remove(package)
        assert _in_force(target) == set()
        assert target.ask() == 1


def test_two_packages_do_not_replace_one_function(ledger: Ledger) -> None:
    """The one that is there must be reverted first: what it saved would be wrong for the other."""
    second = hotpatch("answer", "other", package="two")
    with running("idle") as target:
        assert put(target.pid, ledger, PACKAGES["one"]).kind is OutcomeKind.APPLIED
        refused = put(target.pid, ledger, second)
        assert refused.refusal is not None
        assert refused.refusal.code is RefusalCode.BYTES_DIFFER
        assert _in_force(target) == {"one"}
        assert _take_out(target, ledger, "one").kind is OutcomeKind.REVERTED
        assert put(target.pid, ledger, second).kind is OutcomeKind.APPLIED
        with LinuxProcess(target.pid) as process:
            known = ledger.of(process.identity)
            assert {e.state for e in known} == {State.APPLIED, State.REVERTED}
            for entry in known:
                assert verify(process, entry, known) == []
            assert [len(verify(process, entry)) for entry in known] == [1, 0]


_SURGEON = """
import sys
from pathlib import Path
from hotmend.hotpatch.codec import decode
from hotmend.surgery.apply import apply
from hotmend.surgery.errors import SurgeryError
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.loan import Loan
from hotmend.surgery.publishing import Terms
from hotmend.surgery.revert import revert
from hotmend.surgery.settle import Unsettled, settled
pid, file, ledger = int(sys.argv[1]), Path(sys.argv[2]), Ledger(Path(sys.argv[3]))
hotpatch, sha256 = decode(file.read_bytes()), ledger.keep(file.read_bytes())
for _ in range(25):
    try:
        with ledger.locked(), LinuxProcess(pid) as process:
            outcome = apply(process, hotpatch, sha256, ledger, Terms(budget_ms=500))
            code = outcome.refusal.code if outcome.refusal else outcome.kind
            print(code.value, flush=True)
            for entry in settled(process, ledger, Terms()):
                revert(process, entry, ledger, Terms(budget_ms=500))
    except (SurgeryError, Unsettled) as error:
        print(type(error).__name__, flush=True)
"""


@pytest.mark.parametrize("ledgers", ["one ledger", "two ledgers"])
def test_two_surgeons_at_once(ledgers: str, tmp_path: Path) -> None:
    """With one ledger they take turns. Two that do not know of each other (one in a container) get
    in each other's way, and say so; the process runs old or new code."""
    file = tmp_path / "victim.hotpatch"
    file.write_bytes(encode(hotpatch("answer", "other")))
    with running("threads", "4", "call") as target:
        folders = [tmp_path / "a", tmp_path / ("a" if ledgers == "one ledger" else "b")]
        surgeons = [
            subprocess.Popen(
                [sys.executable, "-c", _SURGEON, str(target.pid), str(file), str(state)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for state in folders
        ]
        said = Counter[str]()
        for surgeon in surgeons:
            out, err = surgeon.communicate(timeout=60)
            assert surgeon.returncode == 0, err
            said.update(out.split())
        print(dict(said))
        assert said["applied"] > 5
        if ledgers == "one ledger":
            assert set(said) == {"applied"} and said["applied"] == 50
        assert free_and_untraced(target)
        assert target.ask() in (1, 2)
        ledger = Ledger(tmp_path / "c")
        with LinuxProcess(target.pid) as process:
            for entry in settled(process, ledger, _TERMS):
                revert(process, entry, ledger, _TERMS)
            for entry in settled(process, ledger, _TERMS):
                assert entry.state is State.REVERTED
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert target.ask() == 2


_REUSE = """
import os, subprocess, sys, time
from pathlib import Path
from hotmend.hotpatch.codec import decode
from hotmend.surgery.apply import apply
from hotmend.surgery.errors import ProcessGone
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.linux import LinuxProcess, procfs
from hotmend.surgery.publishing import Terms
program, file, ledger = sys.argv[1], Path(sys.argv[2]), Ledger(Path(sys.argv[3]))
hotpatch, sha256 = decode(file.read_bytes()), ledger.keep(file.read_bytes())

def start():
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process = subprocess.Popen([program], **pipes)
    process.stdout.readline()
    return process

def ask(process):
    print("answer", file=process.stdin, flush=True)
    return int(process.stdout.readline())

first = start()
handle = LinuxProcess(first.pid)
print(apply(handle, hotpatch, sha256, ledger, Terms()).kind.value, ask(first))
first.kill()
first.wait()
time.sleep(0.05)  # the kernel tells when a process started to a hundredth of a second
while True:  # the next process gets the number that was the first one's
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(first.pid - 1))
    second = start()
    if second.pid == first.pid:
        break
    second.kill()
    second.wait()
print("same number", ask(second))
print("is it the first?", procfs.lives(handle.identity), handle.alive())
for work in (handle.maps, lambda: handle.read(4096, 1), lambda: handle.write(4096, b"x")):
    try:
        work()
        print("done")
    except ProcessGone:
        print("gone")
with LinuxProcess(second.pid) as process:
    print("remembered", len(ledger.of(process.identity)))
    print(apply(process, hotpatch, sha256, ledger, Terms()).kind.value, ask(second))
second.kill()
"""


def test_a_thread_is_borrowed_from_the_process_that_is_meant_only(window: str) -> None:
    call = nativewindow.call if window == "c" else pyborrow.call
    with running("idle") as target, LinuxProcess(target.pid) as process:
        ground = process._ground()
        started = process.identity.start_time
        tids = array.array("i", [target.pid]).tobytes()
        site = ground.site.address
        for who, at, ending in (
            ((target.pid, started + 1), site, Loan.ENDED),
            ((os.getpid(), started), site, Loan.ENDED),
            ((target.pid, started), 4096, Loan.ENDED),  # nothing is there: it called exec
            ((target.pid, started), site + 1, Loan.ENDED),
            ((target.pid, started), site, Loan.CALLED),
        ):
            answer = call(who, tids, False, 10**9, at, 0, b"", _GETPID, (0,) * 6)
            assert answer[0] == ending
            assert target.ask() == 1
        assert answer[1] == target.pid


@pytest.mark.skipif(not is_root(), reason="only root may choose the next pid")
def test_a_process_with_the_number_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    file = tmp_path / "victim.hotpatch"
    file.write_bytes(encode(PACKAGES["one"]))
    words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c"]
    words += [_REUSE, str(program("idle")), str(file), str(tmp_path / "state")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "applied 2",
        "same number 1",
        "is it the first? False False",
        *["gone"] * 3,
        "remembered 0",
        "applied 2",
    ], done.stdout + done.stderr
