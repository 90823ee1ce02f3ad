"""``Hotmend.Fleet/notificationSettings``: who is told, and what could not be told."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection

from hotmend.server.arm import subscriptions
from hotmend.server.arm.access import Access
from hotmend.server.arm.long_running import timestamp
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.notifications.notifying import NAME
from hotmend.server.notifications.settings import parsed, shown, with_secrets
from hotmend.server.storage import audit, outbox, settings

_SETTINGS = "Hotmend.Fleet/notificationSettings"
_PATH = f"/subscriptions/{{subscription}}/providers/{_SETTINGS}/default"


def router(control: Control, access: Access) -> APIRouter:
    """Secrets go in and never come out."""
    routes = APIRouter(tags=["notifications"])

    @routes.get(_PATH, **access.to(f"{_SETTINGS}/read"))
    def get(subscription: str) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        with control.database.reading() as connection:
            return shown(settings.get(connection, NAME))

    @routes.put(_PATH, **access.to(f"{_SETTINGS}/write"))
    def put(subscription: str, body: dict[str, Any], request: Request) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        who, now = request.state.principal.id, control.clock()

        def work(connection: Connection) -> dict[str, Any]:
            wanted = with_secrets(body, settings.get(connection, NAME))
            try:
                parsed(wanted)
            except ValueError as error:
                raise ArmError(400, "InvalidParameter", str(error)) from None
            settings.put(connection, NAME, wanted)
            audit.append(connection, now, who, "notification settings", NAME, shown(wanted))
            return shown(wanted)

        return control.database.write(work)

    @routes.get(f"{_PATH}/problems", **access.to(f"{_SETTINGS}/read"))
    def problems(subscription: str) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        with control.database.reading() as connection:
            found = outbox.problems(connection)
        return {
            "value": [
                {
                    "id": row["id"],
                    "channel": row["channel"],
                    "type": row["event"]["type"],
                    "created": timestamp(row["created"]),
                    "attempts": row["attempts"],
                    "nextAttempt": timestamp(row["due"]) if row["due"] is not None else None,
                    "problem": row["problem"],
                }
                for row in found
            ]
        }

    return routes
