"""What all kinds of resources have alike: asked for by HEAD, taken away, listed."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from hotmend.server.arm import pages
from hotmend.server.arm.access import Access
from hotmend.server.arm.pages import Shown
from hotmend.server.control import Control
from hotmend.server.resource_id import ResourceId
from hotmend.server.storage import machines, resources

GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
_EXISTS: dict[int | str, dict[str, Any]] = {204: {}, 404: {}}


def add(
    routes: APIRouter,
    control: Control,
    access: Access,
    kind: str,
    operation: str = "",
    shown: Shown | None = None,
    gone: int = 200,
) -> None:
    """``operation``: how the table of operations calls the kind, where not by its own name;
    ``gone``: the status when something was taken away (nothing: always 204)."""
    path = f"{GROUP}/providers/{kind}"
    verbs = operation or kind
    read = f"{verbs}/read"

    @routes.head(f"{path}/{{name}}", response_class=Response, responses=_EXISTS, **access.to(read))
    def there(subscription: str, group: str, name: str) -> Response:
        with control.database.reading() as connection:
            known = resources.get(connection, ResourceId(subscription, group, kind, name))
        return Response(status_code=404 if known is None else 204)

    @routes.delete(
        f"{path}/{{name}}",
        status_code=gone,
        response_class=Response,
        responses={204: {}},
        **access.to(f"{verbs}/delete"),
    )
    def delete(subscription: str, group: str, name: str) -> Response:
        identifier = ResourceId(subscription, group, kind, name)

        def work(connection: Connection) -> bool:
            machines.remove(connection, identifier.key, control.clock())
            return resources.remove(connection, identifier)

        return Response(status_code=gone if control.database.write(work) else 204)

    @routes.get(
        f"/subscriptions/{{subscription}}/providers/{kind}", **access.to(read, filtered=True)
    )
    def everywhere(subscription: str, request: Request) -> dict[str, Any]:
        return pages.page(control, access, request, read, subscription, kind, "", shown)

    @routes.get(path, **access.to(read, filtered=True))
    def in_group(subscription: str, group: str, request: Request) -> dict[str, Any]:
        return pages.page(control, access, request, read, subscription, kind, group, shown)
