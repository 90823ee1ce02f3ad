"""Sessions of people in a browser."""

from __future__ import annotations

import time
import uuid

from sqlalchemy import select
from starlette.responses import Response

from hotmend.server.identity import sessions
from hotmend.server.storage import tables
from server.conftest import Plane

# The server forgets what is old, also while it is tested.
NOW = time.time()


def begun(plane: Plane, principal: str) -> str:
    return plane.control.database.write(lambda c: sessions.begin(c, principal, NOW))


def found(plane: Plane, value: str, now: float) -> sessions.Session | None:
    with plane.control.database.reading() as connection:
        return sessions.found(connection, value, now)


def test_a_session_is_its_cookies_and_nobody_can_read_it_in_the_database(plane: Plane) -> None:
    value = begun(plane, "p1")
    session = found(plane, value, NOW + 1)
    assert session is not None and session.principal == "p1"
    assert found(plane, value[:-1], NOW + 1) is None and found(plane, "", NOW + 1) is None
    with plane.control.database.reading() as connection:
        assert value not in str(connection.execute(select(tables.sessions)).all())


def test_it_ends_when_it_is_idle_and_after_a_day_in_any_case(plane: Plane) -> None:
    value = begun(plane, "p2")
    idle, longest = NOW + sessions.IDLE_S, NOW + sessions.LONGEST_S
    assert found(plane, value, idle - 1) is not None
    assert found(plane, value, idle) is None
    now = NOW
    while (now := now + 3600.0) < longest:
        at = now
        assert found(plane, value, at) is not None
        plane.control.database.write(lambda c, at=at: sessions.note_use(c, value, at))
    assert found(plane, value, longest) is None
    gone = plane.control.database.write(lambda c: sessions.forget_old(c, longest))
    assert gone >= 1 and found(plane, value, NOW + 1) is None


def test_a_foreign_page_does_not_know_what_to_say(plane: Plane) -> None:
    one, other = (found(plane, begun(plane, str(uuid.uuid4())), NOW + 1) for _ in range(2))
    assert one is not None and other is not None
    assert one.meant(one.csrf)
    assert not one.meant("") and not one.meant(other.csrf) and not one.meant("\u00fc")


def test_logging_out_ends_one_and_a_new_secret_all(plane: Plane) -> None:
    first, second, others = (begun(plane, who) for who in ("p3", "p3", "p4"))
    plane.control.database.write(lambda c: sessions.end(c, first))
    assert found(plane, first, NOW + 1) is None and found(plane, second, NOW + 1) is not None
    plane.control.database.write(lambda c: sessions.end_all(c, "p3"))
    assert found(plane, second, NOW + 1) is None and found(plane, others, NOW + 1) is not None


def test_the_cookie_is_for_this_host_over_tls_and_not_for_scripts() -> None:
    response = Response()
    sessions.give(response, "value")
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("__Host-hotmend=value;")
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
