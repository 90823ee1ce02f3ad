"""Patches: what machines miss, and of each one what it changes and how far it has come."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import BaseRoute

from hotmend.release import parity
from hotmend.release.debian_catalogue import of_update
from hotmend.server.errors import ArmError
from hotmend.server.portal import shelf
from hotmend.server.portal.machines import READ
from hotmend.server.portal.portal import Portal
from hotmend.server.portal.visit import Visit
from hotmend.server.storage import adoption, compliance, rollouts

_MOST = 200
_MOST_FUNCTIONS = 500


def routes(portal: Portal) -> list[BaseRoute]:
    return [portal.page("/portal/patches", listed), portal.page("/portal/patch", one)]


def listed(visit: Visit) -> Response:
    with visit.reading() as connection:
        missing = compliance.most_missing(connection, visit.scopes(READ), _MOST)
    known = {row.article for row in missing}
    published = [
        (release, patch)
        for release in shelf.published(visit.control.folder)
        for update in release.draft.updates
        for patch in of_update(update)
        if patch.article not in known
    ]
    return visit.draw("patches.html", missing=missing, published=published[:_MOST])


def one(visit: Visit) -> Response:
    article = visit.asked("article", 256)
    releases = shelf.published(visit.control.folder)
    origin = shelf.of_article(releases, article)
    with visit.reading() as connection:
        missing = compliance.most_missing(connection, visit.scopes(READ), 1, article)
        rollout = None
        if origin is not None:
            rollout = rollouts.named(connection, origin[0].name)
        curve = adoption.curve(connection, rollout) if rollout is not None else []
    if origin is None and not missing:
        raise ArmError(
            404, "PatchNotFound", f"No machine misses '{article[:80]}', and no release has it."
        )
    update = origin[1] if origin is not None else None
    return visit.draw(
        "patch.html",
        article=article,
        missing=missing[0] if missing else None,
        release=origin[0] if origin is not None else None,
        update=update,
        rows=parity.rows([update]) if update is not None else [],
        hotpatch=shelf.hotpatch(visit.control.folder, update.hotpatch) if update else None,
        most=_MOST_FUNCTIONS,
        rollout=rollout,
        curve=curve,
    )
