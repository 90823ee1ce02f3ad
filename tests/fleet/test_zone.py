"""Zones by Windows' names and IANA's."""

from __future__ import annotations

import pytest
from tzlocal.windows_tz import win_tz

from hotmend.fleet.zone import zone, zone_of


@pytest.mark.parametrize("name", sorted(win_tz))
def test_every_name_of_windows_is_a_zone(name: str) -> None:
    assert zone(name) == zone(name.upper()) == zone(win_tz[name])


@pytest.mark.parametrize(
    ("name", "iana"),
    [
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("Pacific Standard Time", "America/Los_Angeles"),
        ("Lord Howe Standard Time", "Australia/Lord_Howe"),
        ("Europe/Berlin", "Europe/Berlin"),
        ("UTC", "Etc/UTC"),
    ],
)
def test_a_zone_by_its_name(name: str, iana: str) -> None:
    assert zone(name).key == iana


@pytest.mark.parametrize(
    "name",
    ["", "Mars", "Europe", "Pacific Daylight Time", "../etc/passwd", "/etc/localtime", "a\0b"],
)
def test_what_is_no_zone_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone: give a Windows name"):
        zone(name)


def test_a_machine_has_its_own_zone_or_its_regions_or_utc() -> None:
    assert zone_of("Asia/Tokyo", "westeurope").key == "Asia/Tokyo"
    assert zone_of("", "westeurope").key == "Europe/Amsterdam"
    assert zone_of("Mars", "westeurope").key == "Europe/Amsterdam"
    assert zone_of("", "cellar").key == "UTC"
