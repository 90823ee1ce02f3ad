"""Light, dark, or what the browser has: kept in the viewer's cookie."""

from __future__ import annotations

from starlette.requests import Request

COOKIE = "hotmend-theme"
THEMES = ("auto", "light", "dark")


def asked_for(request: Request) -> str:
    """One of ``THEMES``."""
    theme = request.cookies.get(COOKIE, "auto")
    return theme if theme in THEMES else "auto"
