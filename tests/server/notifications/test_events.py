"""Which entries of the audit log are news, and for when."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

import pytest

from hotmend.model.audit_log import Entry
from hotmend.server.notifications.events import (
    APPROVAL,
    FROZEN,
    HALTED,
    WARNING,
    digest,
    digest_is_due,
    of_entry,
)


def entry(what: str, **details: Any) -> Entry:
    return Entry(7, 5.0, "rollout", what, "r1", details, "d" * 64)


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("rollout halt", HALTED),
        ("rollout freeze", FROZEN),
        ("rollout warn", WARNING),
        ("ask for rollout resume", APPROVAL),
    ],
)
def test_what_people_must_act_on_is_news_at_once(what: str, kind: str) -> None:
    found = of_entry(entry(what, because="3 of 9 machines failed"))
    assert found is not None and (found.type, found.subject, found.time) == (kind, "r1", 5.0)
    assert found.id == getattr(of_entry(entry(what)), "id", None), "the same entry, the same news"
    if kind != APPROVAL:
        assert found.sentence.startswith("3 of 9 machines failed. ")


@pytest.mark.parametrize(
    "what", ["rollout began", "rollout promote", "rollout finish", "turns ended", "log in"]
)
def test_all_else_is_not(what: str) -> None:
    assert of_entry(entry(what, because="x")) is None


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        ("2026-01-01 07:00", "2026-01-02 06:59", False),
        ("2026-01-01 07:00", "2026-01-02 07:00", True),
        ("2026-01-01 23:00", "2026-01-02 06:00", False),
        ("2026-01-01 06:59", "2026-01-01 07:00", True),
        ("2026-01-01 07:01", "2026-01-09 06:00", True),
    ],
)
def test_a_digest_is_due_once_a_day(last: str, now: str, due: bool) -> None:
    assert digest_is_due(at(last), time(7, 0), at(now)) is due


def test_a_digest_counts() -> None:
    made = digest({"turns ended": 2, "rollout began": 1}, 1.0, 2.0)
    assert made.sentence == "Since the last digest: rollout began: 1, turns ended: 2."
