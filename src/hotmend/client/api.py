"""The REST API: one request at a time, and operations that take long, waited for."""

from __future__ import annotations

import json
import ssl
import time
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from hotmend.client.errors import ClientError, NotPermitted, Unreachable
from hotmend.client.login import Login

VERSION = "2026-04-01"
_PATIENCE_S = 30.0
_ASK_EVERY_S = 0.5


@dataclass(frozen=True)
class Begun:
    """An operation that takes long: where its status and its result are."""

    status: str
    result: str


class Api:
    """What a login allows. Everything raises ClientError."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self._pool = _pool(login.authority)

    def get(self, path: str) -> Any:
        """The body of a GET; None for an empty one."""
        return self._ask("GET", path)[1]

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """The body of the answer to a POST, PUT or DELETE."""
        return self._ask(method, path, {} if body is None else body)[1]

    def begin(self, path: str, body: Any = None) -> Begun:
        """POST what takes long."""
        headers, _ = self._ask("POST", path, body or {})
        try:
            return Begun(headers["Azure-AsyncOperation"], headers["Location"])
        except KeyError:
            raise ClientError(f"{path} answered without saying where to ask") from None

    def ended(self, begun: Begun, patience_s: float) -> Any:
        """The result; None when it has not ended within ``patience_s``."""
        deadline = time.monotonic() + patience_s
        while self.get(begun.status)["status"] == "InProgress":
            if time.monotonic() >= deadline:
                return None
            time.sleep(_ASK_EVERY_S)
        return self.get(begun.result)

    def _ask(self, method: str, path: str, body: Any = None) -> tuple[Any, Any]:
        url = path if path.startswith(f"{self.login.url}/") else self.login.url + path
        headers = {"Authorization": f"Bearer {self.login.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        return _asked(self._pool, method, url, body=data, headers=headers)


def token(
    url: str, authority: str, name: str, secret: str, *, person: bool, now: float
) -> tuple[str, float]:
    """(a token, when it expires) for a service principal's id or a person's name. Raises
    ClientError."""
    form = (
        {"grant_type": "password", "username": name, "password": secret}
        if person
        else {"grant_type": "client_credentials", "client_id": name, "client_secret": secret}
    )
    address = f"{url}/adfs/oauth2/token"
    _, answer = _asked(_pool(authority), "POST", address, fields=form, encode_multipart=False)
    try:
        return str(answer["access_token"]), now + float(answer["expires_in"])
    except (KeyError, TypeError, ValueError):
        raise ClientError(f"{address} answered without a token") from None


def _pool(authority: str) -> urllib3.PoolManager:
    try:
        context = ssl.create_default_context(cadata=authority)
    except (ssl.SSLError, ValueError) as error:
        raise ClientError(f"this is no certificate authority: {error}") from None
    return urllib3.PoolManager(ssl_context=context, retries=False, timeout=_PATIENCE_S)


def _asked(pool: urllib3.PoolManager, method: str, url: str, **words: Any) -> tuple[Any, Any]:
    try:
        answer = pool.request(method, url, redirect=False, **words)
    except (HTTPError, OSError) as error:
        raise Unreachable(f"{url} was not reached: {error}") from None
    if answer.status in (401, 403):
        raise NotPermitted(_sentence(answer.data))
    if not 200 <= answer.status < 300:
        raise ClientError(f"{method} {url} → {answer.status}: {_sentence(answer.data)}")
    try:
        return answer.headers, json.loads(answer.data) if answer.data else None
    except ValueError:
        raise ClientError(f"{method} {url} answered what is not JSON") from None


def _sentence(data: bytes) -> str:
    """Of an error in Azure's form, or in OAuth's."""
    try:
        content = json.loads(data)
        error = content["error"]
        found = error["message"] if isinstance(error, dict) else content["error_description"]
        return str(found)[:500]
    except (ValueError, KeyError, TypeError):
        return repr(data[:200])
