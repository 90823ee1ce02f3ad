"""Off-peak windows: a table that a person can read, and thousands against walking the clock."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import available_timezones

import pytest

from fleet.clocks import DAY, utc, walked
from hotmend.fleet import window as rules
from hotmend.fleet.window import Occurrence, Window, current, next_after, occurrence
from hotmend.fleet.zone import zone

TABLE = Path(__file__).with_name("window_table.txt")
NIGHT = Window(time(22), time(6))
# Machines do not stand in zones that only have these names, and no clock of theirs is special.
ZONES = sorted(name for name in available_timezones() if "/" in name and "Etc/" not in name)
GENERATED = 10_000 if os.environ.get("HOTMEND_FULL") else 400


@dataclass(frozen=True)
class Row:
    name: str
    zone: str
    window: Window
    day: date
    expected: tuple[datetime, datetime] | None


def table() -> Iterator[Row]:
    for line in TABLE.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, place, window, day, opens, closes = (word.strip() for word in line.split("|"))
        local = date.fromisoformat(day)
        expected = None
        if opens != "never":
            first, last = (utc(f"{local.year}-{text}") for text in (opens, closes))
            expected = first, last if last > first else last.replace(year=last.year + 1)
        yield Row(name, place, parsed(window), local, expected)


def parsed(text: str) -> Window:
    opens, closes = text.split("-")
    return Window(time.fromisoformat(opens), time.fromisoformat(closes))


ROWS = list(table())


def interval(found: Occurrence | None) -> tuple[datetime, datetime] | None:
    return found and (found.opens, found.closes)


def test_the_table_has_sixty_cases_and_more() -> None:
    assert len({row.name for row in ROWS if "Windows name" not in row.name}) >= 60


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_table(row: Row) -> None:
    assert interval(occurrence(row.window, zone(row.zone), row.day)) == row.expected


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_walking_along_the_clock_agrees_with_the_table(row: Row) -> None:
    noon = datetime.combine(row.day, time(12), UTC)
    found = walked(
        row.window.opens, row.window.closes, zone(row.zone), noon - 2 * DAY, noon + 3 * DAY
    )
    assert found.get(row.day.isoformat()) == row.expected


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_is_open_from_its_first_second_to_its_last(row: Row) -> None:
    if row.expected is None:
        return
    opens, closes = row.expected
    second, where = timedelta(seconds=1), zone(row.zone)
    for at in (opens, opens + (closes - opens) / 2, closes - second):
        found = current(row.window, where, at)
        assert found is not None and found.id == row.day.isoformat()
    for at in (opens - second, closes):
        found = current(row.window, where, at)
        assert found is None or found.id != row.day.isoformat()
    assert next_after(row.window, where, opens - second).id == row.day.isoformat()
    assert next_after(row.window, where, opens).opens > opens


def test_a_generated_window_is_that_of_walking_along_the_clock() -> None:
    """On days around a change of the clock, where there is one in the year."""
    seed = 20260328
    chance = random.Random(seed)
    left = GENERATED
    while left > 0:
        name = chance.choice(ZONES)
        window = Window(*chance.sample([time(h, m) for h in range(24) for m in range(0, 60, 5)], 2))
        begin = near_a_change(name, chance)
        days = [begin.date() + n * DAY for n in range(2, 5)]
        found = walked(window.opens, window.closes, zone(name), begin, begin + 8 * DAY)
        for day in days:
            expected = found.get(day.isoformat())
            assert interval(occurrence(window, zone(name), day)) == expected, (
                f"seed {seed}: {name} {window} {day}"
            )
        left -= len(days)


def near_a_change(name: str, chance: random.Random) -> datetime:
    """Some three days before one, from 1980 to 2036."""
    at = datetime(chance.randint(1980, 2036), chance.randint(1, 12), 1, tzinfo=UTC)
    where = zone(name)
    for days in range(365):
        day = at + days * DAY
        if day.astimezone(where).utcoffset() != (day + DAY).astimezone(where).utcoffset():
            return day - chance.choice((2, 3)) * DAY
    return at


@pytest.mark.parametrize(
    ("name", "year"),
    [("Europe/Berlin", 2026), ("Australia/Lord_Howe", 2026), ("Pacific/Apia", 2011)],
)
def test_a_year_of_nights_never_overlaps_and_has_one_id_each(name: str, year: int) -> None:
    where, at = zone(name), datetime(year, 1, 1, tzinfo=UTC)
    nights = []
    while at.year == year:
        nights.append(next_after(NIGHT, where, at))
        at = nights[-1].opens
    assert len({night.id for night in nights}) == len(nights) >= 365
    assert all(one.closes <= other.opens for one, other in pairwise(nights))


def test_between_windows_it_is_closed() -> None:
    where = zone("Europe/Berlin")
    assert current(NIGHT, where, utc("2026-01-14T12:00")) is None
    assert current(NIGHT, where, utc("2026-01-14T22:00")) is not None


def test_a_window_that_took_no_notice_of_the_clock_would_fail_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if the offset at its opening held for all of it."""
    real = rules._offset
    monkeypatch.setattr(
        rules,
        "_offsets",
        lambda where, begin, end: [(begin, end, real(where, begin + rules._FAR))],
    )
    occurrence.cache_clear()
    wrong = [r for r in ROWS if interval(occurrence(r.window, zone(r.zone), r.day)) != r.expected]
    occurrence.cache_clear()
    assert len(wrong) > 20
    assert not [r for r in wrong if "ordinary" in r.name or "keeps its clocks" in r.name]


def test_minutes_are_walked_one_by_one() -> None:
    """The yardstick itself: a night of eight hours in which nothing happens."""
    found = walked(time(22), time(6), zone("UTC"), utc("2026-01-14T12:00"), utc("2026-01-15T12:00"))
    assert found == {"2026-01-14": (utc("2026-01-14T22:00"), utc("2026-01-15T06:00"))}
