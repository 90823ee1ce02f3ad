"""What surrounds every page: who gets in, which forms are taken, and what a browser may do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser

from hotmend.server.identity import sessions
from hotmend.server.identity.roles import Role
from hotmend.server.portal.portal import POLICY
from portal import browser, pages
from server.conftest import Plane

CHANGES = ("/portal/view", "/portal/settings", "/portal/settings/roles", "/portal/settings/enrol")


def post(plane: Plane, path: str, cookie: str, form: dict[str, str], **headers: str) -> int:
    sent = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    sent["Cookie"] = f"{sessions.COOKIE}={cookie}"
    answer = plane.pool.request(
        "POST", f"{plane.base}{path}", body=urlencode(form), headers=sent, redirect=False
    )
    return int(answer.status)


def csrf_of(plane: Plane, cookie: str) -> str:
    with plane.control.database.reading() as connection:
        session = sessions.found(connection, cookie, plane.clock())
    assert session is not None
    return session.csrf


def test_every_page_sends_a_stranger_to_the_door(fleet: Plane) -> None:
    for path in (*pages.paths(fleet).values(), "/portal/machines.csv", "/portal/reports/vex.json"):
        answer = fleet.pool.request("GET", fleet.base + path, redirect=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/login"), path


def test_every_page_says_what_a_browser_may_do(fleet: Plane) -> None:
    cookie = {"Cookie": f"{sessions.COOKIE}={browser.session_of(fleet)}"}
    for path in pages.paths(fleet).values():
        headers = fleet.pool.request("GET", fleet.base + path, headers=cookie).headers
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
    assert "unsafe" not in POLICY
    assert "frame-ancestors 'none'" in POLICY


@pytest.mark.parametrize("path", CHANGES)
def test_a_form_without_the_sessions_secret_changes_nothing(plane: Plane, path: str) -> None:
    cookie = browser.session_of(plane)
    other = csrf_of(plane, browser.session_of(plane, name="somebody else"))
    good = csrf_of(plane, cookie)
    assert post(plane, path, cookie, {}) == 403
    assert post(plane, path, cookie, {"csrf": ""}) == 403
    assert post(plane, path, cookie, {"csrf": other}) == 403
    foreign = {"Origin": "https://evil.example"}
    assert post(plane, path, cookie, {"csrf": good}, **foreign) == 403
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert post(plane, path, cookie, {"csrf": good}, **cross) == 403
    # The control: with it, from here, the form itself is looked at.
    assert post(plane, path, cookie, {"csrf": good}) != 403


def test_a_link_back_leads_nowhere_else(plane: Plane) -> None:
    cookie = browser.session_of(plane)
    for back in ("https://evil.example/", "//evil.example/", "/login"):
        form = {"csrf": csrf_of(plane, cookie), "back": back, "language": "zh-CN"}
        answer = plane.pool.request(
            "POST",
            f"{plane.base}/portal/view",
            body=urlencode(form),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Cookie": f"{sessions.COOKIE}={cookie}",
            },
            redirect=False,
        )
        assert answer.headers["Location"] == "/portal/"


@contextmanager
def elsewhere(html: str) -> Iterator[str]:
    """A page of somebody else, on another origin."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_no_page_can_be_put_into_a_frame(fleet: Plane, chromium: Browser) -> None:
    made = browser.context(chromium, fleet, browser.session_of(fleet))
    page = made.new_page()
    # The authority's metadata may be framed: the frame itself works.
    places = ("/portal/", "/metadata/endpoints")
    frames = "".join(f'<iframe src="{fleet.base}{place}"></iframe>' for place in places)
    with elsewhere(frames) as place:
        page.goto(place, wait_until="load")
        framed, control = page.frames[1], page.frames[2]
        assert "Overview" not in framed.content()
        assert "portal" in control.content()
    made.close()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.PUBLISHER])
def test_who_may_only_look_is_refused_in_the_apis_words(fleet: Plane, role: Role) -> None:
    cookie = browser.session_of(fleet, role)
    csrf = {"csrf": csrf_of(fleet, cookie)}
    one = pages.machine(fleet)
    assert post(fleet, f"{one}/assess", cookie, csrf) == 403
    install = {**csrf, "classification": "Security", "reboot": "Never", "minutes": "60"}
    assert post(fleet, f"{one}/install", cookie, install) == 403
    halt = f"/portal/rollouts/{pages.rollout(fleet)}/halt"
    assert post(fleet, halt, cookie, csrf) == 403
    # The control: somebody who may.
    able = browser.session_of(fleet, Role.OPERATOR)
    assert post(fleet, f"{one}/assess", able, {"csrf": csrf_of(fleet, able)}) == 303


def test_who_sees_one_group_sees_and_counts_no_other(fleet: Plane) -> None:
    scope = f"/subscriptions/{fleet.subscription}/resourceGroups/shop1"
    few, all_of_it = (browser.session_of(fleet, Role.VIEWER, place) for place in (scope, "/"))

    def text(cookie: str, path: str) -> tuple[int, str]:
        headers = {"Cookie": f"{sessions.COOKIE}={cookie}"}
        answer = fleet.pool.request("GET", fleet.base + path, headers=headers)
        return answer.status, answer.data.decode()

    lines = [text(cookie, "/portal/machines.csv")[1].splitlines() for cookie in (few, all_of_it)]
    assert 0 < len(lines[0]) - 1 < len(lines[1]) - 1 == 150
    assert {line.split(",")[-2] for line in lines[0][1:]} == {"shop1"}
    other = pages.machine(fleet)
    assert "/shop1/" not in other
    assert text(few, other)[0] == 403
    assert text(all_of_it, other)[0] == 200
    assert text(few, "/portal/audit")[0] == 403
    assert text(few, "/portal/rollouts")[0] == 403
