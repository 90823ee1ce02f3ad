"""How the portal looks to one viewer: language and theme, kept in the browser's cookies."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.responses import Response
from starlette.routing import BaseRoute

from hotmend.server.portal.portal import Portal
from hotmend.server.portal.visit import THEME, THEMES, Visit, elsewhere
from hotmend.server.portal.words import COOKIE, LANGUAGES

_YEAR_S = 365 * 86400


def routes(portal: Portal) -> list[BaseRoute]:
    return [portal.action("/portal/view", change)]


async def change(visit: Visit, form: FormData) -> Response:
    """Back to where it was asked for."""
    back = str(form.get("back", ""))
    response = elsewhere(back if back.startswith("/portal/") else "/portal/")
    for cookie, field, words in ((COOKIE, "language", LANGUAGES), (THEME, "theme", THEMES)):
        word = str(form.get(field, ""))
        if word in words:
            response.set_cookie(
                cookie, word, max_age=_YEAR_S, path="/", secure=True, httponly=True, samesite="lax"
            )
    return response
