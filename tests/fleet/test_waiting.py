"""Why a machine waits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fleet.clocks import utc
from hotmend.fleet.admission import Gate
from hotmend.fleet.place import Place
from hotmend.fleet.rollout import RolloutState
from hotmend.fleet.settings import Settings
from hotmend.fleet.turn import TurnState
from hotmend.fleet.waiting import Case, Code, waiting
from hotmend.fleet.window import Occurrence

NOW = utc("2026-11-25T22:00").timestamp()
TONIGHT = Occurrence("2026-11-25", utc("2026-11-25T21:00"), utc("2026-11-26T05:00"))
TOMORROW = Occurrence("2026-11-26", utc("2026-11-26T21:00"), utc("2026-11-27T05:00"))
# Nothing stops this one.
FREE = Case(
    TurnState.WAITING,
    RolloutState.RUNNING,
    Place("westeurope", "1", "g", 2),
    ZoneInfo("Europe/Berlin"),
    TOMORROW,
    phase=1,
    open_phase=1,
    heard=NOW - 20,
    window=TONIGHT,
)
CASES = {
    Code.EXCLUDED: ({"turn": TurnState.EXCLUDED}, "a person excluded it from this rollout"),
    Code.FAILED: (
        {"turn": TurnState.FAILED, "failure": "no-crash: SIGSEGV"},
        "it failed: no-crash: SIGSEGV",
    ),
    Code.PAUSED: ({"rollout": RolloutState.PAUSED}, "a person paused the rollout"),
    Code.HALTED: ({"rollout": RolloutState.HALTED}, "the rollout was halted by failures"),
    Code.CANCELLED: ({"rollout": RolloutState.CANCELLED}, "the rollout was cancelled"),
    Code.FINISHED: (
        {"rollout": RolloutState.FINISHED},
        "the rollout ended before it could be reached",
    ),
    Code.FROZEN: ({"frozen": True}, "too many machines of its subscription failed"),
    Code.PHASE: ({"phase": 3}, "it is in phase 3, and phase 1 is not done"),
    Code.OFF: ({"on": False}, "it is switched off; it is picked up when it is on again"),
    Code.SILENT: ({"heard": NOW - 4000}, "nothing was heard from it for 66 minutes"),
    Code.CLOSED: (
        {"window": None},
        "the next window opens at 2026-11-26 22:00 Europe/Berlin",
    ),
    Code.USED: (
        {"used": "2026-11-25"},
        "it was started in this window already; the next window opens at 2026-11-26 22:00 "
        "Europe/Berlin",
    ),
    Code.BUSY: (
        {"stopped": Gate.HOLDS},
        "it is at its turn in another rollout, or failed there",
    ),
    Code.GROUP: (
        {"stopped": Gate.GROUP, "size": 9, "holding": 1, "active": 2},
        "1 of its group of 9 are away or failed; 1 may be",
    ),
    Code.DOMAIN: (
        {"stopped": Gate.GROUP, "size": 9, "holding": 1, "active": 0},
        "update domain 0 is at its turn, and it is in 2",
    ),
    Code.PAIR: (
        {"stopped": Gate.PAIR},
        "the region that is paired with westeurope is at its turn",
    ),
    Code.ZONE: ({"stopped": Gate.ZONE}, "another zone of westeurope than 1 is at its turn"),
    Code.MOST: (
        {"stopped": Gate.MOST, "in_flight": 50, "most": 50},
        "50 machines are in flight; the rollout may have 50",
    ),
    Code.NEXT: ({}, "nothing stops it: it starts next"),
}


@pytest.mark.parametrize("code", Code)
def test_each_reason_has_its_code_and_one_sentence(code: Code) -> None:
    changed, sentence = CASES[code]
    found = waiting(replace(FREE, **changed), Settings(), NOW)  # type: ignore[arg-type]
    assert found is not None and (found.code, found.sentence) == (code, sentence)


def test_the_first_reason_is_given_when_there_are_several() -> None:
    """Each with all that come after it."""
    case = FREE
    for code in reversed(Code):
        case = replace(case, **CASES[code][0])  # type: ignore[arg-type]
        found = waiting(case, Settings(), NOW)
        assert found is not None and found.code is code


def test_a_schedule_may_have_run_out() -> None:
    found = waiting(replace(FREE, window=None, following=None), Settings(), NOW)
    assert found is not None and found.sentence == "there is no further window"


def test_who_is_at_its_turn_or_healthy_does_not_wait() -> None:
    for turn in (TurnState.STARTED, TurnState.SOAKING, TurnState.HEALTHY):
        assert waiting(replace(FREE, turn=turn), Settings(), NOW) is None


def test_the_page_has_every_code_in_order() -> None:
    text = (Path(__file__).parents[2] / "docs" / "rollouts.md").read_text()
    rows = text.split("## Why a machine waits")[1].splitlines()
    assert [row.split("`")[1] for row in rows if row.startswith("| `")] == list(Code)
