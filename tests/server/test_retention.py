"""How long the server keeps what: assessments a week, installations a month, the log for ever."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from hotmend.model.agent_messages import Installation, RebootStatus, Run, RunKind, RunStatus
from hotmend.server.storage import audit, runs
from server.conftest import Plane
from server.machine import PATCH, Machine, enrolled

DAY = 86400.0


@pytest.fixture
def machine(plane: Plane, tmp_path: Path) -> Machine:
    made = enrolled(plane, f"m{uuid.uuid4().hex[:8]}", tmp_path)
    now = time.time()
    assert made.report(made.assessed(str(uuid.uuid4()), PATCH)).accepted
    for kind in (RunKind.INSTALL, RunKind.RESTART):
        run = Run(str(uuid.uuid4()), kind, now, RunStatus.SUCCEEDED, now)
        if kind is RunKind.INSTALL:
            run = replace(run, installation=Installation((), RebootStatus.NOT_NEEDED))
        assert made.report(run).accepted
    return made


def shown(plane: Plane, machine: Machine) -> list[str]:
    path = machine.resource.replace("Microsoft.Compute/virtualMachines", "Hotmend.Fleet/machines")
    return sorted(run["operation"] for run in plane.call("GET", f"{path}/history").body["value"])


def tidied(plane: Plane, ahead: float) -> None:
    now = time.time() + ahead
    plane.control.database.write(lambda c: runs.forget_old(c, now))


def test_assessments_go_after_a_week_and_installations_after_a_month(
    plane: Plane, machine: Machine
) -> None:
    with plane.control.database.reading() as connection:
        before = audit.head(connection)
    tidied(plane, 7 * DAY - 60)
    assert shown(plane, machine) == ["assess", "install", "restart"]
    tidied(plane, 7 * DAY + 60)
    assert shown(plane, machine) == ["install", "restart"]
    tidied(plane, 30 * DAY - 60)
    assert shown(plane, machine) == ["install", "restart"]
    tidied(plane, 30 * DAY + 60)
    assert shown(plane, machine) == []
    with plane.control.database.reading() as connection:
        assert audit.head(connection) == before and audit.problem(connection) == ""


def test_history_is_shown_for_a_month_even_before_it_is_tidied(
    plane: Plane, machine: Machine
) -> None:
    plane.clock.ahead = 30 * DAY + 60
    try:
        plane.token = plane.control.tokens.issue(plane.client, plane.clock())
        assert shown(plane, machine) == []
    finally:
        plane.clock.ahead = 0.0
        plane.token = plane.control.tokens.issue(plane.client, plane.clock())
    assert shown(plane, machine) == ["assess", "install", "restart"]


def test_an_order_that_nobody_came_for_is_dropped_in_the_end(
    plane: Plane, machine: Machine
) -> None:
    assert plane.call("POST", f"{machine.resource}/restart").status == 202
    (order,) = machine.poll().orders
    tidied(plane, 30 * DAY - 60)
    assert machine.poll().orders == (order,)
    tidied(plane, 30 * DAY + 60)
    assert machine.poll().orders == ()
