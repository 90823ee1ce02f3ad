"""Where people come in with a browser: the first admin's link, name and password, OpenID."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from hotmend.server.control import Control
from hotmend.server.errors import ServerError
from hotmend.server.identity import first_admin, oidc, pages, principals, sessions
from hotmend.server.storage import audit

_MOST_FORM = 16 << 10
_FLOW_S = 600

T = TypeVar("T")


def routes(control: Control) -> list[BaseRoute]:
    """``/first-admin``, ``/login``, ``/logout``, and ``/login/oidc`` where there is a provider."""
    provider = control.provider
    elsewhere = "/login/oidc" if provider is not None else ""

    async def link(request: Request) -> Response:
        code = request.query_params.get("code", "")
        if not await _read(control, lambda c: first_admin.good(c, code, control.clock())):
            return pages.sentence(request, "This link is not known, was used, or is too old.", 403)
        return pages.first_admin(request, code)

    async def become(request: Request) -> Response:
        form = await _form(request)
        if form is None:
            return pages.sentence(request, "This form did not come from here.", 403)
        code, name = form.get("code", ""), form.get("name", "")

        def work(connection: Connection) -> str:
            now = control.clock()
            return first_admin.become(connection, code, name, form.get("password", ""), now)

        try:
            identifier = await _write(control, work)
        except ServerError as error:
            return pages.first_admin(request, code, problem=str(error), status=400)
        return await _in(control, identifier, name)

    async def ask(request: Request) -> Response:
        return pages.login(request, elsewhere=elsewhere)

    async def login(request: Request) -> Response:
        form = await _form(request)
        if form is None:
            return pages.sentence(request, "This form did not come from here.", 403)
        name, place = form.get("name", ""), request.client.host if request.client else ""
        if not control.guesses.allowed(name, place, control.clock()):
            problem = "Too many tries; wait a quarter of an hour."
            return pages.login(request, problem=problem, elsewhere=elsewhere, status=429)
        secret = form.get("password", "")
        found = await _read(control, lambda c: principals.authenticated(c, name, secret))
        if found is None or not found.person:
            control.guesses.wrong(name, place)
            return pages.login(
                request, problem="Name or password are wrong.", elsewhere=elsewhere, status=401
            )
        return await _in(control, found.id, found.name)

    async def logout(request: Request) -> Response:
        value = request.cookies.get(sessions.COOKIE, "")
        session = await _read(control, lambda c: sessions.found(c, value, control.clock()))
        form = await _form(request)
        if session is None or form is None or not session.meant(form.get("csrf", "")):
            return pages.sentence(request, "This form did not come from here.", 403)
        await _write(control, lambda c: sessions.end(c, value))
        response = RedirectResponse("/login", 303)
        sessions.take(response)
        return response

    found: list[BaseRoute] = [
        Route(first_admin.PATH, link),
        Route(first_admin.PATH, become, methods=["POST"]),
        Route("/login", ask),
        Route("/login", login, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
    ]
    if provider is not None:
        found.append(_oidc(control, provider))
    return found


def _oidc(control: Control, provider: oidc.Provider) -> Mount:
    """State, nonce and PKCE's verifier are in a signed cookie for as long as the flow takes."""

    async def begin(request: Request) -> Response:
        try:
            return await provider.begin(request)
        except ServerError as error:
            return pages.sentence(request, str(error), 502)

    async def callback(request: Request) -> Response:
        try:
            somebody = await provider.ended(request)
        except ServerError as error:
            return pages.sentence(request, str(error), 403)
        finally:
            request.session.clear()

        def work(connection: Connection) -> str:
            return principals.from_elsewhere(
                connection, somebody.subject, somebody.name, control.clock()
            )

        return await _in(control, await _write(control, work), somebody.name)

    keeper = Middleware(
        SessionMiddleware,
        secret_key=control.folder.cookie_key,
        session_cookie="__Secure-hotmend-oidc",
        path="/login/oidc",
        max_age=_FLOW_S,
        same_site="lax",
        https_only=True,
    )
    return Mount(
        "/login/oidc",
        routes=[Route("/", begin), Route("/callback", callback)],
        middleware=[keeper],
    )


async def _in(control: Control, principal: str, name: str) -> Response:
    """Logged in: a new session, whatever cookie came along."""

    def work(connection: Connection) -> str:
        now = control.clock()
        audit.append(connection, now, name, "log in", principal, {})
        return sessions.begin(connection, principal, now)

    response = RedirectResponse("/", 303)
    sessions.give(response, await _write(control, work))
    return response


async def _form(request: Request) -> dict[str, str] | None:
    """None for one that is too long, or that a foreign page has sent."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return None
    origin = request.headers.get("origin")
    if origin is not None and origin != f"https://{request.headers.get('host', '')}":
        return None
    if int(request.headers.get("content-length") or _MOST_FORM + 1) > _MOST_FORM:
        return None
    return {name: str(value) for name, value in (await request.form()).items()}


async def _read(control: Control, work: Callable[[Connection], T]) -> T:
    def look() -> T:
        with control.database.reading() as connection:
            return work(connection)

    return await run_in_threadpool(look)


async def _write(control: Control, work: Callable[[Connection], T]) -> T:
    return await asyncio.wrap_future(control.database.submit(partial(work)))
