"""The calendar: baselines and hotpatches by month, as the rule plans them and as they came."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

from starlette.responses import Response
from starlette.routing import BaseRoute

from hotmend.fleet.settings import parsed
from hotmend.release import history, parity
from hotmend.release.calendar import Entry, calendar, slot
from hotmend.release.errors import CatalogueError
from hotmend.release.ics import ics
from hotmend.release.release import Kind, Month, Planning, Release
from hotmend.server.portal import shelf
from hotmend.server.portal.machines import READ
from hotmend.server.portal.portal import Portal
from hotmend.server.portal.visit import Visit
from hotmend.server.storage import inventory, settings

OWN = "Debian 12"
_BEFORE, _AFTER = 6, 9


def routes(portal: Portal) -> list[BaseRoute]:
    return [
        portal.page("/portal/calendar", shown),
        portal.page("/portal/calendar.ics", exported),
    ]


def coming(visit: Visit, today: date) -> list[Entry]:
    """Of the server's own channel, from this month on."""
    first = Month(today.year, today.month)
    return calendar(_own(visit), first, _moved(first, _AFTER))


def shown(visit: Visit) -> Response:
    today = datetime.fromtimestamp(visit.now, UTC).date()
    product, entries = _entries(visit, today)
    with visit.reading() as connection:
        zones = inventory.zones(connection, visit.scopes(READ))
        window = parsed(settings.get(connection, "rollouts"))
    return visit.draw(
        "calendar.html",
        product=product,
        products=[OWN, *history.products(history.shipped())],
        entries=entries,
        today=today,
        month=Month(today.year, today.month),
        zones=zones,
        window=window,
        kinds=Counter(entry.kind.value for entry in entries),
    )


def exported(visit: Visit) -> Response:
    """For whatever people keep their dates in."""
    now = datetime.fromtimestamp(visit.now, UTC)
    product, entries = _entries(visit, now.date())
    headers = {"Content-Disposition": 'attachment; filename="hotmend.ics"'}
    return Response(ics(product, entries, now), media_type="text/calendar", headers=headers)


def _entries(visit: Visit, today: date) -> tuple[str, list[Entry]]:
    product = visit.asked("product") or OWN
    this = Month(today.year, today.month)
    if product == OWN:
        return OWN, calendar(_own(visit), _moved(this, -_BEFORE), _moved(this, _AFTER))
    try:
        known = history.of_product(history.shipped(), product)
    except CatalogueError:
        return OWN, calendar(_own(visit), _moved(this, -_BEFORE), _moved(this, _AFTER))
    return known[0].product, calendar(known, _moved(this, -12), _moved(this, _AFTER))


def _own(visit: Visit) -> list[Release]:
    """What the repository has published, in the calendar's words."""
    found = []
    for one in shelf.published(visit.control.repository):
        proposal = parity.propose(one.draft.updates)
        planned = slot(one.draft.month).kind
        early = proposal.kind is Kind.BASELINE and planned is Kind.HOTPATCH
        found.append(
            Release(
                product=OWN,
                month=one.draft.month,
                kind=proposal.kind,
                planning=Planning.UNPLANNED if early else Planning.PLANNED,
                released=None,
                article=one.draft.title,
                note="; ".join(proposal.reasons),
            )
        )
    return found


def _moved(month: Month, by: int) -> Month:
    number = month.year * 12 + month.number - 1 + by
    return Month(number // 12, number % 12 + 1)
