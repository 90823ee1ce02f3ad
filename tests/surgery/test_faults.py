"""kill -9 and failing system calls at the steps of apply and revert: a slice of
``scripts/bench faults``; all of it with HOTMEND_FULL=1."""

from __future__ import annotations

import os
import shutil

import pytest

import faults
from surgery.workshop import is_root

_FULL = os.environ.get("HOTMEND_FULL") == "1"
pytestmark = [
    pytest.mark.skipif(not is_root(), reason="only root has a surgeon with all its parts"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace injects the faults"),
]


def _harmless(tally: faults.Tally, least: int) -> None:
    assert not tally.worst, "\n".join(tally.worst)
    assert tally.runs["old"] + tally.runs["new"] >= least
    assert tally.runs["old"] and tally.runs["new"]


@pytest.mark.parametrize("target", faults.TARGETS if _FULL else ["in system calls"])
def test_killed_at_any_step_the_target_runs_on_old_or_new(target: str) -> None:
    calls = faults.CALLS if _FULL else ("pwrite64", "rename", "recvmsg")
    tally = faults.sweep(target, calls, 3 if _FULL else 1, ("KILL",))
    if target == "strict seccomp":
        # One step is left where a filter forbids mmap: docs/adr/0007.
        tally.worst = [line for line in tally.worst if "apply, ptrace 12, KILL" not in line]
    _harmless(tally, 8)


@pytest.mark.parametrize("target", faults.TARGETS if _FULL else ["idle"])
def test_when_a_call_fails_the_target_runs_on_old_or_new(target: str) -> None:
    calls = faults.CALLS if _FULL else ("pwrite64", "rename")
    tally = faults.sweep(target, calls, 1, faults.ERRORS if _FULL else ("EIO", "ENOSPC"))
    _harmless(tally, 8)


def test_a_thread_without_a_filter_is_borrowed_before_one_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed between the change of a call's number and its start, a lender leaves a thread that
    makes the call: with a filter that forbids it, to its death (docs/adr/0007)."""
    monkeypatch.setitem(faults.TARGETS, "a thread with a filter", ("seccomp_thread",))
    tally = faults.Tally()
    with faults.theatre() as room:
        for k in range(9, 14):
            room.try_out("apply", "a thread with a filter", "ptrace", k, "KILL", tally)
    assert not tally.worst, "\n".join(tally.worst)
    assert tally.runs["old"] + tally.runs["new"] == 5
