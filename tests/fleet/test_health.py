"""The health gate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hotmend.fleet.health import (
    HEARTBEAT,
    MEMORY,
    NO_CRASH,
    POWER,
    REQUIRED,
    Signal,
    crashed_later,
    health,
    lost,
    probe,
)
from hotmend.fleet.settings import Settings
from hotmend.fleet.turn import TurnState

SETTINGS = Settings(soak_s=900, signal_max_age_s=300, order_patience_s=3600)
SINCE = 1_000_000.0
END = SINCE + 900


def good(at: float, *probes: str) -> dict[str, Signal]:
    return {name: Signal(True, at) for name in (*REQUIRED, *map(probe, probes))}


def state(
    signals: dict[str, Signal], now: float, *probes: str, listening_since: float = 0.0
) -> TurnState:
    return health(SINCE, signals, probes, SETTINGS, now, listening_since).state


def test_it_is_healthy_when_every_signal_was_good_for_the_whole_soak() -> None:
    assert state(good(END - 1), END - 0.1) is TurnState.SOAKING
    assert state(good(END - 1), END) is TurnState.HEALTHY
    assert state(good(END - 1, "web"), END, "web") is TurnState.HEALTHY


@pytest.mark.parametrize("name", [HEARTBEAT, POWER, NO_CRASH, MEMORY, probe("web")])
def test_a_signal_that_is_missing_stale_or_bad_fails_it(name: str) -> None:
    signals = good(END - 1, "web")
    missing = {key: value for key, value in signals.items() if key != name}
    assert state(missing, END - 1, "web") is TurnState.SOAKING
    assert state(missing, END, "web") is TurnState.FAILED
    assert state(signals | {name: Signal(True, END - 301)}, END, "web") is TurnState.FAILED
    assert state(signals | {name: Signal(True, END - 300)}, END, "web") is TurnState.HEALTHY
    bad = health(
        SINCE, signals | {name: Signal(False, SINCE + 1, "gone")}, ["web"], SETTINGS, SINCE + 2
    )
    assert bad.state is TurnState.FAILED and bad.sentence == f"{name}: gone"


def test_what_was_said_before_the_patch_does_not_count() -> None:
    early = good(END - 1) | {NO_CRASH: Signal(False, SINCE - 1)}
    assert state(early, SINCE + 1) is TurnState.SOAKING
    assert state(good(SINCE - 1), END) is TurnState.FAILED


def test_a_probe_that_nobody_configured_is_not_asked_for() -> None:
    stray = good(END - 1) | {probe("old"): Signal(False, END - 1)}
    assert state(stray, END) is TurnState.HEALTHY
    assert state(stray, END, "old") is TurnState.FAILED


def test_a_late_question_has_the_answer_of_a_timely_one() -> None:
    assert state(good(END - 1), END + 50_000) is TurnState.HEALTHY
    assert state(good(END - 301), END + 50_000) is TurnState.FAILED


def test_an_outage_of_the_control_plane_makes_nobody_ill() -> None:
    """It was away from the middle of the soak until an hour after its end."""
    back = END + 3600
    before = good(SINCE + 400)
    assert state(before, back + 1, listening_since=back) is TurnState.SOAKING
    again = {name: Signal(True, back + 60) for name in before}
    assert state(again, back + 300, listening_since=back) is TurnState.HEALTHY
    assert state(before, back + 300, listening_since=back) is TurnState.FAILED
    assert state(before, back + 1) is TurnState.FAILED


def test_only_a_crash_counts_after_the_soak() -> None:
    assert crashed_later(SINCE, {NO_CRASH: Signal(False, END + 5, "nginx: SIGSEGV")})
    assert not crashed_later(SINCE, {NO_CRASH: Signal(False, SINCE - 5)})
    assert not crashed_later(SINCE, {NO_CRASH: Signal(True, END)})
    assert not crashed_later(SINCE, {HEARTBEAT: Signal(False, END)})


def test_an_order_of_which_nothing_is_heard_is_lost() -> None:
    assert not lost(SINCE, 0.0, SETTINGS, SINCE + 3600)
    assert lost(SINCE, 0.0, SETTINGS, SINCE + 3601)
    assert not lost(SINCE, SINCE + 2000, SETTINGS, SINCE + 5600)
    assert not lost(SINCE, 0.0, SETTINGS, SINCE + 5000, listening_since=SINCE + 4000)
    patient = replace(SETTINGS, order_patience_s=7200)
    assert not lost(SINCE, 0.0, patient, SINCE + 3601)
