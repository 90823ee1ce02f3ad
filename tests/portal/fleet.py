"""A simulated fleet, put straight into the tables: what the portal shows of many machines."""

from __future__ import annotations

import random
import uuid
from dataclasses import asdict
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, text, update

from hotmend.fleet.rollout import RolloutState
from hotmend.model.agent_messages import (
    Assessment,
    AvailablePatch,
    Facts,
    Needs,
    Order,
    Run,
    RunKind,
    RunStatus,
    Selection,
    StaleProcess,
)
from hotmend.server.arm import listing
from hotmend.server.storage import compliance, rollouts
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.tables import compliance as compliance_table
from hotmend.server.storage.tables import exposure, machines, missing, resources, runs, turns

REGIONS = (("westeurope", "Europe/Amsterdam"), ("northeurope", "Europe/Dublin"))
REGIONS += (("eastus", "America/New_York"), ("westus", "America/Los_Angeles"))
REGIONS += (("eastasia", "Asia/Hong_Kong"), ("southeastasia", "Asia/Singapore"))
EXPAT = "libexpat1=2.5.0-1+deb12u5+hotpatch"
PATCHES = (
    AvailablePatch(
        EXPAT,
        "libexpat1 2.5.0-1+deb12u5 into running processes",
        "2.5.0-1+deb12u5",
        "Security",
        "NeverReboots",
        True,
        severity="High",
        advisories=("CVE-2026-93990",),
        published="2026-11-10",
    ),
    AvailablePatch(
        "libxml2=2.9.14+dfsg-1.3~deb12u6",
        "libxml2 2.9.14+dfsg-1.3~deb12u6",
        "2.9.14+dfsg-1.3~deb12u6",
        "Security",
        "CanRequestReboot",
        False,
        advisories=("CVE-2025-8732", "CVE-2026-0989"),
        published="2026-11-12",
    ),
    AvailablePatch("tzdata=2026c", "tzdata 2026c", "2026c", "Other", "CanRequestReboot", False),
)
_MANY, _AT_ONCE = 2000, 500


def fill(connection: Connection, subscription: str, count: int, now: float, seed: int = 7) -> None:
    """``count`` simulated machines, a twentieth of them without an agent."""
    some = random.Random(seed)
    keys: list[str] = []
    for start in range(0, count, _MANY):
        rows: dict[Any, list[dict[str, Any]]] = {
            table: [] for table in (resources, machines, runs, compliance_table, missing)
        }
        for number in range(start, min(start + _MANY, count)):
            _machine(rows, subscription, number, some, now)
        for table, found in rows.items():
            if found:
                connection.execute(insert(table), found)
        keys += [row["key"] for row in rows[resources]]
    # PostgreSQL would look at new rows by itself only once they are committed.
    connection.execute(text("ANALYZE"))
    for start in range(0, len(keys), _AT_ONCE):
        listing.refresh(connection, keys[start : start + _AT_ONCE], now)
        if start % _MANY == 0:
            connection.execute(text("ANALYZE listing"))


