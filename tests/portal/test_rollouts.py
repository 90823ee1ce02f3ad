"""A rollout's board: what it says of machines that are healthy and not done."""

from __future__ import annotations

import re

from hotmend.server.identity import sessions
from hotmend.server.storage import rollouts
from portal import browser, pages
from server.conftest import Plane


def text(fleet: Plane, path: str) -> str:
    cookie = {"Cookie": f"{sessions.COOKIE}={browser.session_of(fleet)}"}
    return fleet.pool.request("GET", fleet.base + path, headers=cookie).data.decode()


def test_healthy_machines_that_wait_for_a_restart_are_said_to(fleet: Plane) -> None:
    known = pages.rollout(fleet)
    with fleet.control.database.reading() as connection:
        numbers = rollouts.waiting_for_restart(connection, known)
    assert sum(numbers.values()) > 0
    path = f"/portal/rollouts/{known}"
    shown = re.findall(r"([\d,]+) to restart<", text(fleet, path))
    assert [int(number.replace(",", "")) for number in shown] == [
        numbers[phase] for phase in sorted(numbers)
    ]
    word = "old code runs until it is restarted"
    assert word in text(fleet, f"{path}?state=healthy")
    assert word not in text(fleet, f"{path}?state=waiting")
