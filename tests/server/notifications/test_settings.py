"""The settings document: what is taken, what is refused, and that secrets stay inside."""

from __future__ import annotations

from typing import Any

import pytest

from hotmend.server.notifications.settings import Notifications, parsed, shown, with_secrets

SECRET = "0123456789abcdef"
HOOK = {"url": "https://hooks.example.com/a?b=c", "secret": SECRET}
MAIL = {"server": "mail.example.com", "sender": "a@example.com", "to": ["b@example.com"]}


def test_nothing_is_nobody() -> None:
    assert parsed({}) == Notifications() and parsed({}).channels == ()


def test_what_is_given_is_taken() -> None:
    found = parsed({"webhooks": [HOOK], "email": MAIL, "digest_at": "05:30"})
    assert found.channels == (f"webhook {HOOK['url']}", "email")
    assert found.email is not None and (found.email.port, found.email.starttls) == (587, True)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"webhook": []}, "'webhook' is nothing of notifications"),
        ({"webhooks": {}}, "webhooks is a list"),
        ({"webhooks": [HOOK, HOOK]}, "named twice"),
        ({"webhooks": [{**HOOK, "secret": "short"}]}, "at least 16 characters"),
        ({"webhooks": [{"url": HOOK["url"]}]}, "secret is missing"),
        ({"webhooks": [{**HOOK, "url": "http://example.com"}]}, "must begin with https://"),
        ({"webhooks": [{**HOOK, "url": "file:///etc/passwd"}]}, "must begin with https://"),
        ({"webhooks": [{**HOOK, "url": "https://a:b@example.com"}]}, "no user in it"),
        ({"webhooks": [{**HOOK, "url": "https://example.com/\r\nX: y"}]}, "no URL of a webhook"),
        ({"webhooks": [{**HOOK, "url": "https://[::1"}]}, "is no URL"),
        ({"email": {**MAIL, "to": []}}, "to names nobody"),
        ({"email": {**MAIL, "to": ["b@example.com\nBcc: c@example.com"]}}, "is no address"),
        ({"email": {**MAIL, "port": 0}}, "port is a number"),
        ({"email": {**MAIL, "user": "u", "starttls": False}}, "only with starttls"),
        ({"digest_at": "7"}, "digest_at must be a time"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(document: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parsed(document)


def test_plain_http_only_to_a_host_that_was_named() -> None:
    plain = {**HOOK, "url": "http://hooks.internal/"}
    assert parsed({"webhooks": [plain], "allowed_hosts": ["hooks.internal"]}).webhooks


def test_secrets_are_not_shown_and_not_lost() -> None:
    document = {"webhooks": [HOOK], "email": {**MAIL, "user": "u", "password": "p4ss"}}
    public = shown(document)
    assert SECRET not in str(public) and "p4ss" not in str(public)
    assert with_secrets(public, document) == document
    other = {"webhooks": [{"url": "https://evil.example.com"}]}
    assert SECRET not in str(with_secrets(other, document)), "not to another receiver"
    elsewhere = {"email": {**MAIL, "user": "u", "server": "evil.example.com"}}
    assert "p4ss" not in str(with_secrets(elsewhere, document))
