"""What the publishers' signed policy lets this machine do now, whatever the control plane orders;
and orders that came too late.

Only what one machine can know by itself: its own clock and zone, its ring, when a release was
published (signed, too), and how many orders it began itself. How many machines of the fleet are at
work at this moment it cannot know. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hotmend.model.agent_messages import Order
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.release.policy import Policy

# What a machine knows of its policy: the policy; why it cannot be had, so that nothing is allowed;
# or None, where the repository has none, or no repository is trusted.
Known = Policy | Refusal | None


@dataclass(frozen=True)
class Machine:
    """``identity``: its own, which no control plane gives out; ``ring``: the one that its owner put
    it into, "" for none; ``zone``: IANA name."""

    identity: str
    ring: str
    zone: str


def to_begin(order: Order, now: float) -> Refusal | None:
    """Why an order is void: it had to begin before ``now``. None when it may begin."""
    if order.until is None or now < order.until:
        return None
    sentence = f"it had to begin {now - order.until:.0f} seconds ago, before its window closed"
    evidence = (("until", str(order.until)), ("now", str(now)))
    return Refusal(RefusalCode.ORDER_EXPIRED, sentence, order.id, evidence)


def to_act(known: Known, machine: Machine, now: datetime, others: int) -> Refusal | None:
    """Why nothing may be installed or restarted; None when it may. ``others``: orders begun within
    the last 24 hours, beside the one in question."""
    if not isinstance(known, Policy):
        return known
    try:
        local = now.astimezone(ZoneInfo(machine.zone))
    except (ZoneInfoNotFoundError, ValueError):
        sentence = f"{machine.zone!r} is no time zone, so that no window can be told to be open"
        return Refusal(RefusalCode.OUTSIDE_WINDOW, sentence, machine.zone)
    if not known.open_at(local):
        sentence = f"{local:%a %H:%M} in {machine.zone} is outside every window of the policy"
        return Refusal(RefusalCode.OUTSIDE_WINDOW, sentence, machine.zone)
    if others >= known.orders_per_day:
        sentence = f"the policy allows {known.orders_per_day} in 24 hours; {others} were begun here"
        return Refusal(RefusalCode.TOO_MANY_ORDERS, sentence, machine.identity)
    return None


def to_install(
    known: Known, machine: Machine, now: datetime, article: str, released: datetime | None
) -> Refusal | None:
    """Why an update of a release may not be installed yet; None when it may. ``released``: when it
    was published, None where that is not said."""
    if not isinstance(known, Policy):
        return known
    place = known.ring(machine.identity, machine.ring)
    name = known.rings[place].name
    if place == 0:
        return None
    if released is None:
        sentence = f"the repository does not say when it was released, and ring {name} waits"
        return Refusal(RefusalCode.RING_NOT_REACHED, sentence, article)
    begins = known.begins(place, released)
    if now >= begins:
        return None
    sentence = f"this machine is in ring {name}, which begins at {begins:%Y-%m-%d %H:%M %Z}"
    evidence = (("released", released.isoformat()), ("ring", name))
    return Refusal(RefusalCode.RING_NOT_REACHED, sentence, article, evidence)
