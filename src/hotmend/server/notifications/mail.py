"""An event by e-mail, over the operator's own server."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Collection
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from hotmend.server.notifications.addresses import Lookup, address_of, look_up
from hotmend.server.notifications.errors import NotSentError
from hotmend.server.notifications.events import Event
from hotmend.server.notifications.settings import Email

_PATIENCE_S = 10.0
_LONGEST_SUBJECT = 150


def message_of(email: Email, event: Event, source: str) -> EmailMessage:
    """``source``: the control plane's address. The same event has the same Message-ID."""
    message = EmailMessage()
    message["From"], message["To"] = email.sender, ", ".join(email.to)
    line = " ".join(f"Hotmend: {event.type}: {event.sentence}".split())
    message["Subject"] = line[:_LONGEST_SUBJECT]
    message["Date"] = format_datetime(datetime.fromtimestamp(event.time, UTC))
    message["Message-ID"] = f"<{event.id}@{email.sender.rpartition('@')[2]}>"
    about = f"{event.subject}\n" if event.subject else ""
    message.set_content(f"{event.sentence}\n\n{about}{source}\n")
    return message


def send(
    email: Email,
    event: Event,
    source: str,
    allowed: Collection[str],
    looked_up: Lookup = look_up,
    trusted: ssl.SSLContext | None = None,
) -> None:
    """Raises NotSentError. ``trusted``: None for the system's authorities."""
    address = address_of(email.server, email.port, allowed, looked_up)
    try:
        with _Pinned(address, email.server, email.port) as server:
            if email.starttls:
                server.starttls(context=trusted or ssl.create_default_context())
            if email.user:
                server.login(email.user, email.password)
            refused = server.send_message(message_of(email, event, source))
    except (OSError, smtplib.SMTPException) as error:
        raise NotSentError(f"{email.server} did not take it: {error}") from None
    if refused:
        raise NotSentError(f"{email.server} did not take it for {', '.join(sorted(refused))}")


class _Pinned(smtplib.SMTP):
    """To a server by name, at one address of it."""

    def __init__(self, address: str, host: str, port: int) -> None:
        self._address = address
        super().__init__(host, port, timeout=_PATIENCE_S)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return socket.create_connection((self._address, port), timeout)
