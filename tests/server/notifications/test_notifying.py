"""From the audit log to a real receiver: at once, once a day, again until it arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from hotmend.server.control import Control, prepared
from hotmend.server.folder import DataFolder
from hotmend.server.identity.roles import Role
from hotmend.server.notifications.notifying import (
    GIVE_UP_S,
    LEASE_S,
    NAME,
    Notifying,
    collect,
    wait_s,
)
from hotmend.server.storage import audit, outbox, settings
from hotmend.server.storage.tables import audit as audit_table
from server.conftest import Plane, new_database
from server.notifications.receiver import Receiver, receiving

SECRET = "a secret of the receiver"
SETTINGS = "providers/Hotmend.Fleet/notificationSettings/default"


class Clock:
    """Eight in the morning, and moved by tests."""

    now = 1_767_225_600.0 + 8 * 3600

    def __call__(self) -> float:
        return self.now


class World:
    def __init__(self, control: Control, clock: Clock, receiver: Receiver) -> None:
        self.control, self.clock, self.receiver = control, clock, receiver
        self.notifying = Notifying(control)

    @property
    def now(self) -> float:
        return self.clock.now

    def write(self, what: str, **details: Any) -> None:
        work = audit.append
        self.control.database.write(lambda c: work(c, self.now, "x", what, "r1", details))

    def turn(self, after_s: float = 0.0) -> int:
        self.clock.now += after_s
        return self.notifying.turn()

    def problems(self) -> list[Any]:
        with self.control.database.reading() as connection:
            return list(outbox.problems(connection))

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.receiver.got]


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Iterator[World]:
    url = new_database(request.getfixturevalue("cluster")) if database_url else ""
    data, clock = DataFolder.opened(tmp_path / "data", ["localhost"]), Clock()
    control = prepared(data, "https://fleet.example.com", url, clock)
    with receiving() as receiver:
        hook = {"url": receiver.url, "secret": SECRET}
        document = {"webhooks": [hook], "allowed_hosts": ["localhost"]}
        control.database.write(lambda c: settings.put(c, NAME, document))
        made = World(control, clock, receiver)
        made.turn()
        yield made
        control.database.close()


def test_a_halt_is_told_at_once_and_once(world: World) -> None:
    world.write("rollout began")
    assert world.turn(1) == 0
    world.write("rollout halt", because="3 of 9 machines failed")
    assert world.turn(1) == 1
    assert world.types == ["hotmend.rollout.halted"]
    assert world.turn(3600) == 0 and len(world.receiver.got) == 1


def test_what_does_not_arrive_is_sent_again_later_and_later(world: World) -> None:
    world.receiver.answers = [500, 503]
    world.write("rollout halt", because="x")
    assert world.turn() == 0
    assert [p["problem"] for p in world.problems()] == ["localhost answered 500"]
    assert world.turn(wait_s(1) - 1) == 0 and len(world.receiver.got) == 1, "not too soon"
    assert world.turn(2) == 0 and len(world.receiver.got) == 2
    assert world.turn(wait_s(2) + 1) == 1
    assert not world.problems()
    assert len({json.loads(body)["id"] for _, body in world.receiver.got}) == 1


def test_in_the_end_it_is_given_up_and_said_so(world: World) -> None:
    world.receiver.answers = [500] * 2
    world.write("rollout halt", because="x")
    world.turn()
    world.turn(GIVE_UP_S + 1)
    (problem,) = world.problems()
    assert problem["due"] is None and problem["attempts"] == 2
    world.turn(GIVE_UP_S)
    assert world.types.count("hotmend.rollout.halted") == 2, "only the digest is still told"


def test_whoever_dies_with_it_leaves_it_to_the_next(world: World) -> None:
    world.write("rollout halt", because="x")
    world.control.database.write(lambda c: outbox.claim(c, world.now, 20, LEASE_S))
    world.turn()  # reads, and takes nothing: it was not there to be claimed
    claimed = world.control.database.write(lambda c: outbox.claim(c, world.now, 20, LEASE_S))
    assert not claimed and len(world.receiver.got) == 1
    world.write("rollout freeze", because="y")
    world.control.database.write(lambda c: collect(c, world.now))
    taken = world.control.database.write(lambda c: outbox.claim(c, world.now, 20, LEASE_S))
    assert len(taken) == 1, "a replica took it, and dies here"
    assert world.turn(LEASE_S - 1) == 0
    assert world.turn(2) == 1
    assert world.types == ["hotmend.rollout.halted", "hotmend.rollout.frozen"]


def test_all_else_is_told_once_a_day(world: World) -> None:
    world.write("rollout began")
    world.write("turns ended", turns=[])
    assert world.turn(3600) == 0
    assert world.turn(22 * 3600) == 1, "at seven the next day"
    assert world.types == ["hotmend.digest"]
    counts = json.loads(world.receiver.got[0][1])["data"]["details"]["counts"]
    assert counts == {"rollout began": 1, "turns ended": 1}
    assert world.turn(24 * 3600) == 0, "nothing happened"


def test_an_entry_that_was_changed_is_an_alarm(world: World) -> None:
    world.write("log in")
    assert world.turn() == 0
    for what in ("rollout began", "rollout finish", "log in"):
        world.write(what)
    world.control.database.write(
        lambda c: c.execute(
            update(audit_table).where(audit_table.c.what == "rollout began").values(who="nobody")
        )
    )
    assert world.turn() == 1
    assert world.types == ["hotmend.audit.alarm"]
    world.write("log in")
    assert world.turn() == 0, "once"


def test_settings_through_the_api_keep_their_secrets(plane: Plane) -> None:
    hook = {"url": "https://hooks.example.com/", "secret": SECRET}
    refused = plane.call("PUT", SETTINGS, {"webhooks": [{"url": "ftp://x", "secret": SECRET}]})
    assert (refused.status, refused.body["error"]["code"]) == (400, "InvalidParameter")
    assert plane.call("GET", SETTINGS).body == {}
    put = plane.call("PUT", SETTINGS, {"webhooks": [hook]})
    assert put.body == plane.call("GET", SETTINGS).body == {"webhooks": [{"url": hook["url"]}]}
    assert plane.call("PUT", SETTINGS, put.body).status == 200, "the secret is still known"
    with plane.control.database.reading() as connection:
        assert settings.get(connection, NAME) == {"webhooks": [hook]}
        assert SECRET not in str([entry.details for entry in audit.entries(connection)])
    viewer = plane.token_for(Role.OPERATOR)
    assert plane.call("GET", SETTINGS, token=viewer).status == 403
    assert plane.call("GET", f"{SETTINGS}/problems").body == {"value": []}
    assert plane.call("PUT", SETTINGS, {}).body == {}