def past(connection: Connection, subscription: str, count: int, now: float) -> None:
    """Thirty days of exposure: a release on the tenth day, and how it went."""
    rows = []
    for day in range(30):
        waiting = max(0, int(count * (0.8 - (day - 10) * 0.06))) if day >= 10 else count // 50
        restart, unknown = count // 25, count // 12
        rows.append(
            {
                "hour": int(now // 3600) - 24 * (30 - day),
                "owner": subscription.lower(),
                "vulnerable": 2 * waiting + restart,
                "waiting": waiting,
                "restart": restart,
                "unknown": unknown,
                "live": max(0, count - waiting - restart - unknown),
            }
        )
    connection.execute(insert(exposure), rows)


def roll(connection: Connection, now: float, seed: int = 3) -> None:
    """A rollout that began yesterday: half way through its first phase."""
    some = random.Random(seed)
    order = Order("", RunKind.INSTALL, Selection(("Critical", "Security")), 3600.0)
    began = now - 26 * 3600
    phases = {"westeurope": 1, "eastus": 1, "eastasia": 1, "northeurope": 2, "westus": 2}
    made = Rollout(
        str(uuid.UUID(int=some.getrandbits(128))),
        "2026-11.release.json",
        "automatic",
        RolloutState.RUNNING,
        "",
        began,
        None,
        1,
        now - 7200,
        3,
        {**phases, "southeastasia": 3},
        0,
        order,
        {},
        frozenset(),
        "",
        None,
        None,
    )
    rollouts.create(connection, made, machines.c.automatic)
    some_turns = turns.c.rollout == made.id
    ids = connection.execute(select(turns.c.machine).where(some_turns, turns.c.phase == 1))
    for number, machine in enumerate(ids.scalars().all()[:2000]):
        state = ("healthy", "healthy", "healthy", "soaking", "started", "waiting")[number % 6]
        values: dict[str, Any] = {"state": state}
        if state in ("healthy", "soaking"):
            values["installed"] = began + some.random() * 25 * 3600
        connection.execute(
            update(turns).where(some_turns, turns.c.machine == machine).values(**values)
        )


def assessment(some: random.Random) -> Assessment:
    patches = []
    for patch, share in zip(PATCHES, (0.25, 0.1, 0.3), strict=True):
        if some.random() < share:
            old = tuple(sorted(some.sample(range(200, 9000), some.randint(1, 4))))
            pids = old if patch.classification == "Security" else ()
            patches.append(_with(patch, pids))
    stale = ()
    if some.random() < 0.06:
        stale = (
            StaleProcess(
                412, "cupsd", ("/usr/lib/x86_64-linux-gnu/libexpat.so.1.8.10",), Needs.RESTART
            ),
        )
    return Assessment(some.random() < 0.03, tuple(patches), (), int(some.random() < 0.05), stale)


def _with(patch: AvailablePatch, pids: tuple[int, ...]) -> AvailablePatch:
    return AvailablePatch(**{**asdict(patch), "outdated": pids})


def _machine(
    rows: dict[Any, list[dict[str, Any]]],
    subscription: str,
    number: int,
    some: random.Random,
    now: float,
) -> None:
    region, time_zone = REGIONS[number % len(REGIONS)]
    arc = number % 9 == 4
    name = f"{('web', 'db', 'cache', 'queue')[number % 4]}-{number:06}"
    kind = "Microsoft.HybridCompute/machines" if arc else "Microsoft.Compute/virtualMachines"
    group = f"shop{number % 7}"
    resource = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{kind}/{name}"
    settings = {"patchMode": "AutomaticByPlatform", "assessmentMode": "AutomaticByPlatform"}
    profile = {"linuxConfiguration": {"patchSettings": settings if number % 3 else {}}}
    rows[resources].append(
        {
            "key": resource.lower(),
            "id": resource,
            "type": kind.lower(),
            "subscription": subscription.lower(),
            "group": group,
            "body": {"location": region, "properties": {"osProfile": profile}, "tags": {}},
            "created": now,
            "changed": now,
        }
    )
    if number % 20 == 19:
        return
    identifier = str(uuid.UUID(int=some.getrandbits(128)))
    facts = Facts(name, "debian", "12", "6.1.0-28", "0.1", now - 9e6, time_zone)
    seen = now - (90000 if some.random() < 0.04 else some.random() * 60)
    rows[machines].append(
        {
            "id": identifier,
            "resource": resource.lower(),
            "host": name,
            "facts": asdict(facts),
            "simulated": True,
            "enrolled": now,
            "seen": seen,
            "heard": 1,
            "owner": subscription.lower(),
            "region": region,
            "zone": str(1 + number % 3),
            "group": f"loose:{region}/{1 + number % 3}",
            "domain": 0,
            "time_zone": time_zone,
            "automatic": bool(number % 3),
            "canary": False,
            "reboot": "IfRequired",
            "health": "good",
            "health_at": now,
            "bad_at": 0.0,
            "bad_because": "",
        }
    )
    if some.random() < 0.03:
        return
    found, at = assessment(some), now - some.random() * 80000
    run = Run(
        str(uuid.UUID(int=some.getrandbits(128))),
        RunKind.ASSESS,
        at,
        RunStatus.SUCCEEDED,
        at + 2,
        found,
    )
    rows[runs].append(
        {
            "id": run.id,
            "machine": identifier,
            "kind": "assess",
            "started_by": "Platform",
            "location": "",
            "request": msgspec.to_builtins(Order(run.id, RunKind.ASSESS)),
            "created": at,
            "sent": at,
            "finished": at + 2,
            "status": "Succeeded",
            "result": msgspec.to_builtins(run),
        }
    )
    rows[compliance_table].append(
        {"machine": identifier, "assessed": at, **compliance.counted(found)}
    )
    rows[missing] += [
        {
            "machine": identifier,
            "article": patch.article,
            "name": patch.name,
            "classification": patch.classification,
            "hotpatch": patch.hotpatch,
            "outdated": len(patch.outdated),
        }
        for patch in found.patches
    ]
