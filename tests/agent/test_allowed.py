"""What one machine refuses by itself: windows in its own zone, rings, soaks, its own count."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hotmend.agent.allowed import Machine, to_act, to_begin, to_install
from hotmend.model.agent_messages import Order, RunKind
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.release.policy import Policy, parse

POLICY = parse(
    json.dumps(
        {
            "rings": [{"name": "canary", "percent": 10}, {"name": "all", "percent": 90}],
            "largest_batch": 50,
            "windows": [{"opens": "22:00", "closes": "06:00"}],
            "minimum_soak_minutes": 120,
            "orders_per_day": 2,
        }
    )
)
NIGHT = datetime(2026, 11, 23, 23, 0, tzinfo=UTC)
HERE = Machine("0123456789abcdef", "all", "Etc/UTC")


def code(refusal: Refusal | None) -> RefusalCode | None:
    return refusal.code if refusal is not None else None


@pytest.mark.parametrize(
    ("zone", "later_h", "expected"),
    [
        ("Etc/UTC", 0, None),
        ("Etc/UTC", -2, RefusalCode.OUTSIDE_WINDOW),
        ("Etc/UTC", 6, None),
        ("Etc/UTC", 7, RefusalCode.OUTSIDE_WINDOW),
        # 23:00 UTC is 04:30 there, and 01:00 is 06:30.
        ("Asia/Kolkata", 0, None),
        ("Asia/Kolkata", 2, RefusalCode.OUTSIDE_WINDOW),
        ("America/New_York", 0, RefusalCode.OUTSIDE_WINDOW),
        ("America/New_York", 5, None),
        ("Moon/Tycho", 0, RefusalCode.OUTSIDE_WINDOW),
        ("../../etc/passwd", 0, RefusalCode.OUTSIDE_WINDOW),
    ],
)
def test_windows_are_in_the_machines_own_zone(
    zone: str, later_h: int, expected: RefusalCode | None
) -> None:
    now = NIGHT + timedelta(hours=later_h)
    assert code(to_act(POLICY, replace(HERE, zone=zone), now, 0)) is expected


@pytest.mark.parametrize(
    ("day", "open_hours"),
    [
        (datetime(2026, 3, 28), 7),  # Berlin's clocks go forward in this night
        (datetime(2026, 10, 24), 9),  # and back in this one
        (datetime(2026, 11, 23), 8),
    ],
)
def test_a_window_is_open_by_the_wall_clock_when_clocks_change(
    day: datetime, open_hours: int
) -> None:
    berlin = replace(HERE, zone="Europe/Berlin")
    noon = day.replace(hour=12, tzinfo=UTC)
    minutes = [noon + timedelta(minutes=m) for m in range(24 * 60)]
    opened = sum(to_act(POLICY, berlin, now, 0) is None for now in minutes)
    assert opened == open_hours * 60


@pytest.mark.parametrize(
    ("until", "now", "void"),
    [
        (None, 1e12, False),
        (1000.0, 999.9, False),
        (1000.0, 1000.0, True),
        (float("nan"), 0.0, True),
        (float("-inf"), 0.0, True),
        (1e300, 1e12, False),
    ],
)
def test_an_order_begins_before_its_window_closes(
    until: float | None, now: float, void: bool
) -> None:
    refusal = to_begin(Order("o", RunKind.INSTALL, until=until), now)
    assert (refusal is not None) is void
    assert refusal is None or refusal.code is RefusalCode.ORDER_EXPIRED


def test_a_machine_counts_its_own_orders() -> None:
    assert to_act(POLICY, HERE, NIGHT, 1) is None
    assert code(to_act(POLICY, HERE, NIGHT, 2)) is RefusalCode.TOO_MANY_ORDERS


@pytest.mark.parametrize(
    ("ring", "age", "expected"),
    [
        ("canary", timedelta(0), None),
        ("all", timedelta(hours=2), None),
        ("all", timedelta(hours=2) - timedelta(seconds=1), RefusalCode.RING_NOT_REACHED),
        ("no such ring", timedelta(minutes=1), RefusalCode.RING_NOT_REACHED),
        ("canary", None, None),
        ("all", None, RefusalCode.RING_NOT_REACHED),
    ],
)
def test_a_ring_waits_for_the_ring_before(
    ring: str, age: timedelta | None, expected: RefusalCode | None
) -> None:
    released = NIGHT - age if age is not None else None
    here = replace(HERE, ring=ring)
    assert code(to_install(POLICY, here, NIGHT, "nginx=2", released)) is expected


def test_without_a_policy_everything_signed_is_allowed() -> None:
    assert to_act(None, HERE, NIGHT, 99) is None
    assert to_install(None, HERE, NIGHT, "nginx=2", None) is None


def test_a_policy_that_cannot_be_read_allows_nothing() -> None:
    unread = Refusal(RefusalCode.POLICY_UNREADABLE, "the mirror is away")
    assert to_act(unread, HERE, NIGHT, 0) is unread
    assert to_install(unread, HERE, NIGHT, "nginx=2", NIGHT) is unread


def test_the_sentence_says_when() -> None:
    refusal = to_install(POLICY, HERE, NIGHT, "nginx=2", NIGHT)
    assert isinstance(POLICY, Policy) and refusal is not None
    assert refusal.sentence == "this machine is in ring all, which begins at 2026-11-24 01:00 UTC"
