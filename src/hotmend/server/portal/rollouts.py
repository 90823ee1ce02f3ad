"""Rollouts: how each moves, and what people do to it. The board moves by itself."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from hotmend.fleet.regions import known as regions
from hotmend.fleet.regions import pair_keys, pairs
from hotmend.fleet.rollout import CANARIES
from hotmend.fleet.settings import about
from hotmend.fleet.turn import TurnState
from hotmend.server.errors import ArmError
from hotmend.server.identity import approvals
from hotmend.server.portal.machines import path_of
from hotmend.server.portal.portal import HEADERS, Portal
from hotmend.server.portal.visit import Visit, elsewhere, visit
from hotmend.server.rollouts import people, why
from hotmend.server.rollouts.moment import Moment
from hotmend.server.storage import adoption, rollouts, turns
from hotmend.server.storage.rollouts import Rollout

READ = "Hotmend.Fleet/rollouts/read"
VERBS = (*people.DEEDS, "exclude")
_PAGE = 25
_LOOK_EVERY_S = 1.0
_LONGEST_STREAM_S = 600.0
_STATES = ("waiting", "started", "soaking", "healthy", "failed", "excluded")


def routes(portal: Portal) -> list[BaseRoute]:
    async def act(looker: Visit, form: FormData) -> Response:
        """One of the deeds that the API has."""
        words = looker.request.path_params
        body = {"because": str(form.get("because", ""))[:500]}
        if words["verb"] not in VERBS:
            raise ArmError(404, "NotFound", "There is no such action.")
        if words["verb"] == "exclude":
            body["machine"] = str(form.get("machine", ""))
        place = f"/subscriptions/{looker.subscription}/providers/Hotmend.Fleet/rollouts"
        path = f"{place}/{words['rollout']}/{words['verb']}"
        await portal.api.call(looker.who, "POST", path, body)
        return elsewhere(f"/portal/rollouts/{words['rollout']}?done={words['verb']}")

    async def events(request: Request) -> Response:
        looker = await run_in_threadpool(visit, request, portal.control, portal.drawing)
        if looker is None or not looker.may(READ):
            return Response(status_code=403)
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(
            _events(looker, request.path_params["rollout"]), 200, headers, "text/event-stream"
        )

    return [
        portal.page("/portal/rollouts", listed),
        portal.page("/portal/rollouts/{rollout}", board),
        Route("/portal/rollouts/{rollout}/events", events),
        portal.action("/portal/rollouts/{rollout}/{verb}", act),
    ]


def listed(looker: Visit) -> Response:
    looker.check(READ)
    with looker.reading() as connection:
        known = rollouts.listed(connection)
        rows = [(one, _totals(connection, one)) for one in known[:_PAGE]]
    return looker.draw("rollouts.html", rows=rows, states=_STATES)


def board(looker: Visit) -> Response:
    looker.check(READ)
    state = looker.asked("state")
    state = state if state in _STATES else "waiting"
    after = looker.asked("after", 36)
    moment = Moment(looker.now, 0.0, pair_keys(pairs()))
    with looker.reading() as connection:
        known = _found(connection, looker.request.path_params["rollout"])
        phases = _phases(connection, known)
        restart = rollouts.waiting_for_restart(connection, known.id)
        rows = turns.page(connection, known.id, TurnState(state), after, _PAGE + 1)
        reasons = why.several(connection, known, [row.machine for row in rows[:_PAGE]], moment)
        curve = adoption.curve(connection, known)
        asked = {
            verb: approvals.waiting(connection, f"rollout {what}", known.id, looker.now)
            for verb, what in (("resume", "resume"), ("promote", f"promote from {known.phase}"))
        }
    may = {verb: looker.may(f"Hotmend.Fleet/rollouts/{verb}/action") for verb in VERBS}
    return looker.draw(
        "rollout.html",
        known=known,
        phases=phases,
        restart=restart,
        drawn=_digest(known, phases),
        regions=regions(),
        states=_STATES,
        state=state,
        after=after,
        rows=[(row, path_of(row.resource) if row.resource else "") for row in rows[:_PAGE]],
        more=rows[_PAGE - 1].machine if len(rows) > _PAGE else "",
        reasons=reasons,
        curve=curve,
        half=adoption.time_to(curve, known.size, 0.5),
        nearly=adoption.time_to(curve, known.size, 0.95),
        asked=asked,
        may=may,
        about=about(),
        said=looker.asked("done"),
        canaries=CANARIES,
    )


async def _events(looker: Visit, rollout: str) -> AsyncIterator[str]:
    """A line whenever the board is not as it was drawn; the browser asks again when this ends."""
    yield "retry: 2000\n\n"
    before = looker.asked("drawn")
    for _ in range(int(_LONGEST_STREAM_S / _LOOK_EVERY_S)):
        await asyncio.sleep(_LOOK_EVERY_S)
        after = await run_in_threadpool(_now, looker, rollout)
        if after != before:
            before = after
            yield f"event: moved\ndata: {after}\n\n"


def _now(looker: Visit, rollout: str) -> str:
    with looker.reading() as connection:
        known = rollouts.get(connection, rollout)
        return "" if known is None else _digest(known, _phases(connection, known))


def _digest(known: Rollout, phases: Mapping[int, Mapping[str, int]]) -> str:
    """Of what moves on a board; on every replica the same."""
    standing = f"{replace(known, frozen=frozenset())}{sorted(known.frozen)}{phases}"
    return hashlib.sha256(standing.encode()).hexdigest()[:16]


def _phases(connection: Connection, known: Rollout) -> dict[int, dict[str, int]]:
    """Turns by phase and state; every phase is there."""
    found: dict[int, dict[str, int]] = {
        phase: dict.fromkeys(_STATES, 0) for phase in range(CANARIES, known.last_phase + 1)
    }
    for phase, state, count in rollouts.tally(connection, known.id):
        found.setdefault(phase, dict.fromkeys(_STATES, 0))[state] = count
    return found


def _totals(connection: Connection, known: Rollout) -> dict[str, int]:
    found = dict.fromkeys(_STATES, 0)
    for _, state, count in rollouts.tally(connection, known.id):
        found[state] += count
    return found


def _found(connection: Connection, identifier: str) -> Rollout:
    known = rollouts.get(connection, identifier[:36])
    if known is None:
        raise ArmError(404, "RolloutNotFound", f"There is no rollout '{identifier[:64]}'.")
    return known
