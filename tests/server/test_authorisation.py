"""Who may do what: every operation of the published OpenAPI × every role × every place."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import delete

from hotmend.server.app import arm
from hotmend.server.identity.roles import OPERATIONS, Assignment, Role, permits
from hotmend.server.storage.tables import assignments
from server.conftest import Plane

OPEN = {("get", "/metadata/endpoints")}
BODY = {
    "location": "westeurope",
    "properties": {"template": {"resources": []}},
    "maximumDuration": "PT1H",
    "rebootSetting": "Never",
    "query": "resources",
}


def operations(plane: Plane) -> list[tuple[str, str, dict[str, Any]]]:
    paths = arm(plane.control).openapi()["paths"]
    return [(m, path, op) for path, methods in paths.items() for m, op in methods.items()]


def test_every_route_is_one_of_the_table_and_the_table_has_no_other(plane: Plane) -> None:
    found = operations(plane)
    unnamed = {(m, path) for m, path, op in found if "x-hotmend-operation" not in op}
    assert unnamed == OPEN
    named = {op["x-hotmend-operation"] for m, path, op in found if (m, path) not in OPEN}
    assert named == set(OPERATIONS)


@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_do_what_the_table_says_and_nothing_else(plane: Plane, role: Role) -> None:
    """In its own group, in another one, and in a group whose name begins like its own."""
    everywhere = plane.token_for(role)
    group = f"/subscriptions/{plane.subscription}/resourceGroups/matrix"
    here = plane.token_for(role, group)
    checked = 0
    for method, path, operation in operations(plane):
        name = operation.get("x-hotmend-operation")
        if name is None:
            continue
        allowed = role in OPERATIONS[name]
        mine, other, alike = (_filled(path, plane, g) for g in ("MATRIX", "other", "matrix2"))
        assert _forbidden(plane, method, mine, everywhere) is not allowed, (method, path)
        checked += 1
        if "{group}" not in path:
            continue
        if operation.get("x-hotmend-filtered"):
            for place in (other, alike):
                assert plane.call(method, place, token=here).body == {"value": []}
        else:
            assert _forbidden(plane, method, mine, here) is not allowed, (method, path)
            assert _forbidden(plane, method, other, here), (method, path)
            assert _forbidden(plane, method, alike, here), (method, path)
    assert checked > 50


def test_a_role_that_was_taken_away_is_gone_at_once(plane: Plane) -> None:
    scope = f"/subscriptions/{plane.subscription}/resourcegroups/taken"
    token = plane.token_for(Role.VIEWER, scope)
    assert plane.call("GET", "resourceGroups/taken", token=token).status == 404
    plane.control.database.write(
        lambda c: c.execute(delete(assignments).where(assignments.c.scope == scope))
    )
    assert plane.call("GET", "resourceGroups/taken", token=token).status == 403


@pytest.mark.parametrize(
    ("scope", "place", "allowed"),
    [
        ("/", "/subscriptions/s/resourceGroups/g", True),
        ("/subscriptions/S", "/subscriptions/s/resourceGroups/g", True),
        (
            "/subscriptions/s/resourcegroups/g",
            "/subscriptions/s/resourceGroups/G/providers/x",
            True,
        ),
        ("/subscriptions/s/resourcegroups/g", "/subscriptions/s/resourceGroups/g2", False),
        ("/subscriptions/s/resourcegroups/g", "/subscriptions/s", False),
        ("/subscriptions/s2", "/subscriptions/s", False),
    ],
)
def test_scopes(scope: str, place: str, allowed: bool) -> None:
    operation = "Microsoft.Compute/virtualMachines/read"
    assert permits([Assignment(scope, Role.VIEWER)], operation, place) is allowed
    assert not permits([Assignment("/", Role.ADMIN)], "unheard/of", place)


def _filled(path: str, plane: Plane, group: str) -> str:
    values = {"subscription": plane.subscription, "group": group, "location": "westeurope"}
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "zzz"), path)


def _forbidden(plane: Plane, method: str, path: str, token: str) -> bool:
    body = BODY if method in ("put", "post", "patch") else None
    answer = plane.call(method.upper(), path, body, token=token)
    assert answer.status < 500, (method, path, answer.body)
    return answer.status == 403
