"""Reports: how long protection takes, what is exposed, and what scanners should know."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime

from starlette.responses import Response
from starlette.routing import BaseRoute

from hotmend.release import parity
from hotmend.release.debian_catalogue import HOTPATCH
from hotmend.release.parity import Standing
from hotmend.release.vex import Finding, Status, openvex
from hotmend.server.portal import shelf
from hotmend.server.portal.machines import READ
from hotmend.server.portal.overview import DAYS, STATES
from hotmend.server.portal.portal import Portal
from hotmend.server.portal.visit import Visit
from hotmend.server.storage import adoption, compliance, inventory, rollouts
from hotmend.server.storage.compliance import Missing, Numbers, State

_ROLLOUTS = 12
_ARCHITECTURE = "amd64"


def routes(portal: Portal) -> list[BaseRoute]:
    return [
        portal.page("/portal/reports", reports),
        portal.page("/portal/reports/vex.json", vex),
        portal.page("/portal/reports/exposure.csv", exposure),
    ]


def reports(visit: Visit) -> Response:
    scopes = visit.scopes(READ)
    with visit.reading() as connection:
        numbers = compliance.numbers(connection, inventory.within(scopes))
        days = compliance.days(connection, scopes, visit.now - DAYS * 86400.0)
        known = []
        if visit.may("Hotmend.Fleet/rollouts/read"):
            known = [one for one in rollouts.listed(connection) if one.size][:_ROLLOUTS]
        curves = [(one, adoption.curve(connection, one)) for one in known]
    rows = [
        (one, [adoption.time_to(curve, one.size, share) for share in (0.5, 0.9, 0.95, 1.0)])
        for one, curve in curves
    ]
    return visit.draw(
        "reports.html",
        numbers=numbers,
        states=STATES,
        days=days,
        today=int(visit.now // 86400),
        rows=rows,
        newest=curves[0] if curves else None,
    )


def vex(visit: Visit) -> Response:
    """What is live in the fleet, as OpenVEX: scanners cannot see memory."""
    scopes = visit.scopes(READ)
    with visit.reading() as connection:
        numbers = compliance.numbers(connection, inventory.within(scopes))
        missing = {m.article: m for m in compliance.most_missing(connection, scopes, 10_000)}
    now = datetime.fromtimestamp(visit.now, UTC)
    document = openvex(list(findings(visit, missing, numbers)), visit.control.base_url, now)
    text = json.dumps({**document, "role": "the control plane"}, indent=1, ensure_ascii=False)
    headers = {"Content-Disposition": 'attachment; filename="hotmend.openvex.json"'}
    return Response(text, media_type="application/json", headers=headers)


def findings(visit: Visit, missing: dict[str, Missing], numbers: Numbers) -> Iterator[Finding]:
    """Of every advisory of every release in the repository."""
    unknown = numbers.machines[State.UNKNOWN]
    for release in shelf.published(visit.control.repository):
        for update in release.draft.updates:
            package = f"{update.package}={update.new_version}"
            old = missing.get(f"{package}{HOTPATCH}" if update.hotpatch else package)
            for row in parity.rows([update]):
                status, note = _status(row.standing, old, unknown)
                note = f"{note}; {row.because}" if row.because else note
                yield Finding(
                    row.advisory, update.package, update.old_version, _ARCHITECTURE, status, note
                )


def exposure(visit: Visit) -> Response:
    """Each day's numbers as CSV."""
    with visit.reading() as connection:
        days = compliance.days(connection, visit.scopes(READ), visit.now - DAYS * 86400.0)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("day", "vulnerable processes", *(f"machines {name}" for name in STATES)))
    for day, numbers in days:
        date = datetime.fromtimestamp(day * 86400, UTC).date()
        writer.writerow((date, numbers["vulnerable"], *(numbers[name] for name in STATES)))
    headers = {"Content-Disposition": 'attachment; filename="exposure.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _status(standing: Standing, old: Missing | None, unknown: int) -> tuple[Status, str]:
    if old is not None and (old.outdated or standing is not Standing.LIVE):
        return (
            Status.AFFECTED,
            f"{old.machines} machines miss it, {old.outdated} of their processes run the old code",
        )
    if standing is Standing.UNKNOWN or unknown:
        return Status.UNDER_INVESTIGATION, f"{unknown} machines are unknown"
    return Status.FIXED, "no process is known to run the old code"
