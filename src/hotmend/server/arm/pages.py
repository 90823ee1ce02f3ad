"""Lists, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from fastapi import Request
from sqlalchemy import Connection

from hotmend.server.arm.access import Access
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.storage import resources
from hotmend.server.storage.resources import Resource

MOST_ON_A_PAGE = 500
_MOST_TOKEN = 1024
# For a page of resources at once, so that nothing is asked for one by one.
Shown = Callable[[Connection, Sequence[Resource]], list[dict[str, Any]]]


def page(
    control: Control,
    access: Access,
    request: Request,
    operation: str,
    subscription: str,
    kind: str | None,
    group: str = "",
    shown: Shown | None = None,
) -> dict[str, Any]:
    """What the caller may see of a page of resources, and where the next page is. A page may have
    fewer than its size, and even nothing, before the last."""
    most = _size(request)
    after = request.query_params.get("$skiptoken", "")
    if len(after) > _MOST_TOKEN or "\0" in after:
        raise ArmError(400, "InvalidSkipToken", "The '$skiptoken' was not made here.")
    with control.database.reading() as connection:
        found = list(resources.listed(connection, subscription, kind, group, after, most + 1))
        more, found = found[most:], found[:most]
        readable = [r for r in found if access.readable(request, operation, str(r.id))]
        value = [r.as_json() for r in readable] if shown is None else shown(connection, readable)
    answer: dict[str, Any] = {"value": value}
    if more:
        answer["nextLink"] = _next(control, request, found[-1].id.key)
    return answer


def _size(request: Request) -> int:
    text = request.query_params.get("$top", str(MOST_ON_A_PAGE))
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MOST_ON_A_PAGE):
        raise ArmError(
            400, "InvalidParameter", f"'$top' is a number from 1 to {MOST_ON_A_PAGE}.", "$top"
        )
    return int(text)


def _next(control: Control, request: Request, after: str) -> str:
    kept = [(k, v) for k, v in request.query_params.multi_items() if k != "$skiptoken"]
    words = "&".join(f"{quote(k, safe='$')}={quote(v)}" for k, v in [*kept, ("$skiptoken", after)])
    return f"{control.base_url}{quote(request.url.path)}?{words}"
