"""People who log in elsewhere: this server as relying party of an OpenID provider.

The protocol is Authlib's: discovery, authorisation code with PKCE, state, nonce, the ID token's
signature and claims. Who comes the first time is written down, and may do nothing until an admin
gives a role.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from httpx2 import HTTPError
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import Response

from hotmend.server.errors import ServerError

CALLBACK = "/login/oidc/callback"
_LONGEST_SUBJECT = 255  # OpenID Connect Core, §2
_FAILURES = (HTTPError, AuthlibBaseError, JoseError, ValueError, KeyError, RuntimeError)


@dataclass(frozen=True)
class ProviderSettings:
    """``issuer``: the provider's URL; ``authority``: PEM file that its TLS is verified with, "" for
    the system's; ``secret``: the one it gave to ``client``."""

    issuer: str
    client: str
    secret: str
    authority: str = ""


@dataclass(frozen=True)
class Somebody:
    """Whom the provider vouches for. ``subject`` never changes; ``name`` is for people."""

    subject: str
    name: str


class Provider:
    """For one server, whose address is ``base_url``."""

    def __init__(self, settings: ProviderSettings, base_url: str) -> None:
        self._issuer = settings.issuer.rstrip("/")
        self._callback = base_url + CALLBACK
        try:
            trusted = ssl.create_default_context(cafile=settings.authority or None)
        except (OSError, ssl.SSLError) as error:
            raise ServerError(f"{settings.authority} is no authority: {error}") from None
        self._client = OAuth().register(
            "oidc",
            server_metadata_url=f"{self._issuer}/.well-known/openid-configuration",
            client_id=settings.client,
            client_secret=settings.secret,
            client_kwargs={
                "scope": "openid profile",
                "code_challenge_method": "S256",
                "verify": trusted,
                "timeout": 10.0,
            },
        )

    async def begin(self, request: Request) -> Response:
        """To the provider. Raises ServerError."""
        try:
            redirect: Response = await self._client.authorize_redirect(request, self._callback)
        except _FAILURES as error:
            raise ServerError(f"{self._issuer} does not answer: {error}") from None
        return redirect

    async def ended(self, request: Request) -> Somebody:
        """Who came back. Raises ServerError."""
        try:
            token = await self._client.authorize_access_token(request)
            claims = token["userinfo"]  # of the ID token, checked
            subject = str(claims["sub"])
            issuer = str(claims["iss"]).rstrip("/")
        except _FAILURES as error:
            raise ServerError(f"{self._issuer} does not vouch for you: {error}") from None
        if issuer != self._issuer:
            raise ServerError(f"{self._issuer} does not vouch for you: this is {issuer}'s word")
        if len(subject) > _LONGEST_SUBJECT or not subject.isprintable():
            raise ServerError(f"{self._issuer} calls you what is no subject")
        name = claims.get("preferred_username") or claims.get("email") or subject
        return Somebody(f"{self._issuer} {subject}", str(name)[:200])
