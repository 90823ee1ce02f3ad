"""History: what was done to machines; and the audit log, which can be computed again."""

from __future__ import annotations

import base64

from starlette.responses import Response
from starlette.routing import BaseRoute

from hotmend.server import checkpoints
from hotmend.server.identity import principals
from hotmend.server.portal.machines import READ, path_of
from hotmend.server.portal.portal import Portal
from hotmend.server.portal.visit import Visit
from hotmend.server.storage import audit, compliance, rollouts, runs

AUDIT = "Hotmend.Fleet/audit/read"
_PAGE = 50
_KINDS = ("assess", "install", "restart")
_STATUSES = ("InProgress", "Succeeded", "CompletedWithWarnings", "Failed")
_FIRST = (1e12, "~")
_LAST_NUMBER = (1 << 31) - 1


def routes(portal: Portal) -> list[BaseRoute]:
    return [
        portal.page("/portal/history", by_machine),
        portal.page("/portal/history/runs", by_rollout),
        portal.page("/portal/audit", log),
    ]


def by_machine(visit: Visit) -> Response:
    kind, status = _one_of(visit, "kind", _KINDS), _one_of(visit, "status", _STATUSES)
    with visit.reading() as connection:
        found = runs.of_fleet(
            connection,
            compliance.within(visit.scopes(READ)),
            kind,
            status,
            _before(visit),
            _PAGE + 1,
        )
    last = found[_PAGE - 1] if len(found) > _PAGE else None
    return visit.draw(
        "history.html",
        rows=[(line, path_of(line.resource)) for line in found[:_PAGE]],
        kind=kind,
        status=status,
        kinds=_KINDS,
        statuses=_STATUSES,
        more=f"{last.asked!r}/{last.id}" if last is not None else "",
        tab="machines",
    )


def by_rollout(visit: Visit) -> Response:
    """What Update Manager calls maintenance runs."""
    visit.check("Hotmend.Fleet/rollouts/read")
    with visit.reading() as connection:
        known = rollouts.listed(connection)[:_PAGE]
        done = {
            one.id: sum(
                n for _, state, n in rollouts.tally(connection, one.id) if state == "healthy"
            )
            for one in known
        }
    return visit.draw("history_runs.html", known=known, done=done, tab="runs")


def log(visit: Visit) -> Response:
    visit.check(AUDIT)
    asked = visit.asked("before", 12)
    before = int(asked) if asked.isascii() and asked.isdigit() else _LAST_NUMBER
    verify = visit.asked("verify") == "yes"
    with visit.reading() as connection:
        found = audit.newest(connection, min(before, _LAST_NUMBER), _PAGE)
        head = audit.head(connection)
        wrong = audit.problem(connection) if verify else ""
        kept = len(checkpoints.kept(connection)) if verify else 0
        names = {one.id: one.name for one in principals.everybody(connection)}
    return visit.draw(
        "audit.html",
        entries=found,
        head=head,
        verify=verify,
        wrong=wrong,
        kept=kept,
        names=names,
        key=base64.b64encode(visit.control.log.public).decode(),
        more=found[-1].number if found and found[-1].number > 1 else 0,
        tab="audit",
    )


def _before(visit: Visit) -> tuple[float, str]:
    time, _, identifier = visit.asked("before").partition("/")
    try:
        return (float(time), identifier) if identifier else _FIRST
    except ValueError:
        return _FIRST


def _one_of(visit: Visit, name: str, words: tuple[str, ...]) -> str:
    word = visit.asked(name)
    return word if word in words else ""
