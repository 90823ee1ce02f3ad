"""One event by e-mail, to a real SMTP server on loopback."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import AsyncMessage
from aiosmtpd.smtp import AuthResult

from hotmend.demo.server import free_port
from hotmend.server.folder import DataFolder
from hotmend.server.notifications import mail
from hotmend.server.notifications.errors import NotSentError
from hotmend.server.notifications.events import HALTED, Event
from hotmend.server.notifications.settings import Email

EVENT = Event("id-1", HALTED, "r1", 1_767_225_600.0, "3 of 9\nmachines failed: ä.", {})
SOURCE = "https://fleet.example.com"
HERE = ["127.0.0.1"]


class Inbox(AsyncMessage):
    def __init__(self) -> None:
        super().__init__()
        self.got: list[Any] = []

    async def handle_message(self, message: Any) -> None:
        self.got.append(message_from_bytes(message.as_bytes(), policy=policy.default))


@contextmanager
def listening(**words: Any) -> Iterator[tuple[Inbox, Email]]:
    inbox, port = Inbox(), free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=port, **words)
    controller.start()
    to = ("ops@example.com", "chief@example.com")
    email = Email("localhost", "hotmend@example.com", to, port, starttls=False)
    try:
        yield inbox, email
    finally:
        controller.stop()


def send(email: Email, *allowed: str, trusted: ssl.SSLContext | None = None) -> None:
    mail.send(email, EVENT, SOURCE, allowed, lambda *_: HERE, trusted)


def test_it_arrives(tmp_path: Path) -> None:
    with listening() as (inbox, email):
        send(email, "localhost")
        (got,) = inbox.got
    assert got["To"] == "ops@example.com, chief@example.com"
    assert got["Subject"] == "Hotmend: rollout.halted: 3 of 9 machines failed: ä."
    assert got["Message-ID"] == "<id-1@example.com>"
    assert "machines failed: ä." in got.get_content() and SOURCE in got.get_content()


def test_a_server_that_nobody_named_is_not_reached() -> None:
    with listening() as (inbox, email):
        with pytest.raises(NotSentError, match="not a public address"):
            send(email)
        assert not inbox.got
        send(email, "localhost")
        assert inbox.got


def test_over_tls_with_a_password(tmp_path: Path) -> None:
    data = DataFolder.opened(tmp_path / "data", ["localhost"])
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(data.path / "server.pem", data.path / "server-key.pem")
    trusted = ssl.create_default_context(cafile=str(data.path / "ca.pem"))

    def check(_: Any, __: Any, ___: Any, ____: str, login: Any) -> AuthResult:
        return AuthResult(success=(login.login, login.password) == (b"u", b"right"))

    words = {"tls_context": own, "require_starttls": True, "authenticator": check}
    with listening(**words, auth_required=True) as (inbox, email):
        with pytest.raises(NotSentError, match="did not take it"):
            send(email, "localhost", trusted=trusted)
        secure = replace(email, starttls=True, user="u", password="right")
        with pytest.raises(NotSentError, match="certificate verify failed"):
            send(secure, "localhost")
        with pytest.raises(NotSentError, match="did not take it"):
            send(replace(secure, password="wrong"), "localhost", trusted=trusted)
        assert not inbox.got
        send(secure, "localhost", trusted=trusted)
        assert len(inbox.got) == 1


def test_a_server_that_is_not_there_is_said() -> None:
    email = Email("localhost", "a@example.com", ("b@example.com",), free_port(), starttls=False)
    with pytest.raises(NotSentError, match="localhost did not take it"):
        send(email, "localhost")
