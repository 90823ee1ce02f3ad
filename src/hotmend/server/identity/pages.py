"""The pages at the door, as the viewer has the others: log in, become the first admin, a
sentence."""

from __future__ import annotations

from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from hotmend.server.portal import theme
from hotmend.server.portal.drawing import Drawing
from hotmend.server.portal.words import asked_for

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    # With "no-referrer" a browser sends "Origin: null", which says nothing.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_NOTHING: dict[str, Any] = {"problem": "", "sentence": "", "action": "", "elsewhere": ""}


def login(
    request: Request, *, problem: str = "", elsewhere: str = "", status: int = 200
) -> HTMLResponse:
    """``elsewhere``: where one logs in at an OpenID provider; "" for nowhere."""
    return _page(
        request,
        status,
        problem=problem,
        action="/login",
        hidden={},
        autocomplete="current-password",
        button="Log in",
        elsewhere=elsewhere,
    )


def first_admin(
    request: Request, code: str, *, problem: str = "", status: int = 200
) -> HTMLResponse:
    """Name and password of the first admin."""
    return _page(
        request,
        status,
        problem=problem,
        sentence="You will be this fleet's first admin.",
        action="/first-admin",
        hidden={"code": code},
        autocomplete="new-password",
        button="Become the first admin",
    )


def sentence(request: Request, text: str, status: int = 200) -> HTMLResponse:
    """A page that says one thing."""
    return _page(request, status, sentence=text)


def _page(request: Request, status: int, **values: Any) -> HTMLResponse:
    values = {**_NOTHING, **values, "theme": theme.asked_for(request)}
    content = _drawing().bare("door.html", asked_for(request), **values)
    return HTMLResponse(content, status, _HEADERS)


@cache
def _drawing() -> Drawing:
    return Drawing()
