"""One machine: Operations > Updates, and what runs on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from hotmend.fleet.regions import pair_keys, pairs
from hotmend.model.agent_messages import Assessment, AvailablePatch, Health, RunKind
from hotmend.server.arm import hybrid_view, machine_support, patch_settings
from hotmend.server.arm.virtual_machines import found
from hotmend.server.errors import ArmError
from hotmend.server.portal import processes
from hotmend.server.portal.machines import READ, Row, row_of
from hotmend.server.portal.portal import Portal
from hotmend.server.portal.visit import Visit
from hotmend.server.resource_id import ResourceId
from hotmend.server.rollouts import why
from hotmend.server.rollouts.moment import Moment
from hotmend.server.storage import inventory, machines, maintenance, runs
from hotmend.server.storage.machines import Machine
from hotmend.server.storage.resources import Resource
from hotmend.server.storage.runs import Kept

KINDS = {"vm": "Microsoft.Compute/virtualMachines", "arc": machine_support.CONNECTED}
PATH = "/portal/machines/{subscription}/{group}/{kind}/{name}"
HISTORY_S = runs.KEPT_S[RunKind.INSTALL]
URGENT = ("Critical", "Security")
TABS = ("updates", "compliance", "history", "processes", "timeline", "policy")


@dataclass(frozen=True)
class Shown:
    """What every tab shows. ``busy``: a run that has not ended."""

    id: ResourceId
    resource: Resource
    row: Row
    agent: Machine | None
    assessed: Kept | None
    busy: Kept | None
    path: str

    @property
    def assessment(self) -> Assessment | None:
        """What the last assessment found; None where there was none."""
        run = self.assessed.run if self.assessed is not None else None
        return run.assessment if run is not None else None

    def patches(self, *, urgent: bool) -> list[AvailablePatch]:
        """Those that are Critical or Security, or the others."""
        found = self.assessment.patches if self.assessment is not None else ()
        return [patch for patch in found if (patch.classification in URGENT) is urgent]


def routes(portal: Portal) -> list[BaseRoute]:
    tabs = {
        "updates": updates,
        "compliance": compliance,
        "history": history,
        "processes": running,
        "timeline": timeline,
        "policy": policy,
    }
    return [
        portal.page(PATH, updates),
        *(portal.page(f"{PATH}/{name}", draw) for name, draw in tabs.items()),
        portal.page(f"{PATH}/history/{{run}}", deployment),
    ]


def identifier(request: Request) -> ResourceId:
    """Of the machine that a path names. Raises ArmError."""
    words = request.path_params
    kind = KINDS.get(words["kind"])
    if kind is None:
        raise ArmError(404, "ResourceNotFound", "There is no such machine.")
    return ResourceId(words["subscription"], words["group"], kind, words["name"])


def updates(visit: Visit) -> Response:
    with visit.reading() as connection:
        shown = _shown(visit, connection)
        rollout = waiting = None
        if shown.agent is not None:
            rollout = why.current_rollout(connection, shown.agent.id)
        if rollout is not None and shown.agent is not None:
            moment = Moment(visit.now, 0.0, pair_keys(pairs()))
            waiting = why.why(connection, rollout, shown.agent.id, moment)
    return _tab(visit, "updates", shown, rollout=rollout, waiting=waiting)


def compliance(visit: Visit) -> Response:
    with visit.reading() as connection:
        shown = _shown(visit, connection)
    return _tab(visit, "compliance", shown)


def history(visit: Visit) -> Response:
    with visit.reading() as connection:
        shown = _shown(visit, connection)
        known = _history(visit, connection, shown)
    wanted = visit.asked("status")
    return _tab(
        visit,
        "history",
        shown,
        runs=[kept for kept in known if not wanted or kept.status == wanted],
        wanted=wanted,
        total=len(known),
        failed=sum(kept.status == "Failed" for kept in known),
        succeeded=sum(kept.status == "Succeeded" for kept in known),
    )


def deployment(visit: Visit) -> Response:
    """One run, process by process."""
    with visit.reading() as connection:
        shown = _shown(visit, connection)
        kept = runs.get(connection, visit.request.path_params["run"][:36])
    if kept is None or shown.agent is None or kept.machine != shown.agent.id:
        raise ArmError(404, "RunNotFound", "This machine has no such run.")
    return _tab(visit, "run", shown, kept=kept)


def running(visit: Visit) -> Response:
    with visit.reading() as connection:
        shown = _shown(visit, connection)
        health = _health(connection, shown.agent)
        known = _history(visit, connection, shown)
    known = [kept for kept in known if kept.kind is RunKind.INSTALL]
    known += [shown.assessed] if shown.assessed is not None else []
    grid = processes.grid(known)
    return _tab(visit, "processes", shown, grid=grid, health=health)


def timeline(visit: Visit) -> Response:
    with visit.reading() as connection:
        shown = _shown(visit, connection)
        known = _history(visit, connection, shown)
        health = _health(connection, shown.agent)
    events: list[tuple[float, str, Any]] = [(kept.asked, "run", kept) for kept in known]
    if health is not None:
        events += [(one.time, "ended", one) for one in health[1].ended]
    if shown.agent is not None:
        events.append((shown.agent.facts.booted, "booted", None))
    return _tab(visit, "timeline", shown, events=sorted(events, key=_newest_first))


def policy(visit: Visit) -> Response:
    with visit.reading() as connection:
        shown = _shown(visit, connection)
        assigned = maintenance.of_target(connection, shown.id.key)
    feature = None
    if shown.id.type == machine_support.CONNECTED:
        feature = hybrid_view.feature_of(shown.resource, shown.agent)
    settings = patch_settings.settings_of(shown.resource.body["properties"])
    return _tab(visit, "policy", shown, settings=settings, feature=feature, assigned=assigned)


def _shown(visit: Visit, connection: Connection) -> Shown:
    who = identifier(visit.request)
    visit.check(READ, str(who))
    resource = found(connection, who)
    listed = inventory.one(connection, who.key, visit.now)
    agent = machines.of_resource(connection, who.key)
    assessed = busy = None
    if agent is not None:
        assessed = runs.latest(connection, agent.id, RunKind.ASSESS, ended=True)
        busy = runs.unended(connection, agent.id)
    schedules = maintenance.counts(connection, [who.key]).get(who.key, 0)
    row = row_of(listed, assessed, schedules, visit.now)
    return Shown(resource.id, resource, row, agent, assessed, busy, row.path)


def _tab(visit: Visit, name: str, shown: Shown, **values: Any) -> Response:
    operation = f"{shown.id.type}/{{}}/action"
    may = {
        verb: visit.may(operation.format(verb), str(shown.id))
        for verb in ("assessPatches", "installPatches")
    }
    may["write"] = visit.may(f"{shown.id.type}/write", str(shown.id))
    return visit.draw(
        f"machine_{name}.html",
        shown=shown,
        one=shown.row.machine,
        may=may,
        tab="history" if name == "run" else name,
        tabs=TABS,
        said=visit.asked("done"),
        **values,
    )


def _history(visit: Visit, connection: Connection, shown: Shown) -> list[Kept]:
    if shown.agent is None:
        return []
    return runs.history(connection, shown.agent.id, visit.now - HISTORY_S)


def _health(connection: Connection, agent: Machine | None) -> tuple[float, Health] | None:
    return machines.health(connection, agent.id) if agent is not None else None


def _newest_first(event: tuple[float, str, Any]) -> float:
    return -event[0]
