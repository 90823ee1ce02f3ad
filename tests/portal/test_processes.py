"""The grid of processes believes whoever spoke last."""

from __future__ import annotations

import pytest

from hotmend.model.agent_messages import (
    Assessment,
    AvailablePatch,
    Installation,
    InstallationState,
    Order,
    PatchResult,
    ProcessResult,
    RebootStatus,
    Run,
    RunKind,
    RunStatus,
)
from hotmend.server.portal.processes import grid
from hotmend.server.storage.runs import Kept

NAME = "nginx 1.22.1-9+deb12u11 into running processes"


def kept(kind: RunKind, ended: float, **found: object) -> Kept:
    run = Run("r", kind, ended - 1, RunStatus.SUCCEEDED, ended, **found)  # type: ignore[arg-type]
    order = Order("r", kind)
    return Kept("r", "m", kind, "User", "", order, ended - 1, ended, RunStatus.SUCCEEDED, run)


def assessed(ended: float, *outdated: int) -> Kept:
    patch = AvailablePatch(
        "nginx=1", NAME, "1", "Security", "NeverReboots", True, outdated=outdated
    )
    found = Assessment(False, (patch,) if outdated else (), (), 0, ())
    return kept(RunKind.ASSESS, ended, assessment=found)


def installed(ended: float, outcome: str) -> Kept:
    process = ProcessResult(17, "nginx", outcome, 0.4)
    state = InstallationState.INSTALLED
    patch = PatchResult("nginx=1", NAME, "1", "Security", state, processes=(process,))
    done = Installation((patch,), RebootStatus.NOT_NEEDED)
    return kept(RunKind.INSTALL, ended, installation=done)


@pytest.mark.parametrize(
    ("known", "state"),
    [
        ([assessed(10, 17), installed(20, "applied")], "applied"),
        ([installed(10, "applied"), assessed(20, 17)], "outdated"),
        ([installed(10, "applied"), assessed(20)], "applied"),
        ([installed(20, "reverted"), installed(10, "applied")], "reverted"),
    ],
)
def test_the_later_word_is_believed(known: list[Kept], state: str) -> None:
    lines = grid(known).lines
    assert [(line.pid, line.command) for line in lines] == [(17, "nginx")]
    assert [cell.state for cell in lines[0].cells.values()] == [state]


def test_a_process_that_has_ended_is_not_listed_but_its_pid_may_come_again() -> None:
    assert grid([assessed(10, 17), installed(20, "gone")]).lines == ()
    again = grid([installed(20, "gone"), assessed(30, 17)]).lines
    assert [(line.pid, line.command) for line in again] == [(17, "")]


def test_why_a_process_is_not_live_is_always_said() -> None:
    """By its machine, where it was tried."""
    old = AvailablePatch(
        "nginx=1", "nginx 1", "1", "Security", "CanRequestReboot", False, outdated=(5,)
    )
    tried = kept(
        RunKind.INSTALL,
        10,
        installation=Installation(
            (
                PatchResult(
                    *("nginx=1", NAME, "1", "Security", InstallationState.FAILED),
                    processes=(ProcessResult(17, "nginx", "refused", None, "BYTES_DIFFER"),),
                ),
            ),
            RebootStatus.NOT_NEEDED,
        ),
    )
    disk = kept(RunKind.ASSESS, 10, assessment=Assessment(False, (old,), (), 0, ()))
    for known, because in (
        ([assessed(10, 17)], "not-installed"),
        ([disk], "no-hotpatch"),
        ([tried, assessed(20, 17)], "BYTES_DIFFER"),
        ([installed(20, "applied")], ""),
    ):
        (line,) = grid(known).lines
        assert [cell.because for cell in line.cells.values()] == [because]
