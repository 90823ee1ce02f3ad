"""Who is told, and how: the settings document "notifications". Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any
from urllib.parse import urlsplit

EMAIL = "email"
_MOST = 10
_LEAST_SECRET = 16
_TOP = ("webhooks", "email", "allowed_hosts", "digest_at")
_EMAIL = ("server", "port", "starttls", "user", "password", "sender", "to")


@dataclass(frozen=True)
class Webhook:
    """``secret``: what messages are signed with."""

    url: str
    secret: str

    @property
    def channel(self) -> str:
        return f"webhook {self.url}"


@dataclass(frozen=True)
class Email:
    """``user``: "" for a server that asks for none."""

    server: str
    sender: str
    to: tuple[str, ...]
    port: int = 587
    starttls: bool = True
    user: str = ""
    password: str = ""


@dataclass(frozen=True)
class Notifications:
    """``allowed_hosts``: reached although their addresses are private; ``digest_at``: UTC."""

    webhooks: tuple[Webhook, ...] = ()
    email: Email | None = None
    allowed_hosts: frozenset[str] = frozenset()
    digest_at: time = time(7, 0)

    @property
    def channels(self) -> tuple[str, ...]:
        mail = (EMAIL,) if self.email is not None else ()
        return (*(webhook.channel for webhook in self.webhooks), *mail)


def parsed(document: Mapping[str, object]) -> Notifications:
    """Raises ValueError with a sentence."""
    _only(document, _TOP, "notifications")
    webhooks = document.get("webhooks", [])
    if not isinstance(webhooks, list) or len(webhooks) > _MOST:
        raise ValueError(f"webhooks is a list of at most {_MOST}")
    hosts = frozenset(host.lower() for host in _texts(document, "allowed_hosts"))
    found = tuple(_webhook(one, hosts) for one in webhooks)
    if len({webhook.url for webhook in found}) < len(found):
        raise ValueError("a webhook is named twice")
    email = document.get("email")
    at = document.get("digest_at", "07:00")
    try:
        digest_at = time.fromisoformat(at) if isinstance(at, str) and len(at) == 5 else None
    except ValueError:
        digest_at = None
    if digest_at is None:
        raise ValueError('digest_at must be a time of day such as "07:00", in UTC')
    return Notifications(found, _email(email) if email is not None else None, hosts, digest_at)


def shown(document: Mapping[str, Any]) -> dict[str, Any]:
    """Without its secrets."""
    made = dict(document)
    if made.get("webhooks"):
        made["webhooks"] = [{"url": one["url"]} for one in made["webhooks"]]
    if made.get("email"):
        made["email"] = {k: v for k, v in made["email"].items() if k != "password"}
    return made


def with_secrets(document: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """A secret that is left out is the one that was there, of the same receiver."""
    made, known = dict(document), {}
    for one in before.get("webhooks") or []:
        known[one["url"]] = one["secret"]
    webhooks = made.get("webhooks")
    if isinstance(webhooks, list):
        made["webhooks"] = [
            {"secret": known[one["url"]], **one}
            if isinstance(one, dict) and one.get("url") in known
            else one
            for one in webhooks
        ]
    mail, old = made.get("email"), before.get("email") or {}
    same = isinstance(mail, dict) and all(mail.get(k) == old.get(k) for k in ("server", "user"))
    if same and "password" in old:
        made["email"] = {"password": old["password"], **made["email"]}
    return made


def _webhook(value: object, hosts: frozenset[str]) -> Webhook:
    if not isinstance(value, dict):
        raise ValueError("a webhook is an object with url and secret")
    _only(value, ("url", "secret"), "a webhook")
    url, secret = _text(value, "url"), _text(value, "secret")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"{url[:200]!r} is no URL") from None
    if not url.isascii() or not url.isprintable() or " " in url or parts.username is not None:
        raise ValueError(f"{url[:200]!r} is no URL of a webhook: ASCII, and no user in it")
    plain = parts.scheme == "http" and host in hosts
    if not host or not (parts.scheme == "https" or plain):
        raise ValueError(f"{url[:200]!r} must begin with https://; http:// only to allowed_hosts")
    if len(secret) < _LEAST_SECRET:
        raise ValueError(f"a webhook's secret has at least {_LEAST_SECRET} characters")
    return Webhook(url, secret)


def _email(value: object) -> Email:
    if not isinstance(value, dict):
        raise ValueError(f"email is an object with {', '.join(_EMAIL)}")
    _only(value, _EMAIL, "email")
    port, starttls = value.get("port", 587), value.get("starttls", True)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise ValueError("email: port is a number from 1 to 65535")
    if not isinstance(starttls, bool):
        raise ValueError("email: starttls is true or false")
    user, password = (value.get(name, "") for name in ("user", "password"))
    if not isinstance(user, str) or not isinstance(password, str):
        raise ValueError("email: user and password are texts")
    if user and not starttls:
        raise ValueError("email: a password is sent only with starttls")
    to = _texts(value, "to")
    if not to:
        raise ValueError("email: to names nobody")
    for address in (_text(value, "sender"), *to):
        if "@" not in address or not address.isprintable() or any(c in address for c in ' ,;<>"'):
            raise ValueError(f"email: {address[:100]!r} is no address")
    sender = _text(value, "sender")
    return Email(_text(value, "server"), sender, to, port, starttls, user, password)


def _only(holder: Mapping[str, object], names: tuple[str, ...], what: str) -> None:
    for name in holder:
        if name not in names:
            raise ValueError(f"{name!r} is nothing of {what}; there are {', '.join(names)}")


def _text(holder: Mapping[str, object], name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value or len(value) > 1000:
        raise ValueError(f"{name} is missing, or is no text of at most 1000 characters")
    return value


def _texts(holder: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = holder.get(name, [])
    if not isinstance(value, list) or len(value) > 100 or not all(_short(one) for one in value):
        raise ValueError(f"{name} is a list of at most 100 texts")
    return tuple(value)


def _short(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255
