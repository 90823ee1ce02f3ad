"""Service principals and people, by the API: made, changed, taken away, and what is refused."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from hotmend.server.identity.roles import Role
from server.conftest import Answer, Plane

PRINCIPALS = "/providers/Hotmend.Fleet/principals"
PASSWORD = "seven quiet herons at dusk"


def name() -> str:
    return f"n{uuid.uuid4().hex[:10]}"


def made(plane: Plane, **more: Any) -> dict[str, Any]:
    answer = plane.call("POST", PRINCIPALS, {"name": name(), "role": "viewer", **more})
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.body
    return found


def token(plane: Plane, who: str, secret: str, *, person: bool = False) -> Answer:
    form = (
        {"grant_type": "password", "username": who, "password": secret}
        if person
        else {"grant_type": "client_credentials", "client_id": who, "client_secret": secret}
    )
    url = f"{plane.base}/adfs/oauth2/token"
    answer = plane.pool.request("POST", url, fields=form, encode_multipart=False)
    return Answer(answer.status, answer.headers, answer.json())


def works(plane: Plane, bearer: str) -> bool:
    return plane.call("GET", "resourceGroups", token=bearer).status == 200


def test_a_service_principals_life(plane: Plane) -> None:
    one = made(plane)
    first = token(plane, one["id"], one["secret"])
    assert first.status == 200 and works(plane, first.body["access_token"])
    listed = plane.call("GET", PRINCIPALS).body["value"]
    (shown,) = [p for p in listed if p["id"] == one["id"]]
    assert shown["kind"] == "service"
    assert shown["assignments"] == [{"role": "viewer", "scope": "/"}]
    assert one["secret"] not in str(listed)
    assert plane.call("DELETE", f"{PRINCIPALS}/{one['id']}").status == 204
    assert not works(plane, first.body["access_token"]), "at once"
    assert token(plane, one["id"], one["secret"]).status == 401


def test_a_new_secret_ends_the_old_one_and_its_tokens(plane: Plane) -> None:
    one = made(plane)
    old = token(plane, one["id"], one["secret"]).body["access_token"]
    secret = plane.call("POST", f"{PRINCIPALS}/{one['id']}/rotate").body["secret"]
    assert not works(plane, old)
    assert token(plane, one["id"], one["secret"]).status == 401
    again = token(plane, one["id"], secret)
    assert again.status == 200 and works(plane, again.body["access_token"])


def test_roles_are_given_and_taken(plane: Plane) -> None:
    one = made(plane, scope=f"/subscriptions/{plane.subscription}/resourceGroups/RolesHere")
    bearer = token(plane, one["id"], one["secret"]).body["access_token"]
    path = f"{PRINCIPALS}/{one['id']}/assignments"
    group = {"location": "westeurope"}
    assert plane.call("PUT", "resourceGroups/roleshere", group, token=bearer).status == 403
    operator = {"role": "operator", "scope": f"/subscriptions/{plane.subscription}"}
    for _ in range(2):  # a second time changes nothing
        assert plane.call("PUT", path, operator).status == 204
    assert plane.call("PUT", "resourceGroups/roleshere", group, token=bearer).status in (200, 201)
    query = f"?role=operator&scope=/subscriptions/{plane.subscription}"
    assert plane.call("DELETE", path + query).status == 204
    assert plane.call("PUT", "resourceGroups/roleshere", group, token=bearer).status == 403
    assert plane.call("DELETE", path + query).status == 409, "it is not there any more"


def test_a_person_has_a_password_and_no_other_secret(plane: Plane) -> None:
    one = made(plane, password=PASSWORD)
    assert one["secret"] is None
    assert token(plane, one["name"], PASSWORD, person=True).status == 200
    assert token(plane, one["name"], PASSWORD + "x", person=True).status == 401
    assert token(plane, one["id"], PASSWORD).status == 401, "a person is no service principal"
    assert plane.call("POST", f"{PRINCIPALS}/{one['id']}/rotate").status == 409


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "role": "emperor"},
        {"name": "", "role": "viewer"},
        {"name": "a\nb", "role": "viewer"},
        {"name": "x" * 201, "role": "viewer"},
        {"role": "viewer"},
        {"name": "weak", "role": "viewer", "password": "short"},
        {"name": "weak", "role": "viewer", "password": "passwordpassword"},
        {"name": "lost", "role": "viewer", "scope": "somewhere"},
        {"name": "lost", "role": "viewer", "scope": "/providers/x"},
    ],
)
def test_what_is_no_principal_is_refused_and_nothing_is_made(
    plane: Plane, body: dict[str, str]
) -> None:
    before = plane.call("GET", PRINCIPALS).body
    assert plane.call("POST", PRINCIPALS, body).status in (400, 409)
    assert plane.call("GET", PRINCIPALS).body == before


def test_a_name_is_given_once(plane: Plane) -> None:
    one = made(plane)
    body = {"name": one["name"], "role": "viewer"}
    assert plane.call("POST", PRINCIPALS, body).status == 409


def test_somebody_stays_admin(plane: Plane) -> None:
    """The only admin of everything cannot be removed, nor take the role away."""
    listed = plane.call("GET", PRINCIPALS).body["value"]
    everywhere = {"role": "admin", "scope": "/"}
    others = [p["id"] for p in listed if everywhere in p["assignments"] and p["id"] != plane.client]
    for other in others:
        assert plane.call("DELETE", f"{PRINCIPALS}/{other}").status == 204
    plane.tokens.pop("admin /", None)
    role = f"{PRINCIPALS}/{plane.client}/assignments?role=admin&scope=/"
    for path in (f"{PRINCIPALS}/{plane.client}", role):
        answer = plane.call("DELETE", path)
        assert answer.status == 409 and "nobody would be left" in answer.body["error"]["message"]
    second = made(plane, role="admin")
    assert plane.call("DELETE", f"{PRINCIPALS}/{second['id']}").status == 204


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_nobody_else_gives_themselves_a_role(plane: Plane, role: Role) -> None:
    bearer = plane.token_for(role)
    assert plane.call("GET", PRINCIPALS, token=bearer).status == 403
    path = f"{PRINCIPALS}/{plane.client}/assignments"
    assert plane.call("PUT", path, {"role": "admin"}, token=bearer).status == 403


def test_an_admin_of_one_group_gives_no_roles(plane: Plane) -> None:
    group = f"/subscriptions/{plane.subscription}/resourceGroups/mine"
    bearer = plane.token_for(Role.ADMIN, group)
    body = {"name": name(), "role": "admin"}
    assert plane.call("POST", PRINCIPALS, body, token=bearer).status == 403


def test_a_password_cannot_be_tried_out(plane: Plane) -> None:
    one = made(plane, password=PASSWORD)
    plane.control.guesses._began = 0.0  # a quarter of an hour begins with the first
    answers = [token(plane, one["name"], f"wrong {n}", person=True).status for n in range(12)]
    assert answers == [401] * 10 + [429] * 2
    assert token(plane, one["name"], PASSWORD, person=True).status == 429, "the right one, too"
    plane.clock.ahead = 16 * 60.0
    try:
        assert token(plane, one["name"], PASSWORD, person=True).status == 200
    finally:
        plane.clock.ahead = 0.0


def test_what_is_done_is_in_the_audit_log(plane: Plane) -> None:
    one = made(plane)
    plane.call("POST", f"{PRINCIPALS}/{one['id']}/rotate")
    path = f"/subscriptions/{plane.subscription}/providers/Hotmend.Fleet/auditEntries"
    after, found = 0, []
    while page := plane.call("GET", f"{path}?after={after}").body["value"]:
        found, after = found + page, page[-1]["number"]
    told = {(e["what"], e["subject"], e["who"]) for e in found}
    assert ("principal", one["name"], plane.client) in told
    assert ("rotate secret", one["id"], plane.client) in told
    assert one["secret"] not in str(found)
