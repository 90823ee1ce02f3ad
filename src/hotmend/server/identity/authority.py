"""The authority's routes: where Azure's clients get their tokens, in both of its shapes.

``/adfs`` is what az and azure-identity take without asking a public service first; ``/{tenant}``
is shaped as the public one. Both are the same authority.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from hotmend.server.control import Control
from hotmend.server.identity import principals
from hotmend.server.identity.tokens import LIFE_S

_GRANTS = ("client_credentials", "password")
_MOST_FORM = 16 << 10


def routes(control: Control) -> list[BaseRoute]:
    """Of both shapes."""

    async def discovery(request: Request) -> Response:
        shape = _shape(request)
        if shape not in ("adfs", control.folder.tenant, "common", "organizations"):
            return _error(400, "invalid_tenant", f"there is no tenant {shape} here")
        here = f"{control.base_url}/{shape}"
        return JSONResponse(
            {
                "issuer": control.tokens.issuer,
                "authorization_endpoint": f"{here}/oauth2/authorize",
                "token_endpoint": f"{here}/oauth2/token"
                if shape == "adfs"
                else f"{here}/oauth2/v2.0/token",
                "jwks_uri": f"{here}/discovery/keys",
                "grant_types_supported": list(_GRANTS),
                "response_types_supported": ["token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "client_secret_basic",
                ],
            }
        )

    async def keys(_: Request) -> Response:
        return JSONResponse(control.tokens.public_keys())

    async def token(request: Request) -> Response:
        if int(request.headers.get("content-length") or _MOST_FORM + 1) > _MOST_FORM:
            return _error(400, "invalid_request", "the form is missing or too long")
        form = {name: str(value) for name, value in (await request.form()).items()}
        grant = form.get("grant_type", "")
        if grant not in _GRANTS:
            return _error(400, "unsupported_grant_type", f"one of {', '.join(_GRANTS)}")
        name, secret = _credentials(request, form, person=grant == "password")
        place = request.client.host if request.client else ""
        if not control.guesses.allowed(name, place, control.clock()):
            return _error(
                429, "temporarily_unavailable", "too many tries; wait a quarter of an hour"
            )

        def look() -> principals.Principal | None:
            with control.database.reading() as connection:
                return principals.authenticated(connection, name, secret)

        principal = await run_in_threadpool(look)
        if principal is None or principal.person != (grant == "password"):
            control.guesses.wrong(name, place)
            return _error(401, "invalid_client", "name or secret are wrong")
        issued = control.tokens.issue(principal.id, control.clock(), principal.generation)
        return JSONResponse(
            {
                "token_type": "Bearer",
                "access_token": issued,
                "expires_in": LIFE_S,
                "ext_expires_in": LIFE_S,
                "scope": form.get("scope", ""),
                "resource": control.base_url,
            },
            headers={"Cache-Control": "no-store"},
        )

    return [
        Route("/adfs/.well-known/openid-configuration", discovery),
        Route("/{tenant}/.well-known/openid-configuration", discovery),
        Route("/{tenant}/v2.0/.well-known/openid-configuration", discovery),
        Route("/{tenant}/discovery/keys", keys),
        Route("/{tenant}/oauth2/token", token, methods=["POST"]),
        Route("/{tenant}/oauth2/v2.0/token", token, methods=["POST"]),
    ]


def _shape(request: Request) -> str:
    return str(request.path_params.get("tenant", "adfs"))


def _credentials(request: Request, form: dict[str, str], *, person: bool) -> tuple[str, str]:
    if person:
        return form.get("username", ""), form.get("password", "")
    kind, _, encoded = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return unquote(name), unquote(secret)
    return form.get("client_id", ""), form.get("client_secret", "")


def _error(status: int, code: str, description: str) -> Response:
    body: dict[str, Any] = {"error": code, "error_description": description}
    return JSONResponse(body, status, headers={"Cache-Control": "no-store"})
