"""A rollout as a whole: halting, freezing, promoting, ending, warning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hotmend.fleet.rollout import (
    CANARIES,
    Action,
    Decision,
    RolloutState,
    Standing,
    Tally,
    decision,
    room,
)
from hotmend.fleet.settings import Settings

DAY = 86_400.0
T0 = 1_000_000.0
SETTINGS = Settings()


def standing(*tallies: Tally, phase: int = 1, **changed: object) -> Standing:
    """Machines that wait in the open phase can be reached, unless told otherwise."""
    here = [t for t in tallies if t.waiting and t.phase == phase]
    base = Standing(RolloutState.RUNNING, phase, 3, T0, T0, tallies, reachable=bool(here))
    return replace(base, **changed)  # type: ignore[arg-type]


def decide(*tallies: Tally, now: float = T0, phase: int = 1, **changed: object) -> Decision:
    return decision(standing(*tallies, phase=phase, **changed), SETTINGS, now)


def owners(failed: list[int], healthy: int = 0, *, phase: int = 1) -> list[Tally]:
    """One tally for each owner, with so many failed and something left to do."""
    return [
        Tally(phase, f"o{n}", waiting=10, healthy=healthy, failed=count)
        for n, count in enumerate(failed)
    ]


# --- harm ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failed", "healthy", "action"),
    [
        ([2], 0, Action.NONE),
        ([3], 0, Action.HALT),
        ([4], 996, Action.NONE),
        ([5], 995, Action.HALT),
        # One owner of five cannot halt the others, however much it fails.
        ([2, 0, 0, 0, 0], 0, Action.NONE),
        ([3, 0, 0, 0, 0], 0, Action.FREEZE),
        ([500, 0, 0, 0, 0], 0, Action.FREEZE),
        ([500, 0, 0, 0, 0], 2000, Action.FREEZE),
        # Two that agree do.
        ([3, 3, 0, 0, 0], 0, Action.HALT),
        ([3, 3], 0, Action.HALT),
        ([3, 0], 0, Action.FREEZE),
        # Few at each, many together.
        ([1, 1, 0, 0, 0], 0, Action.NONE),
        ([1, 1, 1, 0, 0], 0, Action.HALT),
        ([1] * 8, 100, Action.HALT),
        ([1] * 3, 250, Action.NONE),
    ],
)
def test_failures_halt_or_freeze(failed: list[int], healthy: int, action: Action) -> None:
    found = decide(*owners(failed, healthy))
    assert found.action is action
    assert found.owners == (frozenset({"o0"}) if action is Action.FREEZE else frozenset())


@pytest.mark.parametrize(
    ("failed", "action"),
    [
        ([0, 0, 0], Action.NONE),
        ([1, 0, 0], Action.FREEZE),
        ([1, 1, 0], Action.HALT),
        ([1], Action.HALT),
    ],
)
def test_one_canary_is_believed_for_its_owner_and_two_owners_for_all(
    failed: list[int], action: Action
) -> None:
    assert decide(*owners(failed, 50, phase=CANARIES), phase=CANARIES).action is action


def test_more_canaries_may_be_allowed_to_fail() -> None:
    patient = replace(SETTINGS, canary_failures=3)
    for failed, action in (([2], Action.NONE), ([3], Action.HALT)):
        asked = standing(*owners(failed, 5, phase=CANARIES), phase=CANARIES)
        assert decision(asked, patient, T0).action is action


def test_a_late_phase_does_not_hide_behind_healthy_ones_before() -> None:
    before = [replace(t, phase=1) for t in owners([0], 100_000)]
    assert decide(*before, *owners([3], 10, phase=2), phase=2).action is Action.HALT
    assert decide(*before, *owners([2], 10, phase=2), phase=2).action is Action.NONE


def test_healthy_reports_of_one_owner_do_not_green_light_another() -> None:
    liar = Tally(1, "liar", waiting=1, healthy=1_000_000)
    assert decide(liar, *owners([3], 10)).action is Action.FREEZE
    assert decide(liar, *owners([3, 3], 10)).action is Action.HALT


def test_an_owner_is_frozen_once_and_a_second_one_halts_all() -> None:
    frozen = frozenset({"o0"})
    assert decide(*owners([5, 0, 0]), frozen=frozen).action is Action.NONE
    assert decide(*owners([5, 3, 0]), frozen=frozen).action is Action.HALT
    slow = replace(SETTINGS, owners_to_halt=3)
    asked = standing(*owners([5, 3, 0], 1000), frozen=frozen)
    assert decision(asked, slow, T0).action is Action.NONE
    asked = standing(*owners([5, 9, 0], 1000), frozen=frozen)
    assert decision(asked, slow, T0) == Decision(
        Action.FREEZE, "too many machines failed at o1; the other owners go on", frozenset({"o1"})
    )


def test_what_a_person_saw_when_resuming_does_not_halt_again() -> None:
    for failed, action in ((3, Action.NONE), (5, Action.NONE), (6, Action.HALT)):
        (tally,) = owners([failed])
        assert decide(replace(tally, pardoned=3)).action is action


def test_it_says_how_many_failed_and_how_many_may() -> None:
    found = decide(*owners([1, 1, 1]))
    assert found.sentence == "3 of 3 machines failed; 2 are tolerated"


def test_a_paused_rollout_is_still_halted_by_what_was_in_flight() -> None:
    assert decide(*owners([3]), state=RolloutState.PAUSED).action is Action.HALT
    assert decide(*owners([3]), state=RolloutState.HALTED).action is Action.NONE
    assert decide(*owners([3]), state=RolloutState.CANCELLED).action is Action.NONE


# --- room ---------------------------------------------------------------------------------------


def test_failed_machines_use_up_the_room_but_not_those_of_a_frozen_owner() -> None:
    tallies = owners([2, 5])
    assert room(standing(), 10_000, SETTINGS) == 50
    assert room(standing(*tallies), 10_000, SETTINGS) == 43
    assert room(standing(*tallies, frozen=frozenset({"o1"})), 10_000, SETTINGS) == 48
    seen = (tallies[0], replace(tallies[1], pardoned=5))
    assert room(standing(*seen), 10_000, SETTINGS) == 48
    assert room(standing(*tallies), 100, SETTINGS) == 0


# --- promotion ----------------------------------------------------------------------------------


def done(phase: int = 1, owner: str = "o", **changed: int) -> Tally:
    return replace(Tally(phase, owner, healthy=100), **changed)


LATER = Tally(2, "o", waiting=5)


def test_the_next_phase_opens_when_this_one_is_done() -> None:
    found = decide(done(), LATER)
    assert found == Decision(Action.PROMOTE, "100 of 100 machines of phase 1 are healthy")
    assert decide(done(in_flight=1), LATER).action is Action.NONE
    assert decide(done(waiting=1), LATER).action is Action.NONE
    assert decide(done(waiting=1), LATER, reachable=False).action is Action.PROMOTE
    assert decide(done(), LATER, state=RolloutState.PAUSED).action is Action.NONE
    assert decide(done(phase=3), LATER, phase=3).action is Action.NONE


def test_machines_that_never_come_to_their_turn_hold_it_up_for_three_days_only() -> None:
    assert decide(done(waiting=1), LATER, now=T0 + 3 * DAY - 1).action is Action.NONE
    assert decide(done(waiting=1), LATER, now=T0 + 3 * DAY).action is Action.PROMOTE
    assert decide(done(in_flight=1), LATER, now=T0 + 3 * DAY).action is not Action.PROMOTE


def test_a_small_phase_that_mostly_failed_waits_for_people() -> None:
    found = decide(Tally(1, "o", healthy=1, failed=2), LATER)
    assert found.action is Action.WARN
    assert found.sentence == (
        "phase 1: only 1 of 3 machines are healthy; two approvers may open the next phase"
    )
    assert decide(Tally(1, "o", healthy=18, failed=2), LATER).action is Action.PROMOTE


def test_the_machines_of_a_frozen_owner_hold_up_nobody() -> None:
    bad = Tally(1, "bad", waiting=50, failed=9)
    frozen = frozenset({"bad"})
    assert decide(done(), bad, LATER, frozen=frozen, reachable=False).action is Action.PROMOTE


def test_canaries_are_watched_for_a_day_before_the_first_phase() -> None:
    canaries = done(phase=CANARIES)
    assert decide(canaries, LATER, phase=CANARIES, now=T0 + DAY - 1).action is Action.NONE
    assert decide(canaries, LATER, phase=CANARIES, now=T0 + DAY).action is Action.PROMOTE


def test_without_a_single_canary_heard_nothing_is_green_lighted() -> None:
    off = Tally(CANARIES, "o", waiting=3)
    found = decide(off, LATER, phase=CANARIES, now=T0 + 4 * DAY)
    assert (found.action, "no canary was reached" in found.sentence) == (Action.WARN, True)


def test_a_rollout_without_canaries_begins_at_once() -> None:
    assert decide(LATER, phase=CANARIES).action is Action.PROMOTE


# --- the end and the promise --------------------------------------------------------------------


def test_it_ends_when_every_machine_had_its_turn() -> None:
    assert decide(done(), phase=3).action is Action.FINISH
    assert decide(done(in_flight=1), phase=3).action is Action.NONE
    assert decide(done(failed=1, healthy=300), phase=3).action is Action.FINISH
    assert decide(done(failed=1, again=1, healthy=300), phase=3).action is Action.NONE


def test_a_machine_that_is_off_keeps_it_open_until_the_promise_is_over() -> None:
    off = done(waiting=2)
    assert decide(off, phase=3).action is Action.NONE
    assert decide(off, phase=3, now=T0 + 30 * DAY).action is Action.WARN
    found = decide(off, phase=3, now=T0 + 30 * DAY + 1)
    assert found == Decision(Action.FINISH, "30 days are over; 2 machines did not get it")
    busy = done(waiting=2, in_flight=1)
    assert decide(busy, phase=3, now=T0 + 31 * DAY).action is Action.WARN


def test_a_week_before_the_promise_is_broken_it_warns() -> None:
    off = done(waiting=2)
    assert decide(off, phase=3, now=T0 + 23 * DAY - 1).action is Action.NONE
    found = decide(off, phase=3, now=T0 + 23 * DAY)
    assert found == Decision(Action.WARN, "2 machines wait, and 7 days are left")
    halted = decide(off, phase=3, now=T0 + 23 * DAY, state=RolloutState.HALTED)
    assert halted.action is Action.WARN


def test_a_pace_that_is_too_slow_is_said_early() -> None:
    slow = done(healthy=100, waiting=400)
    assert decide(slow, phase=3, now=T0 + 6 * DAY).action is Action.NONE
    found = decide(slow, phase=3, now=T0 + 8 * DAY)
    assert found.action is Action.WARN and "100 machines in 8 days" in found.sentence
    assert decide(done(healthy=200, waiting=400), phase=3, now=T0 + 8 * DAY).action is Action.NONE
