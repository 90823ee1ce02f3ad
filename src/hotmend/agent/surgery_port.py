"""What the agent asks of a surgeon, narrow enough for a fake."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

from hotmend.agent.assess import Seen
from hotmend.hotpatch.codec import decode
from hotmend.model.outcome import Outcome
from hotmend.surgery.order import Order, Stale, Verb, collected
from hotmend.surgery.surgeon import Surgeon

_PATIENCE_S = 20.0


class Surgery(Protocol):
    """``data``: a hotpatch's file. Everything raises SurgeryError."""

    def look(self, data: bytes) -> Seen:
        """Which processes it is for, and which have it."""

    def apply(self, data: bytes, pids: Sequence[int] = ()) -> tuple[Outcome, ...]:
        """Into those of these processes, or of all, that map an old build."""

    def revert(self, data: bytes) -> tuple[Outcome, ...]:
        """Out of every process that has it; the saved bytes go back."""

    def verify(self) -> tuple[Outcome, ...]:
        """All that is in force, read again: *already* where it is as written, *gone*, or
        *refused* with what differs."""

    def stale(self) -> tuple[Stale, ...]:
        """Processes that run files which the disk has no more."""


class HiredSurgeon:
    """A real one. ``beforehand``: called before each apply, with which the ledger forgets the
    processes that have ended."""

    def __init__(self, surgeon: Surgeon) -> None:
        self._surgeon = surgeon
        self.beforehand: Callable[[], None] = lambda: None

    def look(self, data: bytes) -> Seen:
        outcomes, summary = collected(self._surgeon.perform(_order(Verb.LOOK, data, ()), data))
        return Seen(tuple(outcomes), summary.hidden)

    def apply(self, data: bytes, pids: Sequence[int] = ()) -> tuple[Outcome, ...]:
        self.beforehand()
        order = _order(Verb.APPLY, data, tuple(pids))
        return tuple(collected(self._surgeon.perform(order, data))[0])

    def revert(self, data: bytes) -> tuple[Outcome, ...]:
        order = _order(Verb.REVERT, data, ())
        return tuple(collected(self._surgeon.perform(order, data))[0])

    def verify(self) -> tuple[Outcome, ...]:
        return tuple(collected(self._surgeon.perform(Order(Verb.VERIFY)))[0])

    def stale(self) -> tuple[Stale, ...]:
        answers = self._surgeon.perform(Order(Verb.STALE))
        return tuple(answer for answer in answers if isinstance(answer, Stale))


def _order(verb: Verb, data: bytes, pids: tuple[int, ...]) -> Order:
    return Order(
        verb,
        pids,
        hashlib.sha256(data).hexdigest(),
        tuple(image.old_build_id.hex for image in decode(data).images),
        mapped_only=True,
        patience_s=_PATIENCE_S,
    )
