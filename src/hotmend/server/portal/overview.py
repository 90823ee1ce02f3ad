"""The overview: one number, and what to do about it."""

from __future__ import annotations

from datetime import UTC, date, datetime

from starlette.responses import Response
from starlette.routing import BaseRoute

from hotmend.fleet.rollout import RolloutState
from hotmend.release.calendar import restart_needed_by
from hotmend.server.portal.calendar import coming
from hotmend.server.portal.machines import READ
from hotmend.server.portal.portal import Portal
from hotmend.server.portal.visit import Visit
from hotmend.server.storage import compliance, inventory, rollouts
from hotmend.server.storage.compliance import State
from hotmend.server.storage.inventory import Updates

DAYS = 30
_DAY_S = 86400.0
_MOST_MISSING = 6
STATES = tuple(state.value for state in (State.LIVE, State.WAITING, State.RESTART, State.UNKNOWN))


def routes(portal: Portal) -> list[BaseRoute]:
    return [portal.page("/portal/", overview)]


def overview(visit: Visit) -> Response:
    now, scopes = visit.now, visit.scopes(READ)
    with visit.reading() as connection:
        numbers = compliance.numbers(connection, inventory.within(scopes))
        days = compliance.days(connection, scopes, now - DAYS * _DAY_S)
        missing = compliance.most_missing(connection, scopes, _MOST_MISSING)
        opened = rollouts.listed(connection, open_only=True)
    today = datetime.fromtimestamp(now, UTC).date()
    entries = coming(visit, today)
    stopped = (RolloutState.HALTED, RolloutState.PAUSED)
    return visit.draw(
        "overview.html",
        numbers=numbers,
        states=STATES,
        days=days,
        today=int(now // _DAY_S),
        missing=missing,
        total=sum(numbers.updates.values()),
        reboot=numbers.updates.get(Updates.REBOOT, 0),
        no_data=numbers.updates.get(Updates.NO_DATA, 0),
        baseline=restart_needed_by(entries, today),
        days_left=_days_left(restart_needed_by(entries, today), today),
        opened=opened,
        stopped=[one for one in opened if one.state in stopped or one.frozen or one.warned],
    )


def _days_left(baseline: date | None, today: date) -> int | None:
    return (baseline - today).days if baseline is not None else None
