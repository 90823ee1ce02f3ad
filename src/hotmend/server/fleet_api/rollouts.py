"""``Hotmend.Fleet``: rollouts, as people watch, pause, resume, halt and cancel them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from hotmend.fleet.regions import pair_keys, pairs
from hotmend.fleet.rollout import RolloutState
from hotmend.fleet.settings import parsed
from hotmend.fleet.turn import TurnState
from hotmend.server.arm import subscriptions
from hotmend.server.arm.access import Access
from hotmend.server.arm.long_running import timestamp
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.fleet_api.machines import FLEET, enrolled
from hotmend.server.rollouts import people, why
from hotmend.server.rollouts.moment import Moment
from hotmend.server.storage import audit, rollouts, settings, turns
from hotmend.server.storage.rollouts import Rollout

_PATH = "/subscriptions/{subscription}/providers/Hotmend.Fleet/rollouts"
_ONE = f"{_PATH}/{{rollout}}"
_SETTINGS = "/subscriptions/{subscription}/providers/Hotmend.Fleet/rolloutSettings/default"
_READ = "Hotmend.Fleet/rollouts/read"
_MOST = 1000


class Because(BaseModel):
    """Why, for the audit log."""

    because: str = Field(default="", max_length=500)


class Exclusion(BaseModel):
    """``machine``: the id by which its turn is known."""

    machine: str = Field(min_length=1, max_length=64)
    because: str = Field(default="", max_length=500)


def router(control: Control, access: Access) -> APIRouter:
    """Rollouts are the whole control plane's: who may touch one may touch it for all."""
    routes = APIRouter(tags=["rollouts"])

    @routes.get(_PATH, **access.to(_READ))
    def everything(subscription: str) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        with control.database.reading() as connection:
            return {"value": [_shown(one) for one in rollouts.listed(connection)]}

    @routes.get(_ONE, **access.to(_READ))
    def one(subscription: str, rollout: str) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        with control.database.reading() as connection:
            known = _found(connection, rollout)
            standing = rollouts.standing(connection, known, control.clock())
            restart = rollouts.waiting_for_restart(connection, known.id)
        phases: dict[int, dict[str, int]] = {}
        for tally in standing.tallies:
            row = phases.setdefault(tally.phase, dict.fromkeys(_COUNTS, 0))
            row["waiting"] += tally.waiting
            row["inFlight"] += tally.in_flight
            row["healthy"] += tally.healthy
            row["failed"] += tally.failed
        shown = [
            {"phase": phase, **counts, "restartRequired": restart.get(phase, 0)}
            for phase, counts in sorted(phases.items())
        ]
        return {**_shown(known), "phases": shown}

    @routes.get(f"{_ONE}/turns", **access.to(_READ))
    def its_turns(
        subscription: str,
        rollout: str,
        request: Request,
        state: TurnState | None = None,
        after: str = Query(default="", max_length=64),
        top: int = Query(default=_MOST, ge=1, le=_MOST, alias="$top"),
    ) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        with control.database.reading() as connection:
            known = _found(connection, rollout)
            found = [_turn(row) for row in turns.page(connection, known.id, state, after, top)]
        page: dict[str, Any] = {"value": found}
        if len(found) == top:
            url = request.url.include_query_params(after=found[-1]["machine"])
            page["nextLink"] = f"{control.base_url}{url.path}?{url.query}"
        return page

    @routes.get(f"{FLEET}/waiting", **access.to(_READ))
    def waiting(subscription: str, group: str, name: str) -> dict[str, Any]:
        with control.database.reading() as connection:
            machine = enrolled(connection, subscription, group, name)
            known = why.current_rollout(connection, machine.id)
            if known is None:
                return {"rollout": None, "code": "", "because": "no rollout concerns it"}
            moment = Moment(control.clock(), 0.0, pair_keys(pairs()))
            reason = why.why(connection, known, machine.id, moment)
        if reason is None:
            return {"rollout": known.id, "code": "", "because": "it does not wait"}
        return {"rollout": known.id, "code": reason.code.value, "because": reason.sentence}

    @routes.get(_SETTINGS, **access.to("Hotmend.Fleet/rolloutSettings/read"))
    def get_settings(subscription: str) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        with control.database.reading() as connection:
            return dict(settings.get(connection, "rollouts"))

    @routes.put(_SETTINGS, **access.to("Hotmend.Fleet/rolloutSettings/write"))
    def put_settings(subscription: str, body: dict[str, Any], request: Request) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        try:
            parsed(body)
        except ValueError as error:
            raise ArmError(400, "InvalidParameter", str(error)) from None
        who, now = request.state.principal.id, control.clock()

        def work(connection: Connection) -> None:
            settings.put(connection, "rollouts", body)
            audit.append(connection, now, who, "rollout settings", "rollouts", body)

        control.database.write(work)
        return body

    def action(name: str, do: people.Deed) -> None:
        @routes.post(
            f"{_ONE}/{name}", name=name, **access.to(f"Hotmend.Fleet/rollouts/{name}/action")
        )
        def act(subscription: str, rollout: str, body: Because, request: Request) -> dict[str, Any]:
            subscriptions.check(control, subscription)
            who = request.state.principal

            def work(connection: Connection) -> dict[str, Any]:
                known = _found(connection, rollout)
                do(connection, known, who.id, body.because, control.clock())
                return _shown(_found(connection, rollout))

            return control.database.write(work)

    for name, do in people.DEEDS.items():
        action(name, do)

    @routes.post(f"{_ONE}/exclude", **access.to("Hotmend.Fleet/rollouts/exclude/action"))
    def exclude(
        subscription: str, rollout: str, body: Exclusion, request: Request
    ) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        who, now = request.state.principal.id, control.clock()

        def work(connection: Connection) -> dict[str, Any]:
            known = _found(connection, rollout)
            people.exclude(connection, known, body.machine, who, body.because, now)
            return _shown(_found(connection, rollout))

        return control.database.write(work)

    return routes


