"""The pages at the door: log in, become the first admin. Jinja2 escapes what is put into them."""

from __future__ import annotations

from jinja2 import Environment
from starlette.responses import HTMLResponse

_PAGE = Environment(autoescape=True).from_string(
    """<!doctype html>
<html lang="en" data-theme="auto">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Hotmend</title>
<link rel="stylesheet" href="/portal/static/portal.css">
<link rel="icon" href="/portal/static/mark.svg" type="image/svg+xml">
<body class="door"><main class="card">
<h1>Hotmend</h1>
{% if problem %}<p class="alert" role="alert">{{ problem }}</p>{% endif %}
{% if said %}<p>{{ said }}</p>{% endif %}
{% if action %}
<form method="post" action="{{ action }}">
{% for name, value in hidden.items() %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}
<p><label>Name <input name="name" autocomplete="username" required maxlength="200"></label>
<p><label>Password <input name="password" type="password" required
 autocomplete="{{ autocomplete }}" maxlength="128"></label>
<p><button class="first">{{ button }}</button>
</form>
{% endif %}
{% if elsewhere %}<p><a href="{{ elsewhere }}">Log in with your organisation</a>{% endif %}
</main></html>
"""
)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    # With "no-referrer" a browser sends "Origin: null", which says nothing.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def login(*, problem: str = "", elsewhere: str = "", status: int = 200) -> HTMLResponse:
    """``elsewhere``: where one logs in at an OpenID provider; "" for nowhere."""
    content = _PAGE.render(
        problem=problem,
        action="/login",
        hidden={},
        autocomplete="current-password",
        button="Log in",
        elsewhere=elsewhere,
    )
    return HTMLResponse(content, status, _HEADERS)


def first_admin(code: str, *, problem: str = "", status: int = 200) -> HTMLResponse:
    """Name and password of the first admin."""
    content = _PAGE.render(
        problem=problem,
        said="You will be this fleet's first admin.",
        action="/first-admin",
        hidden={"code": code},
        autocomplete="new-password",
        button="Become the first admin",
    )
    return HTMLResponse(content, status, _HEADERS)


def sentence(text: str, status: int = 200) -> HTMLResponse:
    """A page that says one thing."""
    return HTMLResponse(_PAGE.render(said=text), status, _HEADERS)
