"""recurEvery: its grammar, and its days against counting them one by one."""

from __future__ import annotations

import calendar
import random
from datetime import date, datetime, timedelta
from itertools import dropwhile, islice

import pytest

from hotmend.fleet.recurrence import LAST_DAY, WEEKDAYS, Recurrence, Unit, parsed, starts

DAY = timedelta(days=1)
START = datetime(2026, 1, 3, 22, 30)  # A Saturday.


def first(text: str, count: int, start: datetime = START) -> list[str]:
    found = list(islice(starts(parsed(text), start), count))
    assert {at.time() for at in found} == {start.time()}
    return [f"{at:%m-%d}" for at in found]


@pytest.mark.parametrize(
    ("text", "days"),
    [
        # The examples of the specification.
        ("Day", ["01-03", "01-04", "01-05"]),
        ("3Days", ["01-03", "01-06", "01-09"]),
        ("3Weeks", ["01-03", "01-24", "02-14"]),
        ("Week Saturday,Sunday", ["01-03", "01-04", "01-10", "01-11"]),
        ("Month", ["01-03", "02-03", "03-03"]),
        ("2Months", ["01-03", "03-03", "05-03"]),
        ("Month day23,day24", ["01-23", "01-24", "02-23", "02-24"]),
        ("Month Last Sunday", ["01-25", "02-22", "03-29"]),
        ("Month Fourth Monday", ["01-26", "02-23", "03-23"]),
        ("Month Last Sunday Offset-3", ["01-22", "02-19", "03-26"]),
        ("Month Third Sunday Offset6", ["01-24", "02-21", "03-21"]),
        # The Saturday after Patch Tuesday.
        ("Month Second Tuesday Offset4", ["01-17", "02-14", "03-14"]),
        # As clients write them.
        ("1Day", ["01-03", "01-04"]),
        ("week sunday, TUESDAY", ["01-04", "01-06", "01-11"]),
        ("2Weeks Monday,Sunday", ["01-04", "01-12", "01-18", "01-26"]),
        ("Month day-1", ["01-31", "02-28", "03-31", "04-30"]),
        ("Month day31", ["01-31", "03-31", "05-31"]),
        ("1Month First Saturday", ["01-03", "02-07"]),
        # An offset leads over the end of a month, into one before the start as well.
        ("Month Last Friday Offset6", ["02-05", "03-05"]),
        ("Month First Thursday Offset-6", ["01-30", "02-27"]),
        ("3Months Last Wednesday Offset5", ["02-02", "05-04"]),
    ],
)
def test_what_is_written_falls_on_these_days(text: str, days: list[str]) -> None:
    assert first(text, len(days)) == days


def test_hours_go_by_the_local_clock() -> None:
    found = islice(starts(parsed("6Hours"), START), 3)
    assert [f"{at:%d %H:%M}" for at in found] == ["03 22:30", "04 04:30", "04 10:30"]


def test_it_ends_before_pythons_calendar_does() -> None:
    late = datetime(9999, 12, 20)
    assert [at.day for at in starts(parsed("Day"), late)] == [20, 21, 22, 23, 24]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must begin with"),
        ("Year", "must begin with"),
        ("Fortnight", "must begin with"),
        ("-1Day", "must begin with"),
        ("1.5Days", "must begin with"),
        ("3 Days", "must begin with"),
        ("99999Days", "must begin with"),
        ("٣Days", "must begin with"),
        ("0Days", "too often"),
        ("Hour", "too often"),
        ("5Hours", "too often"),
        ("Day Monday", "takes none"),
        ("6Hours Monday", "takes none"),
        ("Week Caturday", "no day of the week"),
        ("Week Saturday,,Sunday", "no day of the week"),
        ("Week Saturday Offset2", "no day of the week"),
        ("Month day0", "no day of the month"),
        ("Month day32", "no day of the month"),
        ("Month day-2", "no day of the month"),
        ("Month 23", "no day of the month"),
        ("Month Fifth Monday", "no day of the month"),
        ("Month Last", "no day of the week"),
        ("Month Last day3", "no day of the week"),
        ("Month Last Sunday Offset7", "Offset-6 to Offset6"),
        ("Month Last Sunday Offset-7", "Offset-6 to Offset6"),
        ("Month Last Sunday 3", "Offset-6 to Offset6"),
        ("Month Last Sunday Offset1 Offset1", "Offset-6 to Offset6"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parsed(text)
    assert repr(text) in str(caught.value)
    assert parsed("Month Last Sunday Offset6")


# --- against counting day by day ----------------------------------------------------------------


def brute(recurrence: Recurrence, start: date, days: int) -> list[date]:
    """Each day asked for itself whether it is one."""
    return [day for n in range(days) if _is_one(recurrence, start, day := start + n * DAY)]


def _is_one(r: Recurrence, start: date, day: date) -> bool:
    if r.unit is Unit.DAY:
        return (day - start).days % r.every == 0
    if r.unit is Unit.WEEK:
        weeks = (_monday(day) - _monday(start)).days // 7
        return weeks % r.every == 0 and day.weekday() in (r.weekdays or (start.weekday(),))
    named = day - r.offset * DAY
    months = (named.year - start.year) * 12 + named.month - start.month
    if months % r.every:
        return False
    length = calendar.monthrange(named.year, named.month)[1]
    if not r.week:
        wanted = {length if n == LAST_DAY else n for n in r.days or (start.day,)}
        return named.day in wanted
    in_week = (named.day - 1) // 7 + 1 == r.week if r.week > 0 else named.day + 7 > length
    return in_week and named.weekday() == r.weekdays[0]


def _monday(day: date) -> date:
    return day - day.weekday() * DAY


def drawn(chance: random.Random) -> str:
    """Any text of the grammar, hours apart."""
    every = chance.choice(["", "1", "2", "3", "5", "13"])
    names = [name.capitalize() for name in WEEKDAYS]
    weekdays = ",".join(chance.sample(names, chance.randint(1, 4)))
    days = ",".join(f"day{chance.choice([LAST_DAY, *range(1, 32)])}" for _ in range(2))
    nth = f"{chance.choice(['First', 'Second', 'Third', 'Fourth', 'Last'])} {chance.choice(names)}"
    return chance.choice(
        [
            f"{every}Day",
            f"{every}Weeks",
            f"{every}Week {weekdays}",
            f"{every}Months",
            f"{every}Month {days}",
            f"{every}Month {nth}",
            f"{every}Month {nth} Offset{chance.randint(-6, 6)}",
        ]
    )


@pytest.mark.parametrize("seed", range(10))
def test_drawn_recurrences_are_those_of_counting(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(50):
        text = drawn(chance)
        start = datetime(2024, 1, 1, 23, 15) + chance.randint(0, 1500) * DAY
        found = starts(parsed(text), start)
        expected = brute(parsed(text), start.date(), 1000)
        assert [at.date() for at in islice(found, len(expected))] == expected, (seed, text, start)


@pytest.mark.parametrize("seed", range(5))
def test_beginning_later_leaves_out_only_what_is_earlier(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(50):
        text = drawn(chance) if chance.random() < 0.9 else "7Hours"
        start = datetime(2024, 1, 1, 23, 15) + chance.randint(0, 400) * DAY
        since = start + timedelta(hours=chance.randint(-100, 30_000))
        recurrence = parsed(text)
        from_start = dropwhile(lambda at, since=since: at < since, starts(recurrence, start))
        found = list(islice(starts(recurrence, start, since), 5))
        assert found == list(islice(from_start, 5)), (seed, text, start, since)
