"""Who starts: the admission of ``fleet.admission``, asked in SQL, and the orders that follow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Connection

from hotmend.fleet.rollout import CANARIES
from hotmend.fleet.window import Window
from hotmend.model.agent_messages import Order, RebootSetting
from hotmend.server.rollouts import schedules
from hotmend.server.rollouts.moment import Moment
from hotmend.server.storage import admission, audit, rollouts, runs, turns
from hotmend.server.storage.admission import Admitted, Cell, Reach
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.turns import run_id

WHO = "rollout"
# A machine is on when it has spoken within this time; agents speak at least once a minute.
ON_S = 180.0
_IN_ONE_ENTRY = 1000
# In one tick of a rollout, which is one transaction: what machines report waits for its end.
MOST_AT_ONCE = 4000

T = TypeVar("T")


def admit(
    connection: Connection, rollout: Rollout, phases: Iterable[int], moment: Moment, most: int
) -> int:
    """Start what may start of ``phases``, one after the other, until ``most`` turns of the rollout
    are in flight, or MOST_AT_ONCE have started; how many have."""
    flying = admission.flying(connection, rollout.id)
    free = min(most - sum(flying.values()), MOST_AT_ONCE)
    if free <= 0:
        return 0
    automatic = rollout.kind == rollouts.AUTOMATIC
    opened: Mapping[str, tuple[float, float]] = {}
    if automatic:
        opened = windows(connection, rollout, moment)
        if not opened:
            return 0
    reach = Reach(
        seen=moment.now - ON_S,
        zones=list(opened) if automatic else None,
        automatic=automatic,
        frozen=sorted(rollout.frozen),
    )
    started = 0
    for phase in phases:
        chosen: list[Admitted] = []
        for cell in admission.cells(connection):
            room = free - started - len(chosen)
            if room <= 0:
                break
            planned = rollout.phases.get(cell[0], rollout.last_phase)
            if phase not in (CANARIES, planned) or not may_start_in(cell, flying, moment.pairs):
                continue
            some = admission.admissible(connection, rollout.id, phase, cell, reach, room)
            if some:
                chosen += some
                flying[cell] = flying.get(cell, 0) + len(some)
        if chosen:  # groups stand in one cell, so that no cell's answer depends on another's
            _start(connection, rollout, phase, chosen, opened, moment)
            started += len(chosen)
    return started


def windows(
    connection: Connection, rollout: Rollout, moment: Moment
) -> Mapping[str, tuple[float, float]]:
    """Machines' time zones in which the rollout's off-peak window is open, with (opens, closes)."""
    window = Window(rollout.settings.window_opens, rollout.settings.window_closes)
    return moment.open_zones(window, admission.time_zones(connection))


def portions(rows: Sequence[T]) -> Iterable[Sequence[T]]:
    """What fits into one entry of the audit log."""
    return (rows[i : i + _IN_ONE_ENTRY] for i in range(0, len(rows), _IN_ONE_ENTRY))


def may_start_in(cell: Cell, flying: Mapping[Cell, int], pairs: Mapping[str, str]) -> bool:
    """Of paired regions, and of a region's zones, one has turns in flight; should, wrongly, several
    have, the least goes on. What is in no zone does not keep a zone from starting."""
    region, zone = cell
    bound = [r for r, _ in flying if region in pairs and pairs.get(r) == pairs[region]]
    zones = [z for r, z in flying if r == region and z]
    return region == min(bound, default=region) and (not zone or zone == min(zones, default=zone))


def _start(
    connection: Connection,
    rollout: Rollout,
    phase: int,
    admitted: Sequence[Admitted],
    opened: Mapping[str, tuple[float, float]],
    moment: Moment,
) -> None:
    settings = rollout.settings
    hours = f"{settings.window_opens:%H:%M}-{settings.window_closes:%H:%M}"
    occurrence = None
    if rollout.opens is not None and rollout.closes is not None:
        occurrence, hours = (rollout.opens, rollout.closes), ""
    each = [(one, occurrence or opened[one.time_zone]) for one in admitted]
    windows_order = rollout.windows_order
    with_windows: frozenset[str] = frozenset()
    if windows_order is not None:
        with_windows = schedules.with_windows(connection, [one.machine for one in admitted])
    orders = [(one, _order(rollout, one, window, with_windows, moment.now)) for one, window in each]
    turns.start(connection, rollout.id, orders, moment.now)
    asked = [(one.machine, one.region, order) for one, order in orders]
    runs.ask_all(connection, asked, runs.PLATFORM, moment.now)
    rows = [
        {
            "machine": one.machine,
            "region": one.region,
            "zone": one.zone,
            "group": one.group,
            "size": one.size,
            "domain": one.domain,
            "phase": phase,
            "window": window,
            "time_zone": one.time_zone,
            "hours": hours,
        }
        for one, window in each
    ]
    for some in portions(rows):
        audit.append(connection, moment.now, WHO, "turns started", rollout.id, {"turns": some})


def _order(
    rollout: Rollout,
    one: Admitted,
    window: tuple[float, float],
    with_windows: Collection[str],
    now: float,
) -> Order:
    """What its machine is told. What its owner set goes before what a schedule says."""
    order = (rollout.windows_order if one.machine in with_windows else None) or rollout.order
    reboot, maximum = order.reboot, order.maximum_s
    if rollout.kind == rollouts.AUTOMATIC:
        reboot = RebootSetting.IF_REQUIRED
    else:
        maximum = min(maximum, window[1] - now)
    return replace(
        order,
        id=run_id(rollout.id, one.machine, one.attempts + 1),
        maximum_s=maximum,
        reboot=RebootSetting(one.reboot) if one.reboot else reboot,
        until=window[1],
    )
