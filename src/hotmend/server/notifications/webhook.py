"""An event to a webhook: CloudEvents 1.0, structured JSON, signed. One request; nothing that the
receiver answers leads anywhere else."""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
from collections.abc import Collection
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from cloudevents.core.bindings.http import to_structured_event
from cloudevents.core.v1.event import CloudEvent

from hotmend.server.notifications.addresses import Lookup, address_of, look_up
from hotmend.server.notifications.errors import NotSentError
from hotmend.server.notifications.events import Event
from hotmend.server.notifications.settings import Webhook

SIGNATURE = "X-Hotmend-Signature"
_PREFIX = "hotmend."
_PATIENCE_S = 10.0


def body_of(event: Event, source: str) -> tuple[dict[str, str], bytes]:
    """(headers, body). ``source``: the control plane's address."""
    attributes: dict[str, Any] = {
        "id": event.id,
        "source": source,
        "type": _PREFIX + event.type,
        "time": datetime.fromtimestamp(event.time, UTC),
        "datacontenttype": "application/json",
    }
    if event.subject:
        attributes["subject"] = event.subject
    data = {"sentence": event.sentence, "details": dict(event.details)}
    message = to_structured_event(CloudEvent({**attributes, "specversion": "1.0"}, data))
    return dict(message.headers), message.body


def signature(secret: str, body: bytes) -> str:
    """HMAC-SHA256 of the body as it is sent, hexadecimal."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def send(
    webhook: Webhook,
    event: Event,
    source: str,
    allowed: Collection[str],
    looked_up: Lookup = look_up,
    trusted: ssl.SSLContext | None = None,
) -> None:
    """Raises NotSentError. ``trusted``: None for the system's authorities."""
    url = urlsplit(webhook.url)
    host, secure = url.hostname or "", url.scheme == "https"
    port = url.port or (443 if secure else 80)
    headers, body = body_of(event, source)
    headers[SIGNATURE] = signature(webhook.secret, body)
    context = (trusted or ssl.create_default_context()) if secure else None
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    connection = _Pinned(host, port, address_of(host, port, allowed, looked_up), context)
    try:
        connection.request("POST", path, body, headers)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise NotSentError(f"{host} was not reached: {error}") from None
    finally:
        connection.close()
    if 300 <= status < 400:
        raise NotSentError(f"{host} answered {status}: a redirect, which is not followed")
    if not 200 <= status < 300:
        raise NotSentError(f"{host} answered {status}")


class _Pinned(HTTPConnection):
    """To ``host`` by name, at one address of it."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=_PATIENCE_S)
        self._address = address
        self._context = context
        if context is not None:
            self.default_port = 443  # so that Host is as the URL has it

    def connect(self) -> None:
        """As the base class does, without looking up again."""
        self.sock = socket.create_connection((self._address, self.port), _PATIENCE_S)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)
