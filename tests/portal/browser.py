"""Chromium, as its users have it, on a control plane of ours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from hotmend.server.identity import principals, sessions
from hotmend.server.identity.roles import Role
from server.conftest import Plane

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MS = 20_000
PASSWORD = "correct horse battery staple 7"


@contextmanager
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


def session_of(plane: Plane, role: Role = Role.ADMIN, scope: str = "/", name: str = "") -> str:
    """The cookie of somebody who is logged in."""
    name = name or f"{role.value} of {scope}"

    def work(connection: Any) -> str:
        known = {one.name: one.id for one in principals.everybody(connection)}
        who = known.get(name)
        if who is None:
            who, _ = principals.create(connection, name, role, scope, time.time(), PASSWORD)
        return sessions.begin(connection, who, time.time())

    return plane.control.database.write(work)


def context(
    browser: Browser,
    plane: Plane,
    cookie: str = "",
    *,
    language: str = "en",
    theme: str = "light",
    width: int = 1360,
    **options: Any,
) -> BrowserContext:
    made = browser.new_context(
        ignore_https_errors=True,
        base_url=plane.base,
        locale="zh-CN" if language == "zh-CN" else "en-GB",
        timezone_id="Asia/Shanghai",
        viewport={"width": width, "height": 900},
        **options,
    )
    words = {"hotmend-language": language, "hotmend-theme": theme}
    if cookie:
        words[sessions.COOKIE] = cookie
    made.add_cookies(
        [
            {"name": name, "value": value, "url": plane.base, "secure": True, "httpOnly": True}
            for name, value in words.items()
        ]
    )
    made.set_default_timeout(PATIENCE_MS)
    return made


def settled(page: Page, path: str) -> int:
    """The page, when nothing loads any more; its status."""
    answer = page.goto(path, wait_until="load")
    assert answer is not None
    return answer.status
