"""Every route of the API says which operation it is; who may call it is the table's to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Depends, Request

from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.identity import principals
from hotmend.server.identity.principals import Principal
from hotmend.server.identity.roles import OPERATIONS, permits
from hotmend.server.resource_id import canonical


class Access:
    """Checks callers for one server."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def to(self, operation: str, *, filtered: bool = False) -> dict[str, Any]:
        """Keywords for a route that is ``operation``; of a ``filtered`` one everybody sees what is
        theirs, by ``readable``."""
        assert operation in OPERATIONS, operation
        return {
            "dependencies": [Depends(self._check(operation, filtered=filtered))],
            "openapi_extra": {"x-hotmend-operation": operation, "x-hotmend-filtered": filtered},
        }

    def caller(self, request: Request) -> Principal:
        """Who is calling. Raises ArmError."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        holder = None
        if kind.lower() == "bearer":
            holder = self._control.tokens.holder(token, self._control.clock())
        if holder is not None:
            with self._control.database.reading() as connection:
                found = principals.known(connection, holder.principal)
            if found is not None and found.generation == holder.generation:
                return found
        raise ArmError(
            401,
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing or its token is not "
            "valid here, or not any more.",
        )

    def readable(self, request: Request, operation: str, scope: str) -> bool:
        """Whether a list shows ``scope`` to the caller."""
        return permits(request.state.principal.assignments, operation, scope)

    def _check(self, operation: str, *, filtered: bool) -> Callable[[Request], None]:
        def check(request: Request) -> None:
            principal = self.caller(request)
            request.state.principal = principal
            scope = canonical(request.url.path)
            if not filtered and not permits(principal.assignments, operation, scope):
                raise ArmError(
                    403,
                    "AuthorizationFailed",
                    f"The client '{principal.name}' with object id '{principal.id}' does not have "
                    f"authorization to perform action '{operation}' over scope '{scope}'.",
                )

        return check
