"""The list of machines kept up to date: with each change of a machine, and by the clock.

It is narrow, and a copy; its rows are made here and nowhere else. What only time changes (a machine
falls silent, an assessment grows old) is looked for once a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from hotmend.fleet import hotpatch_status, support
from hotmend.model.agent_messages import Facts, RunKind
from hotmend.server.arm import hybrid_view, machine_support, patch_settings
from hotmend.server.control import Control
from hotmend.server.resource_id import parsed
from hotmend.server.storage import inventory, runs
from hotmend.server.storage.inventory import Listed
from hotmend.server.storage.machines import Machine
from hotmend.server.storage.resources import Resource
from hotmend.server.storage.runs import Kept
from hotmend.server.storage.tables import machines

EVERY_S = 60.0
_AT_ONCE = 500


def refresh(connection: Connection, keys: Sequence[str], now: float) -> None:
    """List the machines with those keys as they are; what is none any more, not at all."""
    found = inventory.of_keys(connection, keys, now)
    ids = [machine.id for machine in found if machine.id is not None]
    assessed = runs.latest_of(connection, RunKind.ASSESS, ids)
    statuses = {one.key: hotpatch_of(one, assessed.get(one.id or "")) for one in found}
    inventory.relist(connection, keys, statuses, now)


def refresh_agents(connection: Connection, ids: Sequence[str], now: float) -> None:
    """As ``refresh``, by the ids of their agents."""
    keys = connection.execute(select(machines.c.resource).where(machines.c.id.in_(ids)))
    refresh(connection, keys.scalars().all(), now)


def agent_of(machine: Listed) -> Machine | None:
    """None without one."""
    if machine.id is None or machine.facts is None or machine.seen is None:
        return None
    facts = Facts(**machine.facts)
    return Machine(machine.id, machine.key, facts, machine.simulated, machine.seen)


def hotpatch_of(machine: Listed, assessed: Kept | None) -> str:
    """In the words of Azure's portal. ``assessed``: the last one that has ended."""
    agent = agent_of(machine)
    if machine.kind == machine_support.CONNECTED.lower():
        resource = Resource(parsed(machine.resource), machine.body, 0.0, 0.0)
        return hybrid_view.label(resource, agent, assessed).value
    facts = agent.facts if agent is not None else None
    row = machine_support.row(machine.kind, machine.body, facts, support.shipped())
    settings = patch_settings.settings_of(machine.body["properties"])
    linux = facts is not None and machine_support.os_type(facts) == "Linux"
    # There is no switch for Linux: where it is supported, it is on.
    wanted = settings.get("enableHotpatching", linux) is True
    return hotpatch_status.of_virtual_machine(row, wanted, assessed is not None).value


async def keep(control: Control) -> None:
    """For as long as the server runs."""
    while True:
        with contextlib.suppress(SQLAlchemyError):  # a database that is away is asked again
            for keys in await asyncio.to_thread(_passed_by, control):
                work = partial(refresh, keys=keys, now=control.clock())
                await asyncio.wrap_future(control.database.submit(work))
        await asyncio.sleep(EVERY_S)


def catch_up(control: Control) -> None:
    """What ``keep`` does each time."""
    for keys in _passed_by(control):
        control.database.write(partial(refresh, keys=keys, now=control.clock()))


def _passed_by(control: Control) -> list[list[str]]:
    with control.database.reading() as connection:
        keys = inventory.passed_by(connection, control.clock())
    return [keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE)]