_COUNTS = ("waiting", "inFlight", "healthy", "failed")


def _found(connection: Connection, identifier: str) -> Rollout:
    known = rollouts.get(connection, identifier)
    if known is None:
        raise ArmError(404, "RolloutNotFound", f"There is no rollout '{identifier[:64]}'.")
    return known


def _shown(known: Rollout) -> dict[str, Any]:
    over = known.state in (RolloutState.FINISHED, RolloutState.CANCELLED)
    return {
        "id": known.id,
        "name": known.name,
        "kind": known.kind,
        "state": known.state.value,
        "because": known.because,
        "warning": "" if over else known.warned,
        "machines": known.size,
        "phase": known.phase,
        "lastPhase": known.last_phase,
        "began": timestamp(known.created),
        "phaseBegan": timestamp(known.phase_began),
        "ended": timestamp(known.ended) if known.ended is not None else None,
        "opens": timestamp(known.opens) if known.opens is not None else None,
        "closes": timestamp(known.closes) if known.closes is not None else None,
        "maintenanceConfigurationId": known.configuration or None,
        "frozenSubscriptions": sorted(known.frozen),
        "settings": dict(known.written_settings),
    }


def _turn(row: Any) -> dict[str, Any]:
    def when(seconds: float | None) -> str | None:
        return timestamp(seconds) if seconds is not None else None

    return {
        "machine": row.machine,
        "resource": row.resource,
        "host": row.host,
        "simulated": row.simulated,
        "state": row.state,
        "phase": row.phase,
        "region": row.region,
        "zone": row.zone,
        "group": row.group,
        "updateDomain": row.domain,
        "attempts": row.attempts,
        "run": row.run,
        "started": when(row.started),
        "installed": when(row.installed),
        "ended": when(row.ended),
        "because": row.because,
        "restartRequired": bool(row.restart),
    }
