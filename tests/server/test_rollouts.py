"""Rollouts through the API: begun by a release, watched and steered by people; both databases."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hotmend.model.agent_messages import (
    Assessment,
    Health,
    Installation,
    Order,
    RebootStatus,
    Run,
    RunKind,
    RunStatus,
)
from hotmend.release import draft
from hotmend.release.classification import Classification
from hotmend.release.draft import Draft
from hotmend.release.parity import Update
from hotmend.release.release import Month
from hotmend.server.identity.roles import Role
from server import repository
from server.conftest import Plane, new_database, serving
from server.machine import Machine, enrolled

FLEET = "providers/Hotmend.Fleet"
SETTINGS = f"{FLEET}/rolloutSettings/default"
QUICK = {"canary_bake_s": 0, "soak_s": 5, "signal_max_age_s": 5}
UPDATE = Update("libxml2", "1", "2", Classification.SECURITY, ("CVE-1",), True, "x.hotpatch")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def own_plane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Plane]:
    """Of its own, with a database of its own: rollouts concern every machine there is."""
    url = ""
    if request.param == "postgresql":
        url = new_database(request.getfixturevalue("cluster"))
    with serving(tmp_path_factory.mktemp("rollouts"), url) as made:
        yield made


def publish(plane: Plane, name: str, update: Update = UPDATE) -> None:
    text = draft.encode(Draft(f"{name} for tests", Month.parse(name), (update,)))
    repository.publish(plane.control.folder.repository, {f"{name}-release.json": text.encode()})


def rollouts(plane: Plane) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plane.call("GET", f"{FLEET}/rollouts").body["value"]
    return found


def one(plane: Plane, name: str) -> dict[str, Any]:
    (known,) = [r for r in rollouts(plane) if r["name"] == f"{name}-release.json"]
    path = f"{FLEET}/rollouts/{known['id']}"
    shown: dict[str, Any] = plane.call("GET", path).body
    return shown


def far_from_now() -> dict[str, Any]:
    """Settings whose window is a minute half a day away: whatever begins, waits."""
    opens = datetime.now(UTC) + timedelta(hours=12)
    closes = opens + timedelta(minutes=1)
    return {"window_opens": f"{opens:%H:%M}", "window_closes": f"{closes:%H:%M}"}


def open_now() -> dict[str, Any]:
    """Settings whose window is shut for that minute alone."""
    far = far_from_now()
    return {"window_opens": far["window_closes"], "window_closes": far["window_opens"]}


def eventually(question: Any, seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, question
        time.sleep(0.1)
    return answer


def ordered(machine: Machine) -> Order:
    """The installation that it is told to begin."""
    (order,) = eventually(lambda: machine.poll(1.0).orders)
    assert order.kind is RunKind.INSTALL
    return order


def done(machine: Machine, order: Order, status: RunStatus = RunStatus.SUCCEEDED) -> None:
    now = time.time()
    installation = Installation((), RebootStatus.NOT_NEEDED)
    run = Run(order.id, RunKind.INSTALL, now, status, now, installation=installation)
    assert machine.report(run).accepted


def well(machine: Machine) -> None:
    assert machine.report(health=Health(time.time(), verified=time.time())).accepted


def test_a_release_is_rolled_out_machine_by_machine(own_plane: Plane, tmp_path: Path) -> None:
    plane = own_plane
    assert plane.call("PUT", SETTINGS, open_now() | QUICK).status == 200
    machines = [enrolled(plane, f"one{n}", tmp_path) for n in range(3)]
    publish(plane, "2026-11")
    began = eventually(lambda: [r for r in rollouts(plane) if r["name"].startswith("2026-11")])[0]
    assert (began["state"], began["machines"], began["phase"]) == ("running", 3, 0)

    def told() -> list[tuple[Machine, Order]]:
        """They are of one region, outside any set, and fewer than five: one at a time."""
        found = [(m, order) for m in machines for order in m.poll().orders]
        assert len(found) <= 1
        return found

    told_before: set[str] = set()
    for _ in machines:
        ((machine, order),) = eventually(told)
        assert machine.name not in told_before
        told_before.add(machine.name)
        assert order.selection.only_without_reboot and order.until is not None
        left = [m.name for m in machines if m.name not in told_before]
        for name in left[:1]:
            path = f"resourceGroups/fleet/{FLEET}/machines/{name}/waiting"
            assert plane.call("GET", path).body["code"] in ("group-budget", "phase-not-open")
        done(machine, order)
        healthy = len(told_before)

        def proven(machine: Machine = machine, wanted: int = healthy) -> bool:
            well(machine)
            return sum(p["healthy"] for p in one(plane, "2026-11")["phases"]) == wanted

        eventually(proven)
    ended = eventually(lambda: (r := one(plane, "2026-11"))["state"] == "finished" and r)
    turns = plane.call("GET", f"{FLEET}/rollouts/{ended['id']}/turns").body["value"]
    assert [turn["state"] for turn in turns] == ["healthy"] * 3
    assert to_restart(plane, "2026-11") == (0, [])
    assessed(machines[1], Assessment(True, ()))
    assert to_restart(plane, "2026-11") == (1, [machines[1].identifier]), "healthy, and not done"
    assessed(machines[1], Assessment(False, ()))
    assert to_restart(plane, "2026-11") == (0, [])


def assessed(machine: Machine, found: Assessment) -> None:
    now = time.time()
    run = Run(str(uuid.uuid4()), RunKind.ASSESS, now, RunStatus.SUCCEEDED, now, found)
    assert machine.report(run).accepted


def to_restart(plane: Plane, name: str) -> tuple[int, list[str]]:
    """How many machines the rollout says wait for a restart, and which."""
    known = one(plane, name)
    turns = plane.call("GET", f"{FLEET}/rollouts/{known['id']}/turns").body["value"]
    number = sum(phase["restartRequired"] for phase in known["phases"])
    return number, [turn["machine"] for turn in turns if turn["restartRequired"]]


def test_people_pause_resume_halt_exclude_and_cancel(own_plane: Plane, tmp_path: Path) -> None:
    plane = own_plane
    assert plane.call("PUT", SETTINGS, far_from_now()).status == 200
    machine = enrolled(plane, "two", tmp_path)
    enrolled(plane, "three", tmp_path)  # without it the rollout ends when the other is excluded
    publish(plane, "2026-12")
    began = eventually(lambda: [r for r in rollouts(plane) if r["name"].startswith("2026-12")])[0]
    path = f"{FLEET}/rollouts/{began['id']}"
    operator, other = plane.token_for(Role.OPERATOR), plane.token_for(Role.APPROVER)

    def act(name: str, token: str, body: dict[str, str] | None = None) -> Any:
        return plane.call("POST", f"{path}/{name}", body or {}, token=token)

    assert act("pause", operator, {"because": "holiday"}).body["state"] == "paused"
    assert act("pause", operator).status == 409
    assert act("resume", operator).status == 403
    assert act("resume", other).body["state"] == "running"
    assert act("halt", operator).body["state"] == "halted"
    assert act("resume", other).body["state"] == "halted", "one person is not enough"
    assert act("resume", other).body["state"] == "halted", "nor the same one twice"
    assert act("resume", plane.token).body["state"] == "running"
    assert act("exclude", operator, {"machine": machine.identifier}).status == 200
    assert act("exclude", operator, {"machine": machine.identifier}).status == 409
    assert act("cancel", other).body["state"] == "cancelled"
    assert act("resume", other).status == 409
    unknown = plane.call("POST", f"{FLEET}/rollouts/nothing/pause", {})
    assert (unknown.status, unknown.body["error"]["code"]) == (404, "RolloutNotFound")


def test_a_release_without_security_content_begins_nothing(own_plane: Plane) -> None:
    publish(own_plane, "2027-01", replace(UPDATE, classification=Classification.OTHER))
    publish(own_plane, "2027-02")
    eventually(lambda: [r for r in rollouts(own_plane) if r["name"].startswith("2027-02")])
    assert not [r for r in rollouts(own_plane) if r["name"].startswith("2027-01")]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"soak_s": -1}, "soak_s"),
        ({"window_opens": "25:00"}, "window_opens"),
        ({"nonsense": 1}, "nonsense"),
        ({"window_opens": "06:00", "window_closes": "06:00"}, "same time"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(
    own_plane: Plane, settings: dict[str, Any], word: str
) -> None:
    path = SETTINGS
    before = own_plane.call("GET", path).body
    answer = own_plane.call("PUT", path, settings)
    assert answer.status == 400 and word in answer.body["error"]["message"]
    assert own_plane.call("GET", path).body == before


def put_policy(plane: Plane, text: str) -> None:
    repository.publish(plane.control.folder.repository, {"policy.json": text.encode()})


POLICY = {"rings": [{"name": "all", "percent": 100}], "largest_batch": 1, "windows": []}
POLICY |= {"minimum_soak_minutes": 0, "orders_per_day": 9}


def test_a_signed_policy_caps_how_many_go_at_a_time(own_plane: Plane) -> None:
    put_policy(own_plane, json.dumps(POLICY))
    publish(own_plane, "2027-03")
    eventually(lambda: [r for r in rollouts(own_plane) if r["name"].startswith("2027-03")])
    assert one(own_plane, "2027-03")["settings"]["largest_batch"] == 1


def test_a_release_that_cannot_be_read_begins_when_it_can(own_plane: Plane) -> None:
    """It, or the policy that it is under, may still be on its way."""
    put_policy(own_plane, json.dumps(POLICY)[:20])
    publish(own_plane, "2027-04")
    time.sleep(2.5)  # ticks
    assert not [r for r in rollouts(own_plane) if r["name"].startswith("2027-04")]
    put_policy(own_plane, json.dumps(POLICY))
    eventually(lambda: [r for r in rollouts(own_plane) if r["name"].startswith("2027-04")])
