"""``Hotmend.Fleet``: the audit log, for whoever wants to check it at home."""

from __future__ import annotations

import base64
from typing import Any

from fastapi import APIRouter, Query

from hotmend.server.arm import subscriptions
from hotmend.server.arm.access import Access
from hotmend.server.control import Control
from hotmend.server.storage import audit

_READ = "Hotmend.Fleet/audit/read"
_PATH = "/subscriptions/{subscription}/providers/Hotmend.Fleet"
_MOST = 1000
_LARGEST = (1 << 31) - 1


def router(control: Control, access: Access) -> APIRouter:
    """Read only: the log is written by what is done."""
    routes = APIRouter(tags=["fleet"])

    @routes.get(f"{_PATH}/auditEntries", **access.to(_READ))
    def entries(
        subscription: str,
        after: int = Query(default=0, ge=0, le=_LARGEST),
        top: int = Query(default=_MOST, ge=1, le=_MOST),
    ) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        with control.database.reading() as connection:
            return {"value": [vars(entry) for entry in audit.page(connection, after, top)]}

    @routes.get(f"{_PATH}/auditCheckpoint", **access.to(_READ))
    def checkpoint(subscription: str) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        note = control.database.write(control.log.made)
        return {
            "checkpoint": note.text(),
            "key": base64.b64encode(control.log.public).decode(),
        }

    return routes
