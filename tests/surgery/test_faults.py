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
        tally.worst = [line for line in tally.worst if "apply, ptrace 11, KILL" not in line]
    _harmless(tally, 8)


@pytest.mark.parametrize("target", faults.TARGETS if _FULL else ["idle"])
def test_when_a_call_fails_the_target_runs_on_old_or_new(target: str) -> None:
    calls = faults.CALLS if _FULL else ("pwrite64", "rename")
    tally = faults.sweep(target, calls, 1, faults.ERRORS if _FULL else ("EIO", "ENOSPC"))
    _harmless(tally, 8)
