"""One rollout, tick by tick, on real tables and a moved clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from hotmend.fleet.place import Place
from hotmend.fleet.regions import pair_keys
from hotmend.fleet.rollout import RolloutState
from hotmend.fleet.turn import TurnState
from hotmend.model.agent_messages import (
    Installation,
    InstallationState,
    PatchResult,
    ProcessResult,
    RebootStatus,
    Run,
    RunKind,
    RunStatus,
)
from hotmend.server.rollouts import admit, people
from hotmend.server.rollouts.moment import Moment
from hotmend.server.rollouts.tick import tick
from hotmend.server.storage import audit, groups, rollouts, runs, turns
from hotmend.server.storage.database import Database
from hotmend.server.storage.tables import machines
from server.rollouts.fleet import NOW, Fleet, fleet

WEST = Place("westeurope", "", "set", 0)
DAY_S = 86400.0


class World:
    """A fleet with a rollout in it. ``open``: whether machines are well when they are asked."""

    def __init__(self, fleet: Fleet, **changes: Any) -> None:
        self.fleet, self.connection = fleet, fleet.connection
        self.rollout = fleet.rollout(
            "r", phases={"westeurope": 1}, phase=1, last_phase=1, **changes
        )

    def tick(self, after_s: float = 1.0, *, listening_since: float = NOW - DAY_S) -> int:
        self.fleet.now += after_s
        self.connection.execute(update(machines).values(seen=self.fleet.now))
        return self.only_tick(listening_since=listening_since)

    def only_tick(self, *, listening_since: float = NOW - DAY_S) -> int:
        moment = Moment(self.fleet.now, listening_since, pair_keys({}))
        return tick(self.connection, self.now_rollout, moment)

    @property
    def now_rollout(self) -> rollouts.Rollout:
        found = rollouts.get(self.connection, "r")
        assert found is not None
        return found

    @property
    def states(self) -> dict[str, str]:
        return {machine: state.value for machine, state in self.fleet.states("r").items()}

    def ends(
        self,
        machine: str,
        status: RunStatus = RunStatus.SUCCEEDED,
        patches: tuple[PatchResult, ...] = (),
    ) -> None:
        """Its agent reports the end of its order."""
        installation = Installation(patches, RebootStatus.NOT_NEEDED)
        for kept in runs.history(self.connection, machine, 0.0):
            if kept.finished is None or kept.status is RunStatus.UNKNOWN:
                done = Run(
                    *(kept.id, RunKind.INSTALL, self.fleet.now, status, self.fleet.now),
                    installation=installation,
                )
                assert runs.note(self.connection, machine, done, self.fleet.now) == ""

    def fetches(self, machine: str) -> None:
        """Its agent comes for its order."""
        assert len(runs.waiting_of(self.connection, {machine: ()}, self.fleet.now)[machine]) == 1

    def rollout_with(self, *, phase: int, **written: Any) -> None:
        """It is in that phase, and so are its machines, under these settings."""
        rollouts.change(self.connection, "r", phase=phase, settings=written)
        self.connection.execute(update(turns.turns).values(phase=phase))

    def says(self, machine: str, word: str, because: str = "") -> None:
        bad = {"bad_at": self.fleet.now, "bad_because": because} if word == "bad" else {}
        self.connection.execute(
            update(machines)
            .where(machines.c.id == machine)
            .values(health=word, health_at=self.fleet.now, **bad)
        )


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    """Ten machines of one set, five update domains, at midnight."""
    with fleet(database) as made:
        world = World(made)
        for number in range(10):
            name = made.machine(f"m{number}", replace(WEST, domain=number % 5))
            made.turn("r", name)
        yield world


def test_a_machine_waits_is_told_to_begin_proves_itself_and_is_healthy(world: World) -> None:
    assert world.tick() == 2
    assert world.states["m0"] == world.states["m5"] == "started"
    world.ends("m0")
    world.tick()
    assert world.states["m0"] == "soaking"
    world.fleet.now += 800
    world.says("m0", "good")
    world.tick(101)
    assert world.states["m0"] == "healthy"


def test_the_order_says_until_when_it_may_begin_and_what_its_owner_set(world: World) -> None:
    world.tick()
    (kept,) = runs.history(world.connection, "m0", 0.0)
    assert kept.order.until == datetime.fromisoformat("2026-01-01T06:00:00+00:00").timestamp()
    assert kept.order.reboot.value == "IfRequired"
    assert kept.order.selection == world.rollout.order.selection


def test_outside_the_window_nothing_starts(world: World) -> None:
    assert world.tick(7 * 3600) == 0
    assert world.tick(15 * 3600 + 1) == 2


def test_the_next_domain_starts_when_the_first_has_proven_itself(world: World) -> None:
    world.tick()
    for name in ("m0", "m5"):
        world.ends(name)
    world.tick()
    assert world.tick(600) == 0
    for name in ("m0", "m5"):
        world.says(name, "good")
    assert world.tick(301) == 2
    assert {m for m, state in world.states.items() if state == "started"} == {"m1", "m6"}


def test_a_machine_without_a_word_of_its_health_fails_at_the_end_of_its_soak(world: World) -> None:
    world.tick()
    world.ends("m0")
    world.tick()
    world.tick(901)
    assert world.states["m0"] == "failed"


def test_a_bad_word_fails_at_once_even_if_a_good_one_follows(world: World) -> None:
    world.tick()
    world.ends("m0")
    world.tick()
    world.fleet.now += 5
    world.says("m0", "bad", "nginx crashed")
    world.says("m0", "good")
    world.tick()
    assert world.states["m0"] == "failed"


def test_a_crash_that_is_told_with_the_end_of_the_order_is_not_missed(world: World) -> None:
    """Between that and the next tick the machine may say again that it is well: old news."""
    world.tick()
    world.ends("m0")
    world.says("m0", "bad", "nginx crashed")
    world.fleet.now += 0.5
    world.says("m0", "good")
    world.tick(0.5)
    assert world.states["m0"] == "failed"


def test_after_a_silence_of_the_control_plane_itself_machines_get_time_to_speak(
    world: World,
) -> None:
    world.tick()
    world.ends("m0")
    world.tick()
    world.fleet.now += 5000
    world.tick(listening_since=world.fleet.now)
    assert world.states["m0"] == "soaking"
    silent = world.fleet.now
    world.tick(301, listening_since=silent)
    assert world.states["m0"] == "failed"


def test_a_failed_installation_is_tried_again_in_the_next_window_three_times(world: World) -> None:
    for attempt in range(1, 4):
        world.tick()
        assert world.states["m0"] == "started", attempt
        world.ends("m0", RunStatus.FAILED)
        world.tick()
        assert world.states["m0"] == "failed"
        world.tick(600)
        assert world.states["m0"] == "failed", "not twice in one window"
        world.fleet.now += DAY_S - 602
    world.tick()
    assert world.states["m0"] == "failed"


def test_a_failed_machine_uses_up_its_groups_budget_until_it_is_let_go(world: World) -> None:
    world.tick()
    world.ends("m0")
    world.ends("m5")
    world.tick()
    world.says("m5", "good")
    world.fleet.now += 700
    world.says("m5", "good")
    world.tick(202)
    assert (world.states["m0"], world.states["m5"]) == ("failed", "healthy")
    assert world.tick() == 0, "domain 0 is not whole"
    turns.leave(world.connection, "r", turns.turns.c.machine == "m0", "repaired", world.fleet.now)
    assert world.tick() == 2


def test_an_order_of_which_nothing_is_heard_is_lost_and_may_still_turn_up(world: World) -> None:
    world.tick()
    world.fetches("m0")
    world.tick(3600 + 600 + 2)
    assert world.states["m0"] == "failed"
    assert runs.busy(world.connection, "m0") is None
    world.ends("m0")
    world.tick()
    assert world.states["m0"] == "soaking"


def test_an_order_that_nobody_came_for_ends_with_the_window_and_the_machine_goes_on(
    world: World,
) -> None:
    world.tick(5 * 3600)
    world.fetches("m5")
    world.tick(3599)
    assert world.states["m0"] == world.states["m5"] == "started"
    world.tick()
    assert (world.states["m0"], world.states["m5"]) == ("failed", "started"), "m5 may be at it"
    assert runs.busy(world.connection, "m0") is None
    assert runs.busy(world.connection, "m5") is not None
    assert runs.waiting_of(world.connection, {"m0": ()}, world.fleet.now) == {"m0": []}
    world.ends("m5")
    world.fleet.now += 16 * 3600
    world.tick()
    assert world.states["m0"] == "started", "tried again, in its next window"


def crash(world: World, *names: str) -> None:
    """They install it, and are ill afterwards."""
    for name in names:
        world.ends(name)
    world.tick()
    for name in names:
        world.says(name, "bad", "it crashed")
    world.tick()


def test_only_the_failures_that_two_people_saw_are_pardoned(world: World) -> None:
    """m0's is taken out afterwards; that of another machine is news."""
    world.rollout_with(phase=0, canary_failures=2)
    world.tick()
    crash(world, "m0", "m5")
    assert world.now_rollout.state is RolloutState.HALTED
    for who in ("one", "two"):
        people.resume(world.connection, world.now_rollout, who, "", world.fleet.now)
    world.tick()
    assert world.now_rollout.state is RolloutState.RUNNING, "what was seen halts nothing again"
    for name in ("m0", "m5"):
        people.exclude(world.connection, world.now_rollout, name, "one", "", world.fleet.now)
    world.tick()
    crash(world, "m1", "m6")
    assert world.now_rollout.state is RolloutState.HALTED


