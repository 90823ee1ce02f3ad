"""Why a machine waits: the first thing that stops it, in one sentence. Pure.

docs/rollouts.md says what can be done about each code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import ZoneInfo

from hotmend.fleet.admission import Gate, budget
from hotmend.fleet.place import Place
from hotmend.fleet.rollout import RolloutState
from hotmend.fleet.settings import Settings
from hotmend.fleet.turn import TurnState
from hotmend.fleet.window import Occurrence


class Code(StrEnum):
    """Stable names, in the order in which they are looked for."""

    EXCLUDED = "excluded"
    FAILED = "failed"
    PAUSED = "rollout-paused"
    HALTED = "rollout-halted"
    CANCELLED = "rollout-cancelled"
    FINISHED = "rollout-finished"
    FROZEN = "owner-frozen"
    PHASE = "phase-not-open"
    OFF = "powered-off"
    SILENT = "not-heard"
    CLOSED = "outside-window"
    USED = "window-used"
    BUSY = "in-another-rollout"
    GROUP = "group-budget"
    DOMAIN = "other-update-domain"
    PAIR = "paired-region"
    ZONE = "other-zone"
    MOST = "rollout-limit"
    NEXT = "next"


_STOPPED = {
    RolloutState.PAUSED: (Code.PAUSED, "a person paused the rollout"),
    RolloutState.HALTED: (Code.HALTED, "the rollout was halted by failures"),
    RolloutState.CANCELLED: (Code.CANCELLED, "the rollout was cancelled"),
    RolloutState.FINISHED: (
        Code.FINISHED,
        "the rollout ended before it could be reached",
    ),
}


@dataclass(frozen=True)
class Case:
    """A machine in a rollout. ``failure``: why its turn failed, or was excluded. ``frozen``: its
    owner's part is. ``phase``, ``open_phase``: its own and the rollout's. ``heard``: when last, in
    seconds of the epoch. ``window``: the one open now; ``following``: the next, None if there is no
    more; ``used``: id of the one in which it was started last, "" for none. ``stopped``: what
    admission stopped it by, None if by nothing; ``holding``: how many of its group of ``size`` are
    away or failed; ``active``: the group's update domain that is at its turn; ``in_flight`` of
    ``most``: the rollout's."""

    turn: TurnState
    rollout: RolloutState
    place: Place
    zone: ZoneInfo
    following: Occurrence | None
    failure: str = ""
    frozen: bool = False
    phase: int = 0
    open_phase: int = 0
    on: bool = True
    heard: float = 0.0
    window: Occurrence | None = None
    used: str = ""
    stopped: Gate | None = None
    size: int = 1
    holding: int = 0
    active: int = 0
    in_flight: int = 0
    most: int = 0


@dataclass(frozen=True)
class Waiting:
    """The reason."""

    code: Code
    sentence: str


def waiting(case: Case, settings: Settings, now: float) -> Waiting | None:
    """None for a machine that does not wait: it is at its turn, or healthy."""
    if case.turn.in_flight or case.turn is TurnState.HEALTHY:
        return None
    return next(_reasons(case, settings, now))


def _reasons(case: Case, settings: Settings, now: float) -> Iterator[Waiting]:
    if case.turn is TurnState.EXCLUDED:
        yield Waiting(Code.EXCLUDED, case.failure or "a person excluded it from this rollout")
    if case.turn is TurnState.FAILED:
        yield Waiting(Code.FAILED, f"it failed: {case.failure}")
    if case.rollout in _STOPPED:
        yield Waiting(*_STOPPED[case.rollout])
    if case.frozen:
        yield Waiting(Code.FROZEN, "too many machines of its subscription failed")
    if case.phase > case.open_phase:
        sentence = f"it is in phase {case.phase}, and phase {case.open_phase} is not done"
        yield Waiting(Code.PHASE, sentence)
    if not case.on:
        yield Waiting(Code.OFF, "it is switched off; it is picked up when it is on again")
    silent = now - case.heard
    if silent > settings.signal_max_age_s:
        yield Waiting(Code.SILENT, f"nothing was heard from it for {_length(silent)}")
    yield from _window(case)
    yield from _availability(case)
    yield Waiting(Code.NEXT, "nothing stops it: it starts next")


def _window(case: Case) -> Iterator[Waiting]:
    when = "there is no further window"
    if case.following is not None:
        opens = case.following.opens.astimezone(case.zone)
        when = f"the next window opens at {opens:%Y-%m-%d %H:%M} {case.zone.key}"
    if case.window is None:
        yield Waiting(Code.CLOSED, when)
    elif case.window.id == case.used:
        yield Waiting(Code.USED, f"it was started in this window already; {when}")


def _availability(case: Case) -> Iterator[Waiting]:
    region, allowed = case.place.region, budget(case.size)
    full = f"{case.holding} of its group of {case.size} are away or failed; {allowed} may be"
    if case.stopped is Gate.HOLDS:
        yield Waiting(Code.BUSY, "it is at its turn in another rollout, or failed there")
    elif case.stopped is Gate.GROUP and case.active != case.place.domain:
        sentence = f"update domain {case.active} is at its turn, and it is in {case.place.domain}"
        yield Waiting(Code.DOMAIN, sentence)
    elif case.stopped is Gate.GROUP:
        yield Waiting(Code.GROUP, full)
    elif case.stopped is Gate.PAIR:
        yield Waiting(Code.PAIR, f"the region that is paired with {region} is at its turn")
    elif case.stopped is Gate.ZONE:
        yield Waiting(Code.ZONE, f"another zone of {region} than {case.place.zone} is at its turn")
    elif case.stopped is Gate.MOST:
        sentence = f"{case.in_flight} machines are in flight; the rollout may have {case.most}"
        yield Waiting(Code.MOST, sentence)


def _length(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
