"""How the portal looks to one viewer: language and theme, kept in the browser's cookies."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.responses import Response
from starlette.routing import BaseRoute

from hotmend.server.portal import theme, words
from hotmend.server.portal.portal import Portal
from hotmend.server.portal.visit import Visit, elsewhere

_YEAR_S = 365 * 86400


def routes(portal: Portal) -> list[BaseRoute]:
    return [portal.action("/portal/view", change)]


async def change(visit: Visit, form: FormData) -> Response:
    """Back to where it was asked for."""
    back = str(form.get("back", ""))
    response = elsewhere(back if back.startswith("/portal/") else "/portal/")
    for cookie, field, known in (
        (words.COOKIE, "language", words.LANGUAGES),
        (theme.COOKIE, "theme", theme.THEMES),
    ):
        word = str(form.get(field, ""))
        if word in known:
            response.set_cookie(
                cookie, word, max_age=_YEAR_S, path="/", secure=True, httponly=True, samesite="lax"
            )
    return response
