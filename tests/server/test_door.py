"""How people come in with a browser: the first admin's link, name and password."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from hotmend.demo.control_plane import ControlPlane
from hotmend.demo.server import free_port
from hotmend.server.identity import first_admin, principals, sessions
from hotmend.server.identity.roles import Role
from hotmend.server.storage.tables import assignments
from hotmend.server.storage.tables import principals as table
from server.conftest import Plane, new_database, serving

PASSWORD = "seven quiet herons at dusk"


def post(plane: Plane, path: str, headers: dict[str, str] | None = None, **form: str) -> Any:
    return plane.pool.request(
        "POST",
        plane.base + path,
        body=urlencode(form),
        headers={"Content-Type": "application/x-www-form-urlencoded", **(headers or {})},
        redirect=False,
    )


def cookie_of(answer: Any) -> str:
    found = re.search(rf"{sessions.COOKIE}=([^;]+)", answer.headers.get("set-cookie", ""))
    return found[1] if found else ""


def session_of(plane: Plane, cookie: str) -> sessions.Session | None:
    with plane.control.database.reading() as connection:
        return sessions.found(connection, cookie, plane.clock())


@pytest.fixture
def empty(database_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plane]:
    """A control plane to which nobody has come yet."""
    url = new_database(request.getfixturevalue("cluster")) if database_url else ""
    with serving(tmp_path, url) as plane:
        for one in (assignments, table):
            plane.control.database.write(lambda c, one=one: c.execute(one.delete()))
        yield plane


def link(plane: Plane) -> str:
    made = plane.control.database.write(
        lambda c: first_admin.new_link(c, plane.base, plane.clock())
    )
    return made.partition("code=")[2]


def become(plane: Plane, code: str, name: str = "ann", password: str = PASSWORD) -> Any:
    return post(plane, "/first-admin", code=code, name=name, password=password)


def test_the_first_admin_comes_once(empty: Plane) -> None:
    code = link(empty)
    page = empty.pool.request("GET", f"{empty.base}/first-admin?code={code}")
    assert page.status == 200 and code.encode() in page.data
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "same-origin", "the code is in the address"
    done = become(empty, code)
    assert done.status == 303
    session = session_of(empty, cookie_of(done))
    assert session is not None
    with empty.control.database.reading() as connection:
        admin = principals.known(connection, session.principal)
    assert admin is not None and admin.person and admin.name == "ann"
    assert [(a.role, a.scope) for a in admin.assignments] == [(Role.ADMIN, "/")]
    assert become(empty, code, "bob").status == 400
    assert empty.pool.request("GET", f"{empty.base}/first-admin?code={code}").status == 403
    assert link(empty) == "", "there is somebody now"


def test_a_link_is_good_for_an_hour_and_the_newest_alone(empty: Plane) -> None:
    old, code = link(empty), link(empty)
    assert become(empty, old).status == 400
    empty.clock.ahead = first_admin.LIFE_S + 1
    assert become(empty, code).status == 400
    empty.clock.ahead = 0.0
    assert become(empty, code).status == 303


def test_a_bad_password_or_a_foreign_form_costs_no_link(empty: Plane) -> None:
    code = link(empty)
    assert become(empty, code, password="short").status == 400
    assert become(empty, code, name="").status == 400
    assert become(empty, "guessed").status == 400
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = post(empty, "/first-admin", headers, code=code, name="ann", password=PASSWORD)
        assert answer.status == 403
    assert become(empty, code).status == 303


@pytest.fixture
def person(plane: Plane) -> str:
    name = f"n{uuid.uuid4().hex[:10]}"
    plane.control.database.write(
        lambda c: principals.create(c, name, Role.VIEWER, "/", time.time(), PASSWORD)
    )
    return name


def test_somebody_logs_in_and_out(plane: Plane, person: str) -> None:
    assert plane.pool.request("GET", f"{plane.base}/login").status == 200
    done = post(plane, "/login", name=person, password=PASSWORD)
    cookie = cookie_of(done)
    assert done.status == 303 and session_of(plane, cookie) is not None
    headers = {"Cookie": f"{sessions.COOKIE}={cookie}"}
    for csrf in ("", "guessed"):
        assert post(plane, "/logout", headers, csrf=csrf).status == 403
        assert session_of(plane, cookie) is not None
    session = session_of(plane, cookie)
    assert session is not None
    assert post(plane, "/logout", headers, csrf=session.csrf).status == 303
    assert session_of(plane, cookie) is None


def test_a_session_that_was_planted_is_not_taken_over(plane: Plane, person: str) -> None:
    headers = {"Cookie": f"{sessions.COOKIE}=planted"}
    done = post(plane, "/login", headers, name=person, password=PASSWORD)
    assert cookie_of(done) not in ("", "planted") and session_of(plane, "planted") is None


def test_a_wrong_password_an_unknown_name_and_a_service_principal_look_alike(
    plane: Plane, person: str
) -> None:
    answers = [
        post(plane, "/login", name=person, password="wrong"),
        post(plane, "/login", name="nobody", password=PASSWORD),
        post(plane, "/login", name="no\0body", password=PASSWORD),
        post(plane, "/login", name=plane.client, password=plane.secret),
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1
    assert not any(cookie_of(answer) for answer in answers)


def test_a_password_cannot_be_tried_out(plane: Plane, person: str) -> None:
    plane.control.guesses._began = 0.0  # a quarter of an hour begins with the first
    answers = [post(plane, "/login", name=person, password=f"x{n}").status for n in range(11)]
    assert answers == [401] * 10 + [429]
    assert post(plane, "/login", name=person, password=PASSWORD).status == 429
    plane.clock.ahead = 16 * 60.0
    try:
        assert post(plane, "/login", name=person, password=PASSWORD).status == 303
    finally:
        plane.clock.ahead = 0.0


def test_a_form_that_a_foreign_page_sent_logs_nobody_in(plane: Plane, person: str) -> None:
    form = {"name": person, "password": PASSWORD}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert post(plane, "/login", headers, **form).status == 403
    assert post(plane, "/login", {"Origin": plane.base}, **form).status == 303


def test_what_somebody_types_is_text(plane: Plane) -> None:
    bad = "<script>alert(1)</script>"
    answer = plane.pool.request("GET", f"{plane.base}/login?name={bad}")
    assert b"<script" not in answer.data
    code = f'"><script>{uuid.uuid4()}</script>'
    answer = post(plane, "/first-admin", code=code, name="x", password=PASSWORD)
    assert b"<script" not in answer.data and b"&lt;script" in answer.data


def test_the_server_prints_the_link_at_its_first_start_and_not_again(tmp_path: Path) -> None:
    server = ControlPlane(tmp_path, free_port())
    server.start()  # and makes itself a service principal
    log = tmp_path / f"server-{server.base.rpartition(':')[2]}.log"
    try:
        first = log.read_text()
        assert f"{server.base}/first-admin?code=" in first
        assert server.secret not in first, "no secret is printed by itself"
        server.stop()
        log.write_text("")
        server.start()
        assert "first-admin" not in log.read_text()
    finally:
        server.stop()
