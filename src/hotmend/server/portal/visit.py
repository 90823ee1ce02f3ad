"""One look at the portal: who looks, in which language, and what they may see and do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.identity import principals, sessions
from hotmend.server.identity.principals import Principal
from hotmend.server.identity.roles import OPERATIONS, permits
from hotmend.server.identity.sessions import Session
from hotmend.server.portal import theme
from hotmend.server.portal.drawing import Drawing
from hotmend.server.portal.words import Words, asked_for


@dataclass(frozen=True)
class Visit:
    """``session``: with the secret that each form sends back; ``theme``: one of ``THEMES``."""

    request: Request
    control: Control
    drawing: Drawing
    who: Principal
    session: Session
    words: Words
    theme: str

    @property
    def now(self) -> float:
        return self.control.clock()

    @property
    def subscription(self) -> str:
        """The one that the control plane has."""
        return self.control.folder.subscription

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self.control.database.reading() as connection:
            yield connection

    def may(self, operation: str, scope: str = "") -> bool:
        """By the one table; what a page does not offer, the API would refuse, too. ``scope``: a
        resource id, "" for the whole subscription."""
        return permits(
            self.who.assignments, operation, scope or f"/subscriptions/{self.subscription}"
        )

    def check(self, operation: str, scope: str = "") -> None:
        """Raises ArmError, in the API's words."""
        if not self.may(operation, scope):
            raise ArmError(
                403,
                "AuthorizationFailed",
                f"The client '{self.who.name}' with object id '{self.who.id}' does not have "
                f"authorization to perform action '{operation}' over scope '{scope}'.",
            )

    def scopes(self, operation: str) -> list[str]:
        """Where the viewer may do ``operation``."""
        allowed = OPERATIONS[operation]
        return [one.scope for one in self.who.assignments if one.role in allowed] or ["/nowhere"]

    def asked(self, name: str, most: int = 200) -> str:
        """A word of the query, cut to ``most``."""
        return self.request.query_params.get(name, "")[:most]

    def draw(self, template: str, code: int = 200, **values: Any) -> HTMLResponse:
        """A page."""
        return HTMLResponse(self.drawing.page(template, self, **values), code)


def visit(request: Request, control: Control, drawing: Drawing) -> Visit | None:
    """None for somebody who has not logged in."""
    value = request.cookies.get(sessions.COOKIE, "")
    now = control.clock()
    with control.database.reading() as connection:
        session = sessions.found(connection, value, now)
        who = principals.known(connection, session.principal) if session is not None else None
    if session is None or who is None:
        return None
    control.database.submit(lambda c: sessions.note_use(c, value, now))
    return Visit(
        request,
        control,
        drawing,
        who,
        session,
        Words(asked_for(request)),
        theme.asked_for(request),
    )


def elsewhere(path: str) -> Response:
    """Go there, whatever came before."""
    return RedirectResponse(path, 303)
