"""The signed policy: what is beyond it is forbidden, with the reason."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotmend.release.errors import CatalogueError
from hotmend.release.policy import Policy, Request, Window, forbids, parse

TEXT = {
    "rings": ["canary", "early", "all"],
    "largest_batch": 50,
    "windows": [{"opens": "22:00", "closes": "06:00"}],
    "minimum_soak_minutes": 60,
}
POLICY = parse(json.dumps(TEXT))
NIGHT = datetime(2026, 11, 23, 23, 0, tzinfo=UTC)
REQUEST = Request("early", 10, timedelta(hours=2), NIGHT, "UTC")


def test_what_is_within_the_policy_is_allowed() -> None:
    assert forbids(POLICY, REQUEST) == ""
    assert forbids(POLICY, replace(REQUEST, ring="canary", soaked=None)) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ring": "everything"}, "no ring everything"),
        ({"batch": 51}, "51 machines at a time"),
        ({"soaked": timedelta(minutes=59)}, "has not run it for 1:00:00"),
        ({"soaked": None}, "has not run it"),
        ({"now": NIGHT - timedelta(hours=2)}, "outside every window"),
        ({"zone": "Asia/Kolkata", "now": NIGHT + timedelta(hours=2)}, "Tue 06:30 in Asia/Kolkata"),
        ({"zone": "Moon/Tycho"}, "is no time zone"),
    ],
)
def test_what_is_beyond_it_is_forbidden(change: dict[str, object], reason: str) -> None:
    assert reason in forbids(POLICY, replace(REQUEST, **change))  # type: ignore[arg-type]


@given(st.integers(0, 7 * 24 * 60 - 1))
def test_a_window_past_midnight_belongs_to_the_day_on_which_it_opens(minute: int) -> None:
    friday = Window(frozenset({4}), time(22), time(6))
    moment = datetime(2026, 11, 23) + timedelta(minutes=minute)  # a Monday
    opened = datetime(2026, 11, 27, 22)
    assert friday.contains(moment) is (opened <= moment < opened + timedelta(hours=8))


def test_without_windows_any_time_will_do() -> None:
    policy: Policy = replace(POLICY, windows=())
    assert forbids(policy, replace(REQUEST, now=NIGHT + timedelta(hours=12))) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"rings": []},
        {"rings": "canary"},
        {"rings": ["a", "a"]},
        {"largest_batch": 0},
        {"largest_batch": "many"},
        {"windows": [{"opens": "25:00", "closes": "06:00"}]},
        {"windows": [{"opens": "22:00", "closes": "06:00", "days": ["someday"]}]},
        {"windows": [{"opens": "22:00", "closes": "06:00", "days": []}]},
        {"minimum_soak_minutes": -1},
    ],
    ids=str,
)
def test_what_is_no_policy_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(CatalogueError, match="policy"):
        parse(json.dumps(TEXT | change))
    for name in TEXT:
        with pytest.raises(CatalogueError):
            parse(json.dumps({k: v for k, v in TEXT.items() if k != name}))
