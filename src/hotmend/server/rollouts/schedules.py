"""A rollout begins when the window of a maintenance configuration opens.

Which machines it is for is found at that moment. Those that may not run have a turn, too, which is
excluded and says why. Where two configurations begin at one time on a machine, the first in the
order of their ids runs on it, and the other does not: Azure's rule is that one fires, not which.
What opened and closed while no control plane ran is not made up for.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import Connection, false, select

from hotmend.fleet import orchestration, schedule
from hotmend.fleet.rollout import RolloutState
from hotmend.fleet.schedule import Schedule
from hotmend.fleet.turn import TurnState
from hotmend.fleet.window import Occurrence
from hotmend.model.agent_messages import Order
from hotmend.server.arm import apply_updates, machine_support, orders, scope_filter
from hotmend.server.arm import maintenance_configurations as configurations
from hotmend.server.errors import ArmError
from hotmend.server.storage import audit, machines, maintenance, resources, rollouts, turns
from hotmend.server.storage.machines import Machine
from hotmend.server.storage.resources import Resource
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.tables import machines as machine_table
from hotmend.server.storage.tables import rollouts as rollout_table
from hotmend.server.storage.tables import turns as turn_table

WHO = "schedule"
UNREACHABLE = "ShutdownOrUnresponsive: nothing was heard of it in the maintenance window"
_OTHER = "another maintenance configuration runs on it at the same time"
_SYSTEMS = ("Linux", "Windows")
# A configuration and the time at which it opens have one rollout: two replicas begin the same.
_IDS = uuid.UUID("5e0f2a61-93a5-4d7c-9c57-2f3d8f3a6a10")
_PHASE = 1
# Within hours instead of weeks: one phase, machines all at once but for their groups, regions and
# zones, one attempt; and what people chose is stopped by a fifth of failures, not by the third.
_DEFAULTS: Mapping[str, object] = {"soak_s": 300.0}
_SETTINGS: Mapping[str, object] = {
    **{"most_share": 1.0, "attempts": 1, "failure_share": 0.2, "least_failures": 5},
}
_MOST_COUNTED = 1000
_AT_ONCE = 500

Members = dict[str, tuple[Resource, Machine]]  # by the machine's id


def begin_due(
    connection: Connection, written: Mapping[str, object], before: float, now: float
) -> None:
    """Begin what is open now and has not begun, and say what was missed since ``before``, when
    this was looked at last. ``written``: the settings of rollouts."""
    at = datetime.fromtimestamp(now, UTC)
    missed = before and now - before >= schedule.LEAST.total_seconds()
    for configuration in resources.of_type(connection, configurations.TYPE):
        window = configurations.window_of(configuration)
        if window is None:
            continue
        if missed:
            _say_missed(connection, configuration, window, before, now)
        occurrence = schedule.current(window, at)
        if occurrence is not None and _wanted(connection, configuration, occurrence):
            _begin(connection, configuration, occurrence, written, now)


def identifier_of(configuration: str, occurrence: Occurrence) -> str:
    """Of the rollout; ``configuration``: its key."""
    return str(uuid.uuid5(_IDS, f"{configuration}/{occurrence.opens.timestamp():.0f}"))


def leave_unreachable(connection: Connection, rollout: Rollout, now: float) -> None:
    """The window is over: those that were off all the time, or silent, say so."""
    silent = select(machine_table.c.id).where(machine_table.c.seen < (rollout.opens or 0.0))
    waits = turn_table.c.state == TurnState.WAITING.value
    turns.leave(connection, rollout.id, waits & turn_table.c.machine.in_(silent), UNREACHABLE, now)
    turns.leave(connection, rollout.id, waits, "the maintenance window is over", now)


def with_windows(connection: Connection, identifiers: Sequence[str]) -> frozenset[str]:
    """Those of some machines, by id, that run Windows."""
    found = machines.several(connection, identifiers)
    return frozenset(one.id for one in found if machine_support.os_type(one.facts) == "Windows")


def _wanted(connection: Connection, configuration: Resource, occurrence: Occurrence) -> bool:
    """One that was made or changed since it opened comes next time; nobody was told of it."""
    key = configuration.id.key
    return (
        occurrence.opens.timestamp() >= configuration.changed
        and not rollouts.exists(connection, identifier_of(key, occurrence))
        and not maintenance.cancelled(connection, key, _stamp(occurrence))
    )


def _begin(
    connection: Connection,
    configuration: Resource,
    occurrence: Occurrence,
    written: Mapping[str, object],
    now: float,
) -> None:
    wanted = {system: configurations.order_of(configuration, "", system) for system in _SYSTEMS}
    chosen = {system: order for system, order in wanted.items() if order is not None}
    if not chosen:
        return
    own = configuration.id
    rollout = Rollout(
        id=identifier_of(own.key, occurrence),
        name=f"{own.group}/{own.name} {occurrence.id}",
        kind=rollouts.SCHEDULED,
        state=RolloutState.RUNNING,
        because="",
        created=now,
        ended=None,
        phase=_PHASE,
        phase_began=now,
        last_phase=_PHASE,
        phases={},
        size=0,
        order=next(iter(chosen.values())),
        written_settings={**_DEFAULTS, **written, **_SETTINGS},
        frozen=frozenset(),
        warned="",
        opens=occurrence.opens.timestamp(),
        closes=occurrence.closes.timestamp(),
        configuration=own.key,
        occurrence=_stamp(occurrence),
        windows_order=chosen.get("Windows"),
    )
    keys = sorted(_keys(connection, own.key))
    members = _members(connection, keys)
    rollouts.create(connection, rollout, false())
    for some in _portions(sorted(members)):
        rollouts.join(connection, rollout, machine_table.c.id.in_(some))
    refused = _refused(connection, rollout, members, chosen)
    for because, names in sorted(refused.items()):
        for some in _portions(names):
            turns.leave(connection, rollout.id, turn_table.c.machine.in_(some), because, now)
    details = {
        "phase": _PHASE,
        "configuration": str(own),
        "occurrence": occurrence.id,
        "opens": rollout.opens,
        "closes": rollout.closes,
        "machines": len(members),
        "without_agent": len(keys) - len(members),
        "excluded": {because: len(names) for because, names in refused.items()},
    }
    audit.append(connection, now, WHO, "rollout began", rollout.id, details)


def _keys(connection: Connection, configuration: str) -> set[str]:
    """Of the machines that are assigned to it now, one by one or by a dynamic scope."""
    found: set[str] = set()
    for assignment in maintenance.of_configuration(connection, configuration):
        if assignment.target:
            found.add(assignment.target)
            continue
        wanted = scope_filter.parsed(assignment.body.get("filter"), assignment.group)
        among = scope_filter.found(connection, assignment.subscription, wanted)
        found |= {one.id.lower() for one in among}
    return found


def _members(connection: Connection, keys: Sequence[str]) -> Members:
    """Those with an agent."""
    found: Members = {}
    for some in _portions(keys):
        known = resources.of_keys(connection, some)
        for key, machine in machines.of_keys(connection, some).items():
            if key in known:
                found[machine.id] = (known[key], machine)
    return found


def _refused(
    connection: Connection, rollout: Rollout, members: Members, chosen: Mapping[str, Order]
) -> dict[str, list[str]]:
    """Reasons, and the machines that do not run because of them."""
    taken = _taken(connection, rollout)
    found: dict[str, list[str]] = defaultdict(list)
    for name, (resource, machine) in sorted(members.items()):
        because = _OTHER if name in taken else _reason(resource, machine, chosen)
        if because:
            found[because].append(name)
    return found


def _reason(resource: Resource, machine: Machine, chosen: Mapping[str, Order]) -> str:
    """Why it does not run; "" if it does."""
    system = machine_support.os_type(machine.facts)
    if apply_updates.unmet(resource):
        return orchestration.UNMET
    if system not in chosen:
        return apply_updates.nothing_for(system)
    try:
        orders.check_supported(resource, machine)
    except ArmError as error:
        return error.message
    return ""


def _taken(connection: Connection, rollout: Rollout) -> set[str]:
    """Machines on which another schedule runs that opened at the same time."""
    other = (rollout_table.c.opens == rollout.opens) & (rollout_table.c.id != rollout.id)
    other &= rollout_table.c.kind == rollouts.SCHEDULED
    runs = other & (turn_table.c.state != TurnState.EXCLUDED.value)
    found = select(turn_table.c.machine).join(
        rollout_table, rollout_table.c.id == turn_table.c.rollout
    )
    return set(connection.execute(found.where(runs)).scalars())


def _say_missed(
    connection: Connection, configuration: Resource, window: Schedule, before: float, now: float
) -> None:
    since, at = datetime.fromtimestamp(before, UTC), datetime.fromtimestamp(now, UTC)
    gone = []
    for one in islice(schedule.occurrences(window, since), _MOST_COUNTED):
        if one.closes > at:
            break
        if not maintenance.cancelled(connection, configuration.id.key, _stamp(one)):
            gone.append(one.id)
    if gone:
        details = {
            "occurrences": len(gone),
            "last": gone[-1],
            "because": "no control plane ran while they were open; they are not made up for",
        }
        subject = str(configuration.id)
        audit.append(connection, now, WHO, "maintenance missed", subject, details)


def _stamp(occurrence: Occurrence) -> str:
    """As Azure names an occurrence: yyyyMMddHHmm00 by the schedule's clock."""
    return f"{datetime.fromisoformat(occurrence.id):%Y%m%d%H%M}00"


def _portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[i : i + _AT_ONCE] for i in range(0, len(names), _AT_ONCE))
