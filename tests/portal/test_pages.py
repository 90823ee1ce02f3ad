"""Every page, in both languages, light and dark: for everybody, without a script of a stranger."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage

from portal import browser, pages
from server.conftest import Plane

FULL = os.environ.get("HOTMEND_FULL") == "1"
VARIANTS = [("en", "light"), ("zh-CN", "dark"), *([("en", "dark"), ("zh-CN", "light")] * FULL)]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.mark.parametrize(("language", "theme"), VARIANTS)
def test_axe_finds_nothing_on_any_page(
    fleet: Plane, chromium: Browser, axe: Path, language: str, theme: str
) -> None:
    made = browser.context(
        chromium, fleet, browser.session_of(fleet), language=language, theme=theme
    )
    made.add_init_script(path=axe)
    page = made.new_page()
    said: list[ConsoleMessage] = []
    page.on("console", lambda one: said.append(one))
    found = {}
    for name, path in {**pages.everything(fleet), **pages.REVIEWS}.items():
        status = pages.opened(page, name, path)
        assert status == (404 if name == "refused" else 200), name
        result = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        for one in result["violations"]:
            found[f"{name}: {one['id']}"] = [node["html"][:160] for node in one["nodes"][:3]]
    made.close()
    assert not found
    wrong = [one.text for one in said if one.type == "error" and "status of 404" not in one.text]
    assert not wrong, "a style or script was refused, or failed"


def test_axe_finds_what_is_wrong(fleet: Plane, chromium: Browser, axe: Path) -> None:
    """The control: a page that is bad for some people."""
    made = browser.context(chromium, fleet, browser.session_of(fleet))
    made.add_init_script(path=axe)
    page = made.new_page()
    browser.settled(page, "/portal/machines")
    page.evaluate(
        "document.querySelector('input[type=search]').closest('label').replaceWith("
        "document.querySelector('input[type=search]'))"
    )
    page.evaluate("document.querySelector('input[type=search]').removeAttribute('placeholder')")
    result = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    assert "label" in {one["id"] for one in result["violations"]}
    made.close()


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_no_page_is_wider_than_a_small_screen(
    fleet: Plane, chromium: Browser, language: str
) -> None:
    made = browser.context(chromium, fleet, browser.session_of(fleet), language=language, width=375)
    page = made.new_page()
    wide = []
    for name, path in {**pages.everything(fleet), **pages.REVIEWS}.items():
        pages.opened(page, name, path)
        if page.evaluate("document.documentElement.scrollWidth") > 375:
            wide.append(name)
    made.close()
    assert not wide


def test_no_page_has_a_style_or_script_of_its_own(fleet: Plane) -> None:
    cookie = f"__Host-hotmend={browser.session_of(fleet)}"
    for name, path in pages.paths(fleet).items():
        answer = fleet.pool.request("GET", f"{fleet.base}{path}", headers={"Cookie": cookie})
        text = answer.data.decode()
        assert not re.search(r"<style|\sstyle=|<script(?![^>]* src=)|\son\w+=", text), name
        assert len(answer.data) <= 200 << 10, name


def test_times_are_the_viewers_and_the_machines_on_hover(fleet: Plane, chromium: Browser) -> None:
    made = browser.context(chromium, fleet, browser.session_of(fleet))
    page = made.new_page()
    browser.settled(page, "/portal/machines")
    time = page.locator("td time[data-zone]:not([data-zone=''])").first
    utc, zone = time.get_attribute("datetime"), time.get_attribute("data-zone")
    there = page.evaluate(
        "([utc, timeZone]) => new Intl.DateTimeFormat('en', "
        "{dateStyle: 'medium', timeStyle: 'short', timeZone}).format(new Date(utc))",
        [utc, "Asia/Shanghai"],
    )
    assert time.inner_text() == there
    assert f"({zone})" in str(time.get_attribute("title"))
    made.close()


def test_the_door_is_as_dark_as_the_pages_behind_it(fleet: Plane, chromium: Browser) -> None:
    grounds = {}
    for theme in ("light", "dark"):
        made = browser.context(chromium, fleet, browser.session_of(fleet), theme=theme)
        page = made.new_page()
        for path in ("/login", "/portal/patches"):
            browser.settled(page, path)
            ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            grounds[path, theme] = ground
        made.close()
    assert grounds["/login", "light"] == grounds["/portal/patches", "light"]
    assert grounds["/login", "dark"] == grounds["/portal/patches", "dark"]
    assert grounds["/login", "light"] != grounds["/login", "dark"]


def test_all_can_be_done_with_the_keyboard(fleet: Plane, chromium: Browser) -> None:
    """The first stop leads past the navigation; every control can be reached, and shows it."""
    made = browser.context(chromium, fleet, browser.session_of(fleet))
    page = made.new_page()
    browser.settled(page, "/portal/settings/one-time")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    wanted = page.locator("main :is(a, button, input:not([type=hidden]), select)").count()
    page.locator("#content").focus()
    reached = set()
    for _ in range(wanted + 40):
        page.keyboard.press("Tab")
        at = page.evaluate(
            "[document.activeElement.closest('main') !== null, "
            "[...document.querySelectorAll('main :is(a, button, input, select)')]"
            ".indexOf(document.activeElement), "
            "getComputedStyle(document.activeElement).outlineStyle]"
        )
        if at[0] and at[1] >= 0:
            reached.add(at[1])
            assert at[2] != "none", page.evaluate("document.activeElement.outerHTML")
    assert len(reached) == wanted
    made.close()


def test_nothing_moves_for_those_who_want_it_still(fleet: Plane, chromium: Browser) -> None:
    for motion, moves in (("reduce", False), ("no-preference", True)):
        made = browser.context(chromium, fleet, browser.session_of(fleet), reduced_motion=motion)
        page = made.new_page()
        browser.settled(page, pages.paths(fleet)["rollout"])
        lasts = page.evaluate(
            "getComputedStyle(document.querySelector('.meter rect')).transitionDuration"
        )
        assert (lasts != "0s") is moves, motion
        made.close()


def test_what_is_printed_has_no_navigation(fleet: Plane, chromium: Browser) -> None:
    made = browser.context(chromium, fleet, browser.session_of(fleet))
    page = made.new_page()
    browser.settled(page, "/portal/reports")
    assert page.locator(".side").is_visible()
    page.emulate_media(media="print")
    assert not page.locator(".side").is_visible()
    assert page.locator("h1").is_visible()
    made.close()
