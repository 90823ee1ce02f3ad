"""Maintenance windows: what is accepted, and when they are open."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice, takewhile

import pytest

from fleet.clocks import utc
from hotmend.fleet.schedule import Schedule, current, next_after, occurrences, parsed, too_soon

WEEKLY = {
    "startDateTime": "2026-01-01 22:00",
    "duration": "02:00",
    "timeZone": "Pacific Standard Time",
    "recurEvery": "Week Saturday",
}


def schedule(**changed: str) -> Schedule:
    return parsed({**WEEKLY, **changed})


def opens(found: Schedule, count: int) -> list[str]:
    return [f"{o.opens:%m-%d %H:%M}" for o in islice(occurrences(found), count)]


def test_the_first_is_the_first_that_recurs_and_not_the_start() -> None:
    """1 January 2026 is a Thursday."""
    assert opens(schedule(), 2) == ["01-04 06:00", "01-11 06:00"]
    assert opens(schedule(startDateTime="2026-01-03 22:00"), 1) == ["01-04 06:00"]


def test_it_keeps_its_local_time_when_clocks_change() -> None:
    found = schedule(startDateTime="2026-03-01 22:00")
    assert opens(found, 3) == ["03-08 06:00", "03-15 05:00", "03-22 05:00"]


def test_a_start_in_the_gap_is_as_if_the_clock_had_not_been_put_forward() -> None:
    found = schedule(startDateTime="2026-03-28 02:30", timeZone="Europe/Berlin", recurEvery="Day")
    assert opens(found, 3) == ["03-28 01:30", "03-29 01:30", "03-30 00:30"]


def test_a_start_in_the_overlap_is_the_first_of_both() -> None:
    found = schedule(startDateTime="2026-10-24 02:30", timeZone="Europe/Berlin", recurEvery="Day")
    assert opens(found, 3) == ["10-24 00:30", "10-25 00:30", "10-26 01:30"]


def test_it_is_open_for_its_duration_and_closed_behind_it() -> None:
    found = schedule()
    assert current(found, utc("2026-01-04T05:59:59")) is None
    for at in ("2026-01-04T06:00", "2026-01-04T07:59:59"):
        open_one = current(found, utc(at))
        assert open_one is not None and open_one.id == "2026-01-03T22:00"
        assert open_one.closes - open_one.opens == timedelta(hours=2)
    assert current(found, utc("2026-01-04T08:00")) is None
    following = next_after(found, utc("2026-01-04T06:00"))
    assert following is not None and following.id == "2026-01-10T22:00"


def test_none_begins_after_it_has_expired() -> None:
    found = schedule(expirationDateTime="2026-01-17 22:00")
    assert opens(found, 9) == ["01-04 06:00", "01-11 06:00", "01-18 06:00"]
    assert next_after(found, utc("2026-01-18T06:00")) is None
    assert current(found, utc("2026-01-18T07:00")) is not None
    assert len(opens(schedule(expirationDateTime="9999-12-31 23:59:59"), 9)) == 9


def test_without_recurrence_it_is_open_once() -> None:
    found = schedule(recurEvery="")
    assert opens(found, 9) == ["01-02 06:00"]
    assert current(found, utc("2026-01-02T07:00")) is not None


@pytest.mark.parametrize(
    "recurs", ["Day", "6Hours", "2Weeks Sunday", "Month day31", "Month Last Sunday Offset-3"]
)
def test_asking_from_a_time_on_leaves_out_only_what_was_before(recurs: str) -> None:
    found = schedule(recurEvery=recurs)
    everything = list(takewhile(lambda o: o.opens < utc("2027-06-01"), occurrences(found)))
    for at in (
        utc("2026-01-01"),
        utc("2026-03-08T06:30"),
        utc("2026-11-01T09:00"),
        utc("2027-01-01"),
    ):
        rest = [o for o in everything if o.opens >= at]
        assert list(islice(occurrences(found, at), 3)) == rest[:3]


def test_it_must_be_made_a_quarter_of_an_hour_before() -> None:
    found = schedule()
    assert not too_soon(found, utc("2026-01-02T05:45"))
    assert too_soon(found, utc("2026-01-02T05:45:01"))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"startDateTime": ""}, "startDateTime is missing"),
        ({"startDateTime": "2026-01-01T22:00"}, "startDateTime must be like"),
        ({"startDateTime": "2026-02-30 22:00"}, "startDateTime must be like"),
        ({"startDateTime": "0001-01-01 22:00"}, "from 1970"),
        ({"startDateTime": "9999-01-01 22:00"}, "from 1970"),
        ({"expirationDateTime": "2026-01-01 22:00"}, "must be after"),
        ({"expirationDateTime": "soon"}, "expirationDateTime must be like"),
        ({"duration": "01:29"}, "duration must be"),
        ({"duration": "03:56"}, "duration must be"),
        ({"duration": "2:00"}, "duration must be"),
        ({"duration": "PT2H"}, "duration must be"),
        ({"timeZone": "Pacific Daylight Time"}, "no time zone"),
        ({"recurEvery": "5Hours"}, "too often"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(changed: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        schedule(**changed)


def test_the_longest_and_the_shortest_are_accepted() -> None:
    assert schedule(duration="01:30").lasts == timedelta(minutes=90)
    assert schedule(duration="03:55").lasts == timedelta(minutes=235)


def test_what_is_not_text_is_refused() -> None:
    for name in WEEKLY:
        with pytest.raises(ValueError, match=name):
            parsed({**WEEKLY, name: 5})