def test_the_third_failure_halts_and_freezes_what_has_not_started(database: Database) -> None:
    with fleet(database) as made:
        world = World(made)
        for number in range(20):
            made.turn("r", made.machine(f"m{number:02}", replace(WEST, group=f"set{number:02}")))
        world.tick()
        for number in range(6):
            world.ends(f"m{number:02}")
        world.tick()
        for number in range(3):
            world.says(f"m{number:02}", "bad", "it crashed")
        assert world.tick() == 0
        assert world.now_rollout.state is RolloutState.HALTED
        assert "too many machines failed" in world.now_rollout.because
        assert set(world.states.values()) <= {"waiting", "started", "soaking", "failed"}
        assert world.tick() == 0


def test_a_machine_that_can_be_reached_holds_up_the_next_phase_unless_its_owner_is_frozen(
    database: Database,
) -> None:
    with fleet(database) as made:
        of = replace(WEST, group="other")
        made.rollout("r", phases={"westeurope": 1}, phase=1, last_phase=2)
        made.turn("r", made.machine("done", WEST), TurnState.HEALTHY)
        made.turn("r", made.machine("next", of, region="eastus"), phase=2)
        late = made.machine("late", of, owner="bad", seen=NOW - DAY_S - 1)
        made.turn("r", late)

        def reachable(*frozen: str, phase: int = 1) -> bool:
            rollouts.change(made.connection, "r", frozen=frozen, phase=phase)
            found = rollouts.get(made.connection, "r")
            assert found is not None
            return rollouts.standing(made.connection, found, NOW).reachable

        assert not reachable()
        made.connection.execute(update(machines).where(machines.c.id == late).values(seen=NOW))
        assert reachable()
        assert not reachable("bad")
        assert not reachable(phase=2), "there is no next phase"


