"""People of a virtual world: they publish, meddle while things go wrong, and see to what failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from sqlalchemy import Connection

from hotmend.release.classification import Classification
from hotmend.release.debian_catalogue import of_update
from hotmend.release.draft import Draft
from hotmend.release.parity import Update
from hotmend.release.release import Month
from hotmend.server.errors import ArmError
from hotmend.server.rollouts import people
from hotmend.server.rollouts.releases import Published
from hotmend.server.storage import rollouts
from hotmend.server.storage.rollouts import Rollout
from hotmend.simulation.virtual.checker import Checker
from hotmend.simulation.virtual.events import Events
from hotmend.simulation.virtual.plane import Committed, Plane
from hotmend.simulation.virtual.scenario import DAY_S, Scenario

CLASSIFICATION = Classification.SECURITY
_LOOK_EVERY_S = 4 * 3600.0
_BETWEEN_RELEASES_S = 1.5 * DAY_S
_ONE, _OTHER = "person-1", "person-2"


class People:
    """``careful``: what failed is looked at and taken out, and what was halted goes on, at once and
    not by chance."""

    def __init__(self, scenario: Scenario, events: Events, plane: Plane, checker: Checker) -> None:
        self._scenario, self._events, self._plane = scenario, events, plane
        self._checker = checker
        self._chance = scenario.chance("people")
        self.careful = False
        self.published: dict[str, str] = {}  # name → the article of its hotpatch
        self.seen = Committed({}, {})

    def begin(self) -> None:
        for number in range(self._scenario.releases):
            self._events.after(number * _BETWEEN_RELEASES_S + 60, self._publish, number)
        if self._scenario.people:
            self._events.after(_LOOK_EVERY_S, self._look)

    def _publish(self, number: int) -> None:
        name = f"simulated-{number + 1}"
        update = Update(
            *(f"simulated-lib{number}", "1-0", "1-1", CLASSIFICATION),
            *((f"CVE-0000-{number}",), True, name),
        )
        self.published[name] = [patch.article for patch in of_update(update)][-1]
        self._plane.publish(Published(name, Draft(name, Month.parse("2026-01"), (update,))))

    def _look(self) -> None:
        for rollout, row in self.seen.rollouts.items():
            if self.careful:
                self._see_to(rollout, row["state"])
            else:
                self._meddle(rollout, row["state"])
        self._events.after(_LOOK_EVERY_S * (0.5 + self._chance.random()), self._look)

    def _see_to(self, rollout: str, state: str) -> None:
        self._exclude(rollout, self._failed(rollout))
        if state != "finished":
            self._resume(rollout)

    def _meddle(self, rollout: str, state: str) -> None:
        luck = self._chance.random()
        if state == "running" and luck < 0.02:
            self._do(rollout, people.pause, _ONE)
        elif state == "running" and luck < 0.03:
            self._do(rollout, people.halt, _ONE)
        elif state in ("paused", "halted") and luck < 0.6:
            self._resume(rollout)
        failed = self._failed(rollout)
        if failed and luck > 0.7:
            self._exclude(rollout, [self._chance.choice(failed)])

    def _failed(self, rollout: str) -> Sequence[str]:
        held = self.seen.held.items()
        return sorted(m for (one, m), (state, _) in held if one == rollout and state == "failed")

    def _exclude(self, rollout: str, machines: Sequence[str]) -> None:
        def each(connection: Connection, row: Rollout) -> None:
            for machine in machines:
                with suppress(ArmError):  # it is tried again already
                    people.exclude(connection, row, machine, _ONE, "", self._events.now)

        if machines:
            self._try(rollout, each)

    def _resume(self, rollout: str) -> None:
        """One asks, another one agrees; a pause needs only one."""
        self._do(rollout, people.resume, _ONE)
        self._do(rollout, people.resume, _OTHER)

    def _do(self, rollout: str, deed: people.Deed, who: str) -> None:
        done = self._try(rollout, lambda c, row: deed(c, row, who, "", self._events.now))
        if done and deed is people.resume:
            self._checker.resumed(rollout)

    def _try(self, rollout: str, deed: Callable[[Connection, Rollout], None]) -> bool:
        """Whether the rollout is not as it was, or may be not: a replica died meanwhile."""

        def work(connection: Connection) -> bool:
            before = rollouts.get(connection, rollout)
            assert before is not None
            deed(connection, before)
            return rollouts.get(connection, rollout) != before

        try:
            return self._plane.person(work) is not False
        except ArmError:
            return False
