"""Turns: what holds, and where a turn may go."""

from __future__ import annotations

import pytest

from hotmend.fleet.turn import Failure, TurnState, tried_again

W, S, K, H, F, X = TurnState


def test_in_flight_and_failed_machines_hold_and_no_others() -> None:
    assert {s for s in TurnState if s.in_flight} == {S, K}
    assert {s for s in TurnState if s.holding} == {S, K, F}


def test_only_a_waiting_turn_starts() -> None:
    assert {s for s in TurnState if s.may_become(S)} == {W}


def test_what_was_installed_is_not_begun_again_by_itself() -> None:
    assert {s for s in TurnState if H.may_become(s)} == {F}
    assert {s for s in TurnState if K.may_become(s)} == {H, F}
    assert not tried_again(Failure.UNHEALTHY, 1, 3)
    assert F.may_become(W) and tried_again(Failure.INSTALLATION, 1, 3)


def test_every_state_but_the_first_is_reached_and_no_turn_is_stuck() -> None:
    for state in TurnState:
        assert any(state.may_become(other) for other in TurnState)
        assert any(other.may_become(state) for other in TurnState)
        assert not state.may_become(state)


@pytest.mark.parametrize(
    ("failure", "attempts", "again"),
    [
        (Failure.INSTALLATION, 1, True),
        (Failure.INSTALLATION, 2, True),
        (Failure.INSTALLATION, 3, False),
        (Failure.LOST, 2, True),
        (Failure.LOST, 3, False),
        (Failure.UNHEALTHY, 1, False),
    ],
)
def test_what_is_tried_again(failure: Failure, attempts: int, again: bool) -> None:
    assert tried_again(failure, attempts, 3) is again
