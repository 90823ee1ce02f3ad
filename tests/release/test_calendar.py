"""The calendar: the rule, and Windows Server's history reproduced by it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from hotmend.release import history
from hotmend.release.calendar import (
    calendar,
    restart_needed_by,
    second_tuesday,
    slot,
    slots,
)
from hotmend.release.errors import CatalogueError
from hotmend.release.ics import ics
from hotmend.release.release import Kind, Month, Planning

RELEASES = history.shipped()
PRODUCTS = history.products(RELEASES)
FIRST, LAST = Month(2024, 1), Month(2026, 12)


def test_a_planned_year_has_four_baselines_and_eight_hotpatches() -> None:
    kinds = [s.kind for s in slots(Month(2031, 1), Month(2031, 12))]
    assert kinds == [Kind.BASELINE, Kind.HOTPATCH, Kind.HOTPATCH] * 4


@given(st.integers(1970, 2200), st.integers(1, 12))
def test_a_release_is_on_the_second_tuesday(year: int, number: int) -> None:
    day = second_tuesday(Month(year, number))
    assert (day.year, day.month, day.weekday()) == (year, number, 1)
    assert 8 <= day.day <= 14


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_row_of_history_is_where_the_rule_puts_it_or_says_why(product: str) -> None:
    rows = history.of_product(RELEASES, product)
    entries = calendar(rows, FIRST, LAST)
    for row in rows:
        (entry,) = [e for e in entries if e.slot.month == row.month]
        if row.planning is Planning.OUT_OF_BAND:
            assert row in entry.out_of_band and row.article in entry.differs
            continue
        expected = row.kind is entry.slot.kind and row.released in (None, entry.slot.day)
        assert expected or (entry.differs and row.note in entry.differs)
        assert entry.kind is row.kind
        assert row.restarts is (row.kind is not Kind.HOTPATCH)


def test_two_months_differ_from_the_rule_and_the_data_says_why() -> None:
    different = {
        (product, str(entry.slot.month)): entry
        for product in PRODUCTS
        for entry in calendar(history.of_product(RELEASES, product), FIRST, LAST)
        if entry.differs
    }
    august = different["Windows Server 2022 Datacenter: Azure Edition", "2024-08"]
    assert august.kind is Kind.BASELINE and august.slot.kind is Kind.HOTPATCH
    assert august.release is not None and august.release.article == "KB5041160"
    assert "originally planned as hotpatch" in august.differs
    october = different["Windows Server 2025", "2025-10"]
    off_track = [r for r in october.out_of_band if not r.on_track]
    assert [r.article for r in off_track] == ["KB5070881"]
    assert "until the next baseline" in october.differs
    beside = {key for key, entry in different.items() if entry.kind is entry.slot.kind}
    assert len(beside) == len(different) - 1  # all others: releases beside the month's


def test_an_unplanned_baseline_does_not_shift_the_quarter() -> None:
    rows = history.of_product(RELEASES, "2022")
    entries = calendar(rows, Month(2024, 7), Month(2024, 10))
    assert [e.kind for e in entries] == [
        *(Kind.BASELINE, Kind.BASELINE, Kind.HOTPATCH, Kind.BASELINE)
    ]


def test_slots_that_lie_ahead_stay_planned() -> None:
    entries = calendar(history.of_product(RELEASES, "Server 2025"), Month(2026, 9), LAST)
    assert [(e.kind, e.day) for e in entries] == [
        (slot(e.slot.month).kind, second_tuesday(e.slot.month)) for e in entries
    ]
    assert all(e.release is None or not e.release.article for e in entries)


def test_the_next_restart_is_the_next_baseline() -> None:
    entries = calendar(history.of_product(RELEASES, "2022"), Month(2024, 7), Month(2024, 12))
    assert restart_needed_by(entries, date(2024, 7, 9)) == date(2024, 8, 13)
    assert restart_needed_by(entries, date(2024, 8, 13)) == date(2024, 10, 8)
    assert restart_needed_by(entries, date(2024, 10, 8)) is None


@pytest.mark.parametrize("product", PRODUCTS)
def test_it_opens_as_icalendar(product: str) -> None:
    entries = calendar(history.of_product(RELEASES, product), FIRST, LAST)
    parsed = Calendar.from_ical(ics(product, entries, datetime(2026, 1, 1, tzinfo=UTC)))
    events = [event for event in parsed.walk("VEVENT")]
    days = [event.decoded("dtstart") for event in events]
    assert {entry.day for entry in entries} <= set(days)
    assert len({str(event["uid"]) for event in events}) == len(events) >= len(entries)
    titles = [str(event["summary"]) for event in events]
    restarts = [entry.day for entry in entries if entry.kind is Kind.BASELINE]
    assert sum("restart needed" in title for title in titles) >= len(restarts) >= 8


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("2024-01", "2024-13"), "line 2"),
        (("baseline", "basement"), "line 2"),
        (("2024-01-09", "9 January"), "line 2"),
        (("article", "artikel"), "lacks the columns article"),
    ],
)
def test_a_table_with_a_mistake_is_refused_by_line(change: tuple[str, str], sentence: str) -> None:
    header = ",".join(history.COLUMNS)
    line = "Thing,2024-01,baseline,planned,2024-01-09,KB1,1.0,KB1,1.0,yes,,me"
    assert len(history.parse(f"{header}\n{line}\n", "own.csv")) == 1
    with pytest.raises(CatalogueError, match=sentence):
        history.parse(f"{header}\n{line}\n".replace(*change), "own.csv")


def test_a_product_is_found_by_a_part_of_its_name_when_it_is_clear() -> None:
    assert history.of_product(RELEASES, "2025")[0].product == "Windows Server 2025"
    with pytest.raises(CatalogueError, match="is not one product"):
        history.of_product(RELEASES, "Windows")