LIVE = PatchResult(
    *("x=2+hotpatch", "x 2", "2", "Security", InstallationState.INSTALLED),
    processes=(ProcessResult(7, "x", "applied"),),
)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, set()),
        ({"revert_on_halt": True}, {"m0"}),
        ({"revert_on_halt": True, "revert_healthy": True}, {"m0", "m5"}),
    ],
)
def test_a_halted_rollout_takes_back_what_it_applied_once(
    database: Database, settings: dict[str, Any], told: set[str]
) -> None:
    with fleet(database) as made:
        world = World(made, written_settings=settings)
        for number in range(10):
            made.turn("r", made.machine(f"m{number}", replace(WEST, domain=number % 5)))
        world.tick()
        for name in ("m0", "m5"):
            world.ends(name, patches=(LIVE,))
        world.tick()
        world.fleet.now += 600
        world.says("m5", "good")
        world.connection.execute(
            update(turns.turns)
            .where(turns.turns.c.machine == "m0")
            .values(installed=world.fleet.now)
        )
        world.tick(301)
        assert (world.states["m0"], world.states["m5"]) == ("soaking", "healthy")
        rollouts.change(world.connection, "r", state=RolloutState.HALTED.value)

        def orders() -> dict[str, tuple[str, ...]]:
            return {
                kept.machine: kept.order.selection.include
                for kept in runs.of_kind(world.connection, RunKind.REVERT, 0.0)
            }

        assert world.tick() == len(told)
        assert orders() == dict.fromkeys(told, ("x=2+hotpatch",))
        assert {m for m in ("m0", "m5") if world.states[m] == "failed"} == told
        assert world.tick() == 0 and len(orders()) == len(told), "once"
        for machine in told:
            world.fetches(machine)
        entries = [e for e in audit.entries(world.connection) if e.subject == "r"]
        said = [e.details["turns"] for e in entries if e.what == "turns reverted"]
        assert {row["machine"] for rows in said for row in rows} == told


