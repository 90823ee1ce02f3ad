"""The signed policy: rings, windows, soak; what is none is refused."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotmend.release.errors import CatalogueError
from hotmend.release.policy import Window, parse

TEXT = {
    "rings": [
        {"name": "canary", "percent": 1},
        {"name": "early", "percent": 9},
        {"name": "all", "percent": 90},
    ],
    "largest_batch": 50,
    "windows": [{"opens": "22:00", "closes": "06:00"}],
    "minimum_soak_minutes": 60,
    "orders_per_day": 4,
}
POLICY = parse(json.dumps(TEXT))


def test_machines_fall_into_rings_by_their_own_identity_and_in_proportion() -> None:
    rings = [POLICY.ring(f"{number:032x}") for number in range(20_000)]
    counts = Counter(rings)
    assert [round(counts[place] / 200) for place in range(3)] == pytest.approx([1, 9, 90], abs=1)
    assert rings[:50] == [POLICY.ring(f"{number:032x}") for number in range(50)]


def test_an_owner_chooses_and_what_tells_nothing_comes_last() -> None:
    assert POLICY.ring("a machine", "canary") == 0
    assert POLICY.ring("a machine", "no such ring") == 2
    assert POLICY.ring("") == 2


def test_each_ring_begins_a_soak_after_the_one_before() -> None:
    released = datetime(2026, 11, 10, 18, tzinfo=UTC)
    hours = [(POLICY.begins(place, released) - released) / timedelta(hours=1) for place in range(3)]
    assert hours == [0, 1, 2]


@given(st.integers(0, 7 * 24 * 60 - 1))
def test_a_window_past_midnight_belongs_to_the_day_on_which_it_opens(minute: int) -> None:
    friday = Window(frozenset({4}), time(22), time(6))
    moment = datetime(2026, 11, 23) + timedelta(minutes=minute)  # a Monday
    opened = datetime(2026, 11, 27, 22)
    assert friday.contains(moment) is (opened <= moment < opened + timedelta(hours=8))


def test_without_windows_any_time_will_do() -> None:
    noon = datetime(2026, 11, 23, 12)
    assert not POLICY.open_at(noon)
    assert parse(json.dumps(TEXT | {"windows": []})).open_at(noon)


@pytest.mark.parametrize(
    "change",
    [
        {"rings": []},
        {"rings": "canary"},
        {"rings": ["canary"]},
        {"rings": [{"name": "a", "percent": 50}, {"name": "a", "percent": 50}]},
        {"rings": [{"name": "a", "percent": 99}]},
        {"rings": [{"name": "a", "percent": 101}, {"name": "b", "percent": -1}]},
        {"largest_batch": 0},
        {"largest_batch": "many"},
        {"windows": None},
        {"windows": [{"opens": "25:00", "closes": "06:00"}]},
        {"windows": [{"opens": "22:00+01:00", "closes": "06:00"}]},
        {"windows": [{"opens": "22:00", "closes": "06:00", "days": ["someday"]}]},
        {"windows": [{"opens": "22:00", "closes": "06:00", "days": []}]},
        {"minimum_soak_minutes": -1},
        {"minimum_soak_minutes": float("nan")},
        {"minimum_soak_minutes": float("inf")},
        {"orders_per_day": True},
    ],
    ids=str,
)
def test_what_is_no_policy_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(CatalogueError, match="policy"):
        parse(json.dumps(TEXT | change))


@pytest.mark.parametrize("name", list(TEXT))
def test_a_policy_says_everything(name: str) -> None:
    with pytest.raises(CatalogueError, match=name):
        parse(json.dumps({k: v for k, v in TEXT.items() if k != name}))


@pytest.mark.parametrize("text", ["", "[]", "null", "3", "[" * 50_000])
def test_rubbish_is_refused(text: str) -> None:
    with pytest.raises(CatalogueError):
        parse(text)
