"""The agent's end of the wire: HTTPS, outbound only, with the machine's certificate."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

import urllib3
from urllib3.exceptions import HTTPError

from hotmend.agent.errors import LinkError, RefusedByServer
from hotmend.model.agent_messages import (
    Enrol,
    Enrolled,
    Poll,
    Polled,
    Renew,
    Renewed,
    Report,
    Reported,
)

_PATIENCE_S = 30.0
_MOST_ANSWER = 4 << 20

T = TypeVar("T")


class Link(Protocol):
    """What the agent asks of the control plane. Everything raises LinkError or RefusedByServer."""

    def orders(self, poll: Poll) -> Polled: ...

    def report(self, report: Report) -> Reported: ...

    def renew(self, renew: Renew) -> Renewed: ...


class HttpsLink:
    """``identity``: key and certificate, not there yet when a machine enrols."""

    def __init__(self, server: str, authority: Path, identity: Path | None) -> None:
        self._server = server.rstrip("/")
        keys: dict[str, Any] = {}
        if identity is not None:
            keys = {"cert_file": str(identity), "key_file": str(identity)}
        self._pool = urllib3.PoolManager(ca_certs=str(authority), retries=False, **keys)

    def enrol(self, message: Enrol) -> Enrolled:
        return self._ask("enrol", message, Enrolled, _PATIENCE_S)

    def orders(self, poll: Poll) -> Polled:
        return self._ask("orders", poll, Polled, poll.wait_s + _PATIENCE_S)

    def report(self, report: Report) -> Reported:
        return self._ask("reports", report, Reported, _PATIENCE_S)

    def renew(self, renew: Renew) -> Renewed:
        return self._ask("renew", renew, Renewed, _PATIENCE_S)

    def close(self) -> None:
        self._pool.clear()

    def _ask(self, what: str, message: Any, kind: type[T], patience_s: float) -> T:
        url = f"{self._server}/agents/v1/{what}"
        try:
            response = self._pool.request(
                "POST",
                url,
                body=json.dumps(asdict(message)).encode(),
                headers={"Content-Type": "application/json"},
                timeout=patience_s,
                redirect=False,
                preload_content=False,
            )
            data = response.read(_MOST_ANSWER, decode_content=False)
            response.release_conn()
        except (HTTPError, OSError) as error:
            raise LinkError(f"{url} was not reached: {error}") from None
        if response.status in (400, 401, 403, 409):
            raise RefusedByServer(f"{self._server} says: {_sentence(data)}")
        if response.status != 200:
            raise LinkError(f"{url} answered with status {response.status}: {_sentence(data)}")
        try:
            answer: T = decoded(json.loads(data), kind)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise LinkError(f"{url} answered what is not understood: {error}") from None
        return answer


def decoded(value: Any, kind: Any) -> Any:
    """``value``, from JSON, as the dataclass, enum, tuple or plain type ``kind``. What is missing
    gets its default; what is not known is left out. Raises TypeError, ValueError, KeyError."""
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise TypeError(f"{value!r} is not a list")
        return tuple(decoded(one, get_args(kind)[0]) for one in value)
    if isinstance(kind, UnionType):
        inner = next(one for one in get_args(kind) if one is not type(None))
        return None if value is None else decoded(value, inner)
    if issubclass(kind, Enum):
        return kind(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hasattr(kind, "__dataclass_fields__"):
        if not isinstance(value, dict):
            raise TypeError(f"{value!r} is not an object")
        hints = get_type_hints(kind)
        return kind(**{n: decoded(value[n], hint) for n, hint in hints.items() if n in value})
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    if isinstance(value, str):
        value.encode()  # JSON can spell half a character, which no database keeps
    return value


def _sentence(data: bytes) -> str:
    try:
        return str(json.loads(data)["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return repr(data[:80])
