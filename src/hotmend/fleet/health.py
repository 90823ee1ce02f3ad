"""The health gate: has a machine that was patched proven itself? Pure.

Azure watches "platform health indicators" and publishes neither which nor how long; these are
ours. What is not heard counts as bad, but only while the control plane itself was listening: after
an outage of its own it must not take the fleet for ill.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hotmend.fleet.settings import Settings
from hotmend.fleet.turn import TurnState

HEARTBEAT, POWER, NO_CRASH, MEMORY = "heartbeat", "power", "no-crash", "memory"
REQUIRED = (HEARTBEAT, POWER, NO_CRASH, MEMORY)


def probe(name: str) -> str:
    """The signal of an application's health probe that the owner configured."""
    return f"probe:{name}"


@dataclass(frozen=True)
class Signal:
    """The latest of its kind. ``at``: when the control plane received it, by its own clock, in
    seconds. ``detail``: what is wrong, for a person."""

    good: bool
    at: float
    detail: str = ""


@dataclass(frozen=True)
class Health:
    """``state``: soaking, healthy or failed. ``sentence``: why."""

    state: TurnState
    sentence: str


def health(
    since: float,
    signals: Mapping[str, Signal],
    probes: Iterable[str],
    settings: Settings,
    now: float,
    listening_since: float = 0.0,
) -> Health:
    """Of a turn that has soaked since ``since``. ``probes``: names of those configured.
    ``listening_since``: since when the control plane has heard agents without a break.

    What was said before the soak began says nothing of the new code. A bad signal fails at once.
    At the end each must be there and no older than ``signal_max_age_s`` was then, however late
    the question is asked.
    """
    wanted = [*REQUIRED, *map(probe, probes)]
    heard = {name: signals[name] for name in wanted if name in signals}
    heard = {name: signal for name, signal in heard.items() if signal.at >= since}
    for name, signal in heard.items():
        if not signal.good:
            return Health(TurnState.FAILED, f"{name}: {signal.detail or 'bad'}")
    ends = max(since + settings.soak_s, listening_since + settings.signal_max_age_s)
    if now < ends:
        return Health(TurnState.SOAKING, f"proves itself for another {ends - now:.0f} s")
    for name in wanted:
        if name not in heard:
            return Health(TurnState.FAILED, f"{name}: nothing was heard since it was patched")
        age = ends - heard[name].at
        if age > settings.signal_max_age_s:
            return Health(TurnState.FAILED, f"{name}: last heard {age:.0f} s before the soak ended")
    return Health(TurnState.HEALTHY, f"every signal was good for {settings.soak_s:.0f} s")


def crashed_later(since: float, signals: Mapping[str, Signal]) -> str:
    """Why a machine that was healthy is not any more: a patched process crashed after all. ""
    when none did. A heartbeat that stops later has any number of other causes."""
    signal = signals.get(NO_CRASH)
    if signal is None or signal.good or signal.at < since:
        return ""
    return f"{NO_CRASH}: {signal.detail or 'bad'}"


def lost(
    ordered: float, heard: float, settings: Settings, now: float, listening_since: float = 0.0
) -> bool:
    """Whether an order counts as lost: given at ``ordered``, and nothing was heard of it since
    ``heard`` (0.0: never), though somebody listened."""
    return now - max(ordered, heard, listening_since) > settings.order_patience_s