def test_what_runs_when_the_rollout_halts_is_taken_back_when_it_has_ended(
    database: Database,
) -> None:
    with fleet(database) as made:
        world = World(made, written_settings={"revert_on_halt": True})
        for number in range(2):
            made.turn("r", made.machine(f"m{number}", replace(WEST, group=f"set{number}")))
        world.tick()
        rollouts.change(world.connection, "r", state=RolloutState.HALTED.value)
        assert world.tick() == 0
        world.ends("m0", patches=(LIVE,))
        world.ends("m1")
        assert world.tick() == 1, "nothing went into memory of the other"
        assert world.states == {"m0": "failed", "m1": "soaking"}


def test_budgets_count_over_all_rollouts(world: World) -> None:
    world.fleet.rollout("other", phases={"westeurope": 1}, phase=1, last_phase=1)
    held = world.fleet.machine("m99", replace(WEST, domain=3))
    world.fleet.turn("other", held, TurnState.STARTED)
    assert world.tick() == 1
    (started,) = [m for m, state in world.states.items() if state == "started"]
    assert started in ("m3", "m8")


def test_a_tick_starts_so_many_at_once_and_the_next_ones_go_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admit, "MOST_AT_ONCE", 2)
    with fleet(database) as made:
        world = World(made)
        for number in range(5):
            made.turn("r", made.machine(f"m{number}", replace(WEST, group=f"set{number}")))
        assert [world.tick() for _ in range(4)] == [2, 2, 1, 0]


def test_a_schedule_starts_in_its_own_window_and_ends_with_it(database: Database) -> None:
    with fleet(database) as made:
        noon = NOW + 12 * 3600
        made.now = noon - 10
        world = World(made, kind=rollouts.SCHEDULED, opens=noon, closes=noon + 3600)
        for number in range(2):
            made.turn("r", made.machine(f"m{number}", WEST))
        assert world.tick(11) == 1, "at noon, which is in nobody's off-peak window"
        world.fetches("m0")
        world.tick(3600)
        assert sorted(world.states.values()) == ["excluded", "started"]


def test_what_started_and_what_ended_is_in_the_audit_log_with_places(world: World) -> None:
    world.tick()
    world.ends("m0", RunStatus.FAILED)
    world.tick()
    written = [(e.what, e.details) for e in audit.entries(world.connection) if e.subject == "r"]
    (started,) = [d["turns"] for what, d in written if what == "turns started"]
    assert {row["machine"] for row in started} == {"m0", "m5"}
    assert {(row["group"], row["domain"]) for row in started} == {("set", 0)}
    (ended,) = [d["turns"] for what, d in written if what == "turns ended"]
    assert ended == [{"machine": "m0", "state": "failed", "because": "its installation failed"}]


def test_groups_say_what_their_turns_say(world: World) -> None:
    world.tick()
    known = groups.get(world.connection, "set")
    assert known is not None and (known.size, known.budget, known.held, known.domain) == (
        10,
        2,
        2,
        0,
    )
    assert world.connection.execute(select(machines.c.id)).first() is not None
