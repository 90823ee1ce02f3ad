"""Hotpatches taken out of memory by an order, on a machine where nothing is real."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.fakes import DATA, FakeMachine
from hotmend.agent.agent import ASSESS_EVERY_S
from hotmend.model.agent_messages import (
    InstallationState,
    Order,
    PatchResult,
    Run,
    RunKind,
    RunStatus,
    Selection,
)

LIVE = "nginx=2+hotpatch"


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    """With the hotpatch in memory."""
    made = FakeMachine(tmp_path)
    made.link.orders_waiting = [Order("first", RunKind.INSTALL, Selection(("Security",)), 7200.0)]
    made.settle(made.agent())
    assert made.surgery.processes == {10: True, 11: True} and made.live == [DATA]
    return made


def reverted(machine: FakeMachine, *articles: str) -> tuple[Run, dict[str, PatchResult]]:
    order = Order("undo", RunKind.REVERT, Selection(include=articles))
    machine.link.orders_waiting = [order]
    machine.settle(machine.agent())
    runs = [report.run for report in machine.link.heard if report.run is not None]
    run = [run for run in runs if run.kind is RunKind.REVERT and run.finished is not None][-1]
    assert run.installation is not None
    return run, {patch.article: patch for patch in run.installation.patches}


def test_what_is_named_goes_out_of_every_process_and_the_disk_stays(machine: FakeMachine) -> None:
    run, patches = reverted(machine, LIVE)
    assert run.status is RunStatus.SUCCEEDED
    assert machine.surgery.processes == {10: False, 11: False}
    assert patches[LIVE].state is InstallationState.PENDING
    assert [(p.pid, p.kind) for p in patches[LIVE].processes] == [
        (10, "reverted"),
        (11, "reverted"),
    ]
    assert machine.live == [], "new processes do not get it any more"
    assert machine.hands.installed == ["nginx=2"]


def test_twice_is_once(machine: FakeMachine) -> None:
    reverted(machine, LIVE)
    again, patches = reverted(machine, LIVE)
    assert (again.status, patches[LIVE].processes) != (RunStatus.FAILED, ())
    assert machine.surgery.processes == {10: False, 11: False}


def test_what_is_not_named_or_not_known_stays_as_it_is(machine: FakeMachine) -> None:
    run, patches = reverted(machine, "other=3+hotpatch", "nginx=2")
    assert run.status is RunStatus.FAILED
    assert {patch.state for patch in patches.values()} == {InstallationState.FAILED}
    assert machine.surgery.processes == {10: True, 11: True}


def test_a_process_that_keeps_it_is_a_failure(machine: FakeMachine) -> None:
    machine.surgery.stubborn = {11}
    run, patches = reverted(machine, LIVE)
    assert run.status is RunStatus.FAILED
    assert patches[LIVE].because.startswith("1 of 2 processes still have it")
    assert machine.surgery.processes == {10: False, 11: True}


def test_what_one_process_keeps_is_not_put_into_the_others_again(machine: FakeMachine) -> None:
    """Until somebody installs it again; also by the agent that comes up next."""
    machine.surgery.stubborn = {11}
    reverted(machine, LIVE)
    assert machine.surgery.processes == {10: False, 11: True}
    assert machine.live == []
    machine.now += ASSESS_EVERY_S
    machine.settle(machine.agent())
    assert machine.live == []
    machine.surgery.stubborn = set()
    machine.link.orders_waiting = [
        Order("again", RunKind.INSTALL, Selection(("Security",)), 7200.0)
    ]
    machine.settle(machine.agent())
    assert machine.surgery.processes == {10: True, 11: True} and machine.live == [DATA]
