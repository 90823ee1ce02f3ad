"""A newer release that brings newer versions of all that an older one brings takes its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import pytest
from sqlalchemy import select, update

from hotmend.fleet.place import Place
from hotmend.fleet.turn import TurnState
from hotmend.release.classification import Classification
from hotmend.release.draft import Draft
from hotmend.release.parity import Update
from hotmend.release.release import Month
from hotmend.server.control import Control
from hotmend.server.rollouts import releases
from hotmend.server.rollouts.keeping import Keeping
from hotmend.server.rollouts.releases import Published
from hotmend.server.storage import audit, rollouts
from hotmend.server.storage.database import Database
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.tables import turns
from server.rollouts.fleet import Fleet, fleet

WEST = Place("westeurope", "", "set", 0)
OCTOBER, NOVEMBER = "2026-10", "2026-11"
WAITING, EXCLUDED = TurnState.WAITING, TurnState.EXCLUDED


@pytest.fixture
def three(database: Database) -> Iterator[Fleet]:
    with fleet(database) as made:
        for name in "abc":
            made.machine(name, WEST)
        yield made


def published(month: str, *packages: str) -> Published:
    updates = tuple(
        Update(package, "1", month, Classification.SECURITY, ("CVE-1",), True, f"{package}.bin")
        for package in packages
    )
    return Published(f"{month}.release.json", Draft(month, Month.parse(month), updates))


def begin(three: Fleet, month: str, *packages: str) -> Rollout:
    three.now += 60.0
    return releases.begin(three.connection, published(month, *packages), {}, three.now)


def states(three: Fleet, rollout: Rollout) -> set[TurnState]:
    return set(three.states(rollout.id).values())


def put(three: Fleet, rollout: Rollout, machine: str, state: TurnState) -> None:
    own = (turns.c.rollout == rollout.id) & (turns.c.machine == machine)
    three.connection.execute(update(turns).where(own).values(state=state.value))


def test_who_waits_for_the_older_waits_for_the_newer_alone(three: Fleet) -> None:
    """On a machine the newer is the only one of a package: the older would install nothing."""
    older = begin(three, OCTOBER, "nginx")
    assert states(three, older) == {WAITING}
    put(three, older, "a", TurnState.STARTED)
    put(three, older, "b", TurnState.FAILED)
    newer = begin(three, NOVEMBER, "nginx", "libxml2")
    found = three.states(older.id)
    assert found == {"a": TurnState.STARTED, "b": TurnState.FAILED, "c": EXCLUDED}
    assert states(three, newer) == {WAITING}
    because = select(turns.c.because).where(turns.c.state == EXCLUDED.value)
    sentence = three.connection.execute(because).scalar_one()
    assert sentence == "2026-11.release.json brings newer versions of all that this one brings"
    entry = [e for e in audit.entries(three.connection) if "superseded" in e.what]
    assert [(e.subject, e.details) for e in entry] == [(older.id, {"by": newer.id, "machines": 1})]


def test_what_the_newer_does_not_bring_is_still_waited_for(three: Fleet) -> None:
    older = begin(three, OCTOBER, "nginx", "openssl")
    begin(three, NOVEMBER, "nginx")
    assert states(three, older) == {WAITING}


def test_the_month_decides_and_within_it_what_was_published_last(three: Fleet) -> None:
    newer = begin(three, NOVEMBER, "nginx")
    older = begin(three, OCTOBER, "nginx")
    assert (states(three, newer), states(three, older)) == ({WAITING}, {EXCLUDED})
    known = rollouts.listed(three.connection)
    last = Rollout(**{**vars(newer), "id": "again", "created": newer.created + 1})
    assert releases.newer(newer, [*known, last]) is last
    assert releases.newer(last, known) is None


def test_one_that_was_cancelled_takes_nobodys_place(three: Fleet) -> None:
    older = begin(three, OCTOBER, "nginx")
    newer = begin(three, NOVEMBER, "nginx")
    found = rollouts.get(three.connection, newer.id)
    assert found is not None and releases.newer(older, [found]) is found
    rollouts.change(three.connection, newer.id, state="cancelled")
    found = rollouts.get(three.connection, newer.id)
    assert found is not None and releases.newer(older, [found]) is None


@dataclass
class _Clock:
    now: float

    def clock(self) -> float:
        return self.now


def test_who_comes_late_has_no_turn_in_the_older(three: Fleet) -> None:
    older = begin(three, OCTOBER, "nginx")
    put(three, older, "a", TurnState.STARTED)  # it is not over
    newer = begin(three, NOVEMBER, "nginx")
    three.machine("late", WEST)
    Keeping(cast(Control, _Clock(three.now + 1))).tick(three.connection)
    assert "late" in three.states(newer.id) and "late" not in three.states(older.id)
