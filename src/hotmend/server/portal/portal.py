"""The portal's routes, and what surrounds every page: who is there, and what a browser may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.portal.api import Api
from hotmend.server.portal.drawing import Drawing
from hotmend.server.portal.visit import Visit, elsewhere, visit

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_MOST_FORM = 64 << 10
_LOGIN = "/login"

Draw = Callable[[Visit], Response]
Act = Callable[[Visit, FormData], Awaitable[Response]]


class Portal:
    """``arm``: the application through which everything is changed."""

    def __init__(self, control: Control, arm: ASGIApp) -> None:
        self.control = control
        self.api = Api(control, arm)
        self.drawing = Drawing()

    def page(self, path: str, draw: Draw) -> Route:
        """A page for somebody who is logged in; others are sent to the door."""

        def drawn(request: Request) -> Response:
            try:
                who = visit(request, self.control, self.drawing)
                if who is None:
                    return _headed(elsewhere(_LOGIN))
                try:
                    return _headed(draw(who))
                except ArmError as error:
                    return _headed(refused(who, error))
            except SQLAlchemyError:
                return _headed(Response("The database does not answer; try again.", 503))

        return Route(path, drawn)

    def action(self, path: str, act: Act) -> Route:
        """A form that changes something: only from a page of ours, with the session's secret."""

        async def done(request: Request) -> Response:
            who = await run_in_threadpool(visit, request, self.control, self.drawing)
            if who is None:
                return _headed(elsewhere(_LOGIN))
            try:
                return _headed(await act(who, await _form(who)))
            except ArmError as error:
                return _headed(await run_in_threadpool(refused, who, error))

        return Route(path, done, methods=["POST"])


def files() -> BaseRoute:
    """Styles and scripts, for everybody."""
    return Mount("/portal/static", StaticFiles(directory=Path(__file__).with_name("static")))


def refused(who: Visit, error: ArmError) -> Response:
    """What the API refused, in its words."""
    return who.draw("refused.html", error.status, error=error)


async def _form(who: Visit) -> FormData:
    request = who.request
    foreign = ArmError(403, "FormNotOurs", "This form did not come from here.")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise foreign
    origin = request.headers.get("origin")
    if origin is not None and origin != f"https://{request.headers.get('host', '')}":
        raise foreign
    if int(request.headers.get("content-length") or _MOST_FORM + 1) > _MOST_FORM:
        raise ArmError(413, "RequestTooLarge", "The form is too long.")
    form = await request.form()
    if not who.session.meant(str(form.get("csrf", ""))):
        raise foreign
    return form


def _headed(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response
