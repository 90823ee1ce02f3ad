"""One event to one webhook, over real sockets."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from hotmend.server.folder import DataFolder
from hotmend.server.notifications import webhook
from hotmend.server.notifications.errors import NotSentError
from hotmend.server.notifications.events import HALTED, Event
from hotmend.server.notifications.settings import Webhook
from server.notifications.receiver import Receiver, receiving

SECRET = "a secret of the receiver"
EVENT = Event("id-1", HALTED, "r1", 1_767_225_600.0, "3 of 9 machines failed.", {"owners": []})
SOURCE = "https://fleet.example.com"
HERE = ["127.0.0.1"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def send(receiver: Receiver, allowed: tuple[str, ...] = ("localhost",)) -> None:
    webhook.send(Webhook(receiver.url, SECRET), EVENT, SOURCE, allowed, lambda *_: HERE)


def test_a_receiver_of_cloudevents_reads_it(receiver: Receiver) -> None:
    send(receiver)
    ((headers, body),) = receiver.got
    assert headers["content-type"].startswith("application/cloudevents+json")
    assert headers["host"].startswith("localhost:")
    event = from_http_event(HTTPMessage(headers, body))
    assert (event.get_type(), event.get_source(), event.get_subject(), event.get_id()) == (
        *("hotmend.rollout.halted", SOURCE, "r1", "id-1"),
    )
    assert event.get_time().isoformat() == "2026-01-01T00:00:00+00:00"
    assert event.get_data() == {"sentence": EVENT.sentence, "details": {"owners": []}}


def test_the_signature_is_of_the_body_and_the_secret(receiver: Receiver) -> None:
    send(receiver)
    ((headers, body),) = receiver.got
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-hotmend-signature"] == f"sha256={expected}"
    assert webhook.signature("another secret of it", body) != headers["x-hotmend-signature"]


def test_a_host_that_nobody_named_is_not_reached(receiver: Receiver) -> None:
    with pytest.raises(NotSentError, match="not a public address"):
        send(receiver, allowed=())
    assert not receiver.got
    send(receiver)
    assert receiver.got


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.answers, receiver.location = [status], receiver.url
    with pytest.raises(NotSentError, match=f"answered {status}: a redirect"):
        send(receiver)
    assert len(receiver.got) == 1


def test_a_name_is_looked_up_once(receiver: Receiver) -> None:
    """A second answer could be another address: there is no second question."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    found = Webhook(receiver.url, SECRET)
    webhook.send(found, EVENT, SOURCE, ("localhost",), lambda *_: answers.pop(0))
    assert len(receiver.got) == 1 and len(answers) == 1


def test_no_proxy_is_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    send(receiver)
    assert receiver.got


def test_anything_but_success_is_a_failure(receiver: Receiver) -> None:
    receiver.answers = [500]
    with pytest.raises(NotSentError, match="answered 500"):
        send(receiver)
    send(receiver)


def test_over_tls_the_receiver_must_be_who_the_url_says(tmp_path: Path) -> None:
    data = DataFolder.opened(tmp_path / "data", ["localhost"])
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(data.path / "server.pem", data.path / "server-key.pem")
    trusted = ssl.create_default_context(cafile=str(data.path / "ca.pem"))
    with receiving(own) as receiver:
        hook = Webhook(receiver.url, SECRET)
        webhook.send(hook, EVENT, SOURCE, ("localhost",), lambda *_: HERE, trusted)
        assert len(receiver.got) == 1
        with pytest.raises(NotSentError, match="certificate verify failed"):
            webhook.send(hook, EVENT, SOURCE, ("localhost",), lambda *_: HERE)
        other = Webhook(receiver.url.replace("localhost", "other.example.com"), SECRET)
        with pytest.raises(NotSentError, match="certificate verify failed"):
            webhook.send(other, EVENT, SOURCE, ("other.example.com",), lambda *_: HERE, trusted)
        assert len(receiver.got) == 1
