"""The signed policy at work in the agent: what is refused says so in the run, with its code."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.fakes import FakeMachine
from agent.test_agent import SECURITY, ended, install
from hotmend.agent.journal import Journal
from hotmend.model.agent_messages import (
    InstallationState,
    Order,
    RebootSetting,
    RebootStatus,
    RunKind,
    RunStatus,
)
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.release.policy import parse

POLICY = parse(
    json.dumps(
        {
            "rings": [{"name": "canary", "percent": 1}, {"name": "all", "percent": 99}],
            "largest_batch": 10,
            "windows": [{"opens": "22:00", "closes": "06:00"}],
            "minimum_soak_minutes": 60,
            "orders_per_day": 2,
        }
    )
)
NIGHT = datetime(2026, 11, 23, 23, 0, tzinfo=UTC)
HOUR = 3600.0


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    found = FakeMachine(tmp_path, now=NIGHT.timestamp())
    found.around.known = POLICY
    found.around.ring = "all"
    _release(found, NIGHT - timedelta(hours=1))
    return found


def _release(machine: FakeMachine, released: datetime) -> None:
    machine.around.updates = tuple(
        replace(one, released=released) for one in machine.around.updates
    )


def _order(number: int, kind: RunKind = RunKind.INSTALL) -> Order:
    return Order(f"order-{number}", kind, SECURITY, 2 * HOUR)


def test_within_the_policy_an_order_is_carried_out(machine: FakeMachine) -> None:
    machine.link.orders_waiting = [install(RebootSetting.ALWAYS)]
    machine.settle(machine.agent())
    assert machine.surgery.applied == [10, 11] and machine.hands.restarts == 1


@pytest.mark.parametrize("kind", [RunKind.INSTALL, RunKind.RESTART])
@pytest.mark.parametrize("zone", ["Etc/UTC", "Europe/Berlin"])
def test_outside_its_window_nothing_is_changed_or_restarted(
    machine: FakeMachine, kind: RunKind, zone: str
) -> None:
    machine.around.zone = zone
    machine.now += 7 * HOUR
    machine.link.orders_waiting = [_order(1, kind)]
    machine.settle(machine.agent())
    (run,) = ended(machine, kind)
    assert run.status is RunStatus.FAILED
    assert run.problem.startswith("outside-window: Tue 0") and zone in run.problem
    assert not machine.surgery.applied and not machine.hands.restarts


def test_an_assessment_changes_nothing_and_is_made_at_any_time(machine: FakeMachine) -> None:
    machine.now += 12 * HOUR
    machine.link.orders_waiting = [Order("order-1", RunKind.ASSESS)]
    machine.settle(machine.agent())
    assert ended(machine, RunKind.ASSESS)[0].status is RunStatus.SUCCEEDED


def test_a_release_that_is_too_young_for_the_ring_waits(machine: FakeMachine) -> None:
    _release(machine, NIGHT - timedelta(minutes=59))
    machine.link.orders_waiting = [_order(1)]
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.INSTALL)
    assert run.status is RunStatus.FAILED and run.installation is not None
    for patch in run.installation.patches:
        assert patch.state is InstallationState.FAILED
        assert patch.because.startswith("ring-not-reached: this machine is in ring all")
    assert not machine.surgery.applied and not machine.hands.installed
    machine.around.ring = "canary"
    machine.link.orders_waiting = [_order(2)]
    machine.settle(machine.agent())
    assert machine.surgery.applied == [10, 11], "the first ring does not wait"


def test_a_machine_does_no_more_than_so_many_orders_in_a_day(machine: FakeMachine) -> None:
    machine.link.orders_waiting = [_order(number) for number in range(4)]
    agent = machine.agent()
    machine.settle(agent)
    runs = ended(machine, RunKind.INSTALL)
    assert [run.status for run in runs] == [RunStatus.SUCCEEDED] * 2 + [RunStatus.FAILED] * 2
    assert all(run.problem.startswith("too-many-orders: ") for run in runs[2:])
    machine.now += 24 * HOUR + 1
    machine.link.orders_waiting = [_order(9)]
    machine.settle(machine.agent())
    assert ended(machine, RunKind.INSTALL)[-1].status is RunStatus.SUCCEEDED


def test_a_window_that_closes_meanwhile_stops_the_next_step(machine: FakeMachine) -> None:
    apply = machine.surgery.apply

    def slow(data: bytes, pids: object = ()) -> object:
        machine.now += 7 * HOUR
        return apply(data)

    machine.surgery.apply = slow  # type: ignore[method-assign, assignment]
    order = replace(_order(1), maximum_s=24 * HOUR, reboot=RebootSetting.ALWAYS)
    machine.link.orders_waiting = [order]
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.INSTALL)
    assert run.installation is not None
    states = {p.article: (p.state, p.because[:14]) for p in run.installation.patches}
    assert states["nginx=2+hotpatch"] == (InstallationState.INSTALLED, "")
    assert states["nginx=2"] == (InstallationState.FAILED, "outside-window")
    assert not machine.hands.installed and not machine.hands.restarts
    assert run.problem.startswith("no restart: outside-window: ")


def test_a_restart_that_is_not_allowed_stays_required(machine: FakeMachine) -> None:
    """All was installed, and then the window closed."""
    machine.around.pending = True
    last = machine.hands.install

    def slow(name: str, version: str) -> None:
        last(name, version)
        machine.now += 7 * HOUR

    machine.hands.install = slow  # type: ignore[method-assign]
    order = replace(_order(1), maximum_s=24 * HOUR, reboot=RebootSetting.IF_REQUIRED)
    machine.link.orders_waiting = [order]
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.INSTALL)
    assert run.status is RunStatus.COMPLETED_WITH_WARNINGS and run.installation is not None
    assert run.installation.reboot is RebootStatus.REQUIRED and not machine.hands.restarts


def test_a_policy_that_cannot_be_read_allows_nothing(machine: FakeMachine) -> None:
    machine.around.known = Refusal(RefusalCode.POLICY_UNREADABLE, "the mirror is away")
    machine.link.orders_waiting = [_order(1), _order(2, RunKind.RESTART)]
    machine.settle(machine.agent())
    runs = ended(machine, RunKind.INSTALL) + ended(machine, RunKind.RESTART)
    assert [run.problem for run in runs] == ["policy-unreadable: the mirror is away"] * 2
    assert not machine.surgery.applied and not machine.hands.restarts


def test_an_order_without_a_name_is_none(tmp_path: Path) -> None:
    """It could never be known to have ended, and would be carried out for ever."""
    journal = Journal(tmp_path / "journal.sqlite")
    assert not journal.take(Order("", RunKind.RESTART)) and not journal.waiting()
    assert journal.take(Order("order-1", RunKind.RESTART)) and journal.waiting()
    journal.close()
