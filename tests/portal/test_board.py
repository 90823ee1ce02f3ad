"""A rollout's board: what it says and hears, and that it moves as often as the rollout does."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from hotmend.server.arm import listing
from hotmend.server.identity import sessions
from hotmend.server.portal.drawing import with_query
from hotmend.server.storage import rollouts
from portal import browser, fleet, pages
from server.conftest import Plane, serving


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Plane]:
    """With a rollout that people may steer."""
    with serving(tmp_path) as plane:
        now = plane.clock()
        plane.control.database.write(lambda c: fleet.fill(c, plane.subscription, 60, now))
        plane.control.database.write(lambda c: fleet.roll(c, now))
        listing.catch_up(plane.control)
        yield plane


def act(plane: Plane, verb: str) -> None:
    path = f"providers/Hotmend.Fleet/rollouts/{pages.rollout(plane)}/{verb}"
    assert plane.call("POST", path, {}).status == 200


class Looker:
    """Without a browser."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._headers = {"Cookie": f"{sessions.COOKIE}={browser.session_of(plane)}"}

    def _get(self, path: str, **more: Any) -> Any:
        return self._plane.pool.request(
            "GET", self._plane.base + path, headers=self._headers, **more
        )

    def page(self, **words: str) -> str:
        path = f"/portal/rollouts/{pages.rollout(self._plane)}"
        text: str = self._get(with_query(path, **words)).data.decode()
        return text

    def again(self, after: str) -> str:
        """Where a board that moves is drawn anew."""
        page = self.page(state="healthy", after=after)
        found = re.search(r'hx-get="([^"]+)" hx-trigger="moved"', page)
        assert found is not None
        return html.unescape(found[1])

    def board(self) -> str:
        """Where a board that is drawn now listens."""
        found = re.search(r'data-events="([^"]+)"', self.page())
        assert found is not None
        return found[1]

    def listen(self, path: str) -> Iterator[str]:
        """What is said there, line by line."""
        answer = self._get(path, preload_content=False, timeout=20)
        assert answer.status == 200
        yield from (line.decode().strip() for line in answer)


def data(lines: Iterator[str]) -> str:
    """Of the next event."""
    return next(line for line in lines if line.startswith("data: ")).removeprefix("data: ")


def test_healthy_machines_that_wait_for_a_restart_are_said_to(moving: Plane) -> None:
    looker = Looker(moving)
    with moving.control.database.reading() as connection:
        numbers = rollouts.waiting_for_restart(connection, pages.rollout(moving))
    assert sum(numbers.values()) > 0
    shown = re.findall(r"([\d,]+) to restart<", looker.page())
    assert [int(number.replace(",", "")) for number in shown] == [
        numbers[phase] for phase in sorted(numbers)
    ]
    word = "old code runs until it is restarted"
    assert word in looker.page(state="healthy") and word not in looker.page(state="waiting")


def test_a_board_that_moves_stays_where_it_is_read(moving: Plane) -> None:
    looker = Looker(moving)
    assert looker.again("5").endswith("?state=healthy&after=5")
    assert looker.again("").endswith("?state=healthy")


def test_a_board_hears_what_it_missed_and_else_nothing(moving: Plane) -> None:
    looker = Looker(moving)
    before = looker.board()
    act(moving, "pause")
    paused = looker.board()
    assert paused != before and looker.board() == paused
    assert paused.endswith(data(looker.listen(before))), "it was drawn before that"
    lines = looker.listen(paused)
    assert next(lines).startswith("retry")
    time.sleep(2.5)  # it looks every second
    act(moving, "cancel")
    assert looker.board().endswith(data(lines)), "the first that is said"


def test_a_board_moves_more_often_than_a_browser_has_connections(
    moving: Plane, chromium: Browser
) -> None:
    made = browser.context(chromium, moving, browser.session_of(moving))
    page = made.new_page()
    page.goto(f"/portal/rollouts/{pages.rollout(moving)}")
    for verb, state in (("pause", "Paused"), ("resume", "Running")) * 4:
        act(moving, verb)
        expect(page.locator(".head .status")).to_have_text(state)
    made.close()
