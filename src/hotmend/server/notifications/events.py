"""What the audit log says, as news: what people must act on at once, all else once a day. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

from hotmend.model.audit_log import Entry

HALTED, FROZEN, WARNING = "rollout.halted", "rollout.frozen", "rollout.warning"
APPROVAL, ALARM, DIGEST = "approval.waiting", "audit.alarm", "digest"
_ASKS = "ask for "
_TYPES = {"rollout halt": HALTED, "rollout freeze": FROZEN, "rollout warn": WARNING}
_WHAT_TO_DO = {
    HALTED: "Nothing more starts. Find out why; then two approvers resume it, or cancel it",
    FROZEN: "Nothing more starts there. Find out why; then two approvers resume the rollout",
    WARNING: "Look at what waits: hotmend why MACHINE",
}
# The same entry is the same news, however often it is told.
_IDS = uuid.UUID("2d5b8b0e-8f4e-4a38-9d51-07d6b1c6f5a4")


@dataclass(frozen=True)
class Event:
    """``subject``: of the entry, such as a rollout's id; ``sentence``: for a person."""

    id: str
    type: str
    subject: str
    time: float
    sentence: str
    details: Mapping[str, Any] = field(default_factory=dict)


def of_entry(entry: Entry) -> Event | None:
    """None where nobody must act."""
    name = str(uuid.uuid5(_IDS, entry.digest))
    if entry.what.startswith(_ASKS):
        what = entry.what.removeprefix(_ASKS)
        sentence = f"{what}: a second person must approve it within a day."
        return Event(name, APPROVAL, entry.subject, entry.time, sentence, entry.details)
    kind = _TYPES.get(entry.what)
    if kind is None:
        return None
    because = str(entry.details.get("because") or f"{entry.who} said so")
    sentence = f"{because}. {_WHAT_TO_DO[kind]}."
    return Event(name, kind, entry.subject, entry.time, sentence, entry.details)


def alarm(number: int, now: float) -> Event:
    """Entry ``number`` of the audit log is not the one that was written, or is missing."""
    sentence = (
        f"Entry {number} of the audit log is missing or not as it was written: somebody changed "
        "the database. Compare with the checkpoints that the agents keep."
    )
    return Event(str(uuid.uuid5(_IDS, f"alarm {number}")), ALARM, str(number), now, sentence)


def digest(tally: Mapping[str, int], since: float, now: float) -> Event:
    """``tally``: how often each thing was done."""
    lines = ", ".join(f"{what}: {count}" for what, count in sorted(tally.items()))
    name = str(uuid.uuid5(_IDS, f"digest {since:.3f} {now:.3f}"))
    return Event(name, DIGEST, "", now, f"Since the last digest: {lines}.", {"counts": dict(tally)})


def digest_is_due(last: float, at: time, now: float) -> bool:
    """Whether ``at``, a time of day in UTC, has passed since the ``last`` one."""
    moment = datetime.fromtimestamp(now, UTC)
    today = datetime.combine(moment.date(), at, UTC)
    newest = today if today <= moment else today - timedelta(days=1)
    return last < newest.timestamp()
