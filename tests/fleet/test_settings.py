"""Settings: defaults, bounds, and what they promise together."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from datetime import time
from pathlib import Path

import pytest

from hotmend.fleet.settings import YES_OR_NO, Settings, about, parsed


def test_an_empty_document_is_the_defaults() -> None:
    assert parsed({}) == Settings()


def test_what_is_given_is_taken() -> None:
    found = parsed({"window_opens": "01:30", "soak_s": 5, "attempts": 1, "revert_on_halt": True})
    expected = replace(
        Settings(), window_opens=time(1, 30), soak_s=5.0, attempts=1, revert_on_halt=True
    )
    assert found == expected and isinstance(found.soak_s, float)


def test_every_default_is_within_its_bounds_and_has_its_reason() -> None:
    assert set(about()) == {f.name for f in fields(Settings)}
    for name, value in asdict(Settings()).items():
        told = about()[name]
        assert told.unit and told.why
        assert isinstance(value, time) or told.least <= value <= told.most


NUMBERS = [n for n, a in about().items() if a.unit not in ("local time", YES_OR_NO)]


@pytest.mark.parametrize("name", NUMBERS)
def test_beyond_its_bounds_a_setting_is_refused(name: str) -> None:
    told = about()[name]
    whole = type(getattr(Settings(), name))
    for value in (told.least - 1, told.most + 1):
        with pytest.raises(ValueError, match=f"^{name} must be from"):
            parsed({name: whole(value)})
    for bad in ("1", None, True, [], float("nan")):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            parsed({name: bad})


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"soak": 5}, "'soak' is no setting; there are window_opens, "),
        ({"window_opens": "25:00"}, "window_opens must be a time of day"),
        ({"window_opens": "22"}, "window_opens must be a time of day"),
        ({"window_opens": 22}, "window_opens must be a time of day"),
        ({"window_opens": "06:00"}, "are the same time"),
        ({"attempts": 1.5}, "attempts must be a whole number"),
        ({"revert_on_halt": 1}, "revert_on_halt must be true or false"),
        ({"promise_days": 5}, "promise_warning_days is more than promise_days"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(document: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parsed(document)


@pytest.mark.parametrize("fleet", [10, 100, 1000, 1001, 10_000, 1_000_000])
def test_the_defaults_let_one_in_a_hundred_be_harmed_or_ten(fleet: int) -> None:
    settings = Settings()
    assert settings.owners_to_halt * settings.most(fleet) <= max(10, fleet / 100)


def test_accidents_alone_do_not_use_up_what_may_be_in_flight() -> None:
    for fleet in (10, 100, 1000, 10_000, 1_000_000):
        assert Settings().failure_budget(fleet) < Settings().most(fleet)


def test_the_page_has_every_setting_with_its_default_and_reason() -> None:
    rows = []
    for name, told in about().items():
        value = getattr(Settings(), name)
        if isinstance(value, bool):
            shown = str(value).lower()
        else:
            shown = f"{value:%H:%M}" if isinstance(value, time) else f"{value:g}"
        rows.append(f"| `{name}` | {shown} | {told.unit} | {told.why} |")
    assert "\n".join(rows) in (Path(__file__).parents[2] / "docs" / "rollouts.md").read_text()


def test_no_more_are_in_flight_than_the_signed_policy_allows() -> None:
    assert Settings().most(100_000) == 500
    assert replace(Settings(), largest_batch=50).most(100_000) == 50
    assert replace(Settings(), largest_batch=1).most(3) == 1
