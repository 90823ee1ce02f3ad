"""Patches: what machines miss, and of each one what it changes and how far it has come."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import BaseRoute

from hotmend.release import parity
from hotmend.release.debian_catalogue import of_update
from hotmend.server.errors import ArmError
from hotmend.server.portal import disassembly, shelf
from hotmend.server.portal.machines import READ
from hotmend.server.portal.portal import Portal
from hotmend.server.portal.visit import Visit
from hotmend.server.storage import adoption, compliance, rollouts

_MOST = 200
_MOST_FUNCTIONS = 300
_MOST_LINES = 1000


def routes(portal: Portal) -> list[BaseRoute]:
    return [
        portal.page("/portal/patches", listed),
        portal.page("/portal/patch", one),
        portal.page("/portal/patch/function", function),
    ]


def listed(visit: Visit) -> Response:
    with visit.reading() as connection:
        missing = compliance.most_missing(connection, visit.scopes(READ), _MOST)
    known = {row.article for row in missing}
    published = [
        (release, patch)
        for release in shelf.published(visit.control.repository)
        for update in release.draft.updates
        for patch in of_update(update)
        if patch.article not in known
    ]
    return visit.draw("patches.html", missing=missing, published=published[:_MOST])


def one(visit: Visit) -> Response:
    article = visit.asked("article", 256)
    releases = shelf.published(visit.control.repository)
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
        hotpatch=shelf.hotpatch(visit.control.repository, update.hotpatch) if update else None,
        most=_MOST_FUNCTIONS,
        rollout=rollout,
        curve=curve,
    )


def function(visit: Visit) -> Response:
    """One function of a published hotpatch: what is known of the old code, beside the new."""
    article = visit.asked("article", 256)
    origin = shelf.of_article(shelf.published(visit.control.repository), article)
    found = shelf.hotpatch(visit.control.repository, origin[1].hotpatch) if origin else None
    try:
        if found is None:
            raise IndexError
        image = found.images[_number(visit, "image")]
        shown = image.functions[_number(visit, "function")]
    except IndexError:
        text = f"No published hotpatch of '{article[:80]}' has this function."
        raise ArmError(404, "FunctionNotFound", text) from None
    lines = disassembly.lines(image, shown, _MOST_LINES + 1)
    return visit.draw(
        "function.html",
        article=article,
        hotpatch=found,
        image=image,
        function=shown,
        lines=lines[:_MOST_LINES],
        more=len(lines) > _MOST_LINES,
    )


def _number(visit: Visit, name: str) -> int:
    """Raises IndexError for what is no place in a list."""
    word = visit.asked(name, 6)
    if not (word.isascii() and word.isdigit()):
        raise IndexError
    return int(word)
