"""What agents say is shown and never run: thirty payloads through every string of theirs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Dialog, Page

from hotmend.model.agent_messages import (
    Assessment,
    AvailablePatch,
    Drift,
    Ended,
    Ending,
    Facts,
    Health,
    Installation,
    InstallationState,
    Needs,
    PatchResult,
    ProbeResult,
    ProcessResult,
    RebootStatus,
    Run,
    RunKind,
    RunStatus,
    StaleProcess,
)
from portal import browser
from server.conftest import Plane
from server.machine import enrolled

RUN = "window.ran=(window.ran||0)+1"
PAYLOADS = [
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"<img src=x onerror='{RUN}'>",
    f'"><img src=x onerror="{RUN}">',
    f"'><img src=x onerror={RUN}>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<body onload={RUN}>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'>",
    f"<details open ontoggle={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f'" autofocus onfocus="{RUN}" x="',
    f"' autofocus onfocus='{RUN}' x='",
    f"</title><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"--><script>{RUN}</script>",
    f"]]><script>{RUN}</script>",
    f"javascript:{RUN}",
    f"<a href='javascript:{RUN}' id=x>x</a>",
    f"<video><source onerror={RUN}>",
    f"<marquee onstart={RUN}>",
    f"<object data='javascript:{RUN}'>",
    "{{ 7*7 }}{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}",
    f"${{{RUN}}}`{RUN}`",
    f"<div hx-on:load='{RUN}' hx-trigger='load' hx-get='/portal/'></div>",
    f"<div hx-vals='js:{{a: {RUN}}}' hx-get='/portal/' hx-trigger='load'></div>",
    f"<style>@import 'x';</style><link rel=stylesheet href=x onerror={RUN}>",
    f"<meta http-equiv=refresh content='0;url=javascript:{RUN}'>",
    f"<template><script>{RUN}</script></template><math href='javascript:{RUN}'>x",
]


def said(payload: str, number: int) -> AvailablePatch:
    return AvailablePatch(
        article=f"{number}{payload}"[:250],
        name=payload,
        version=payload,
        classification="Security" if number % 2 else payload[:32],
        reboot=payload,
        hotpatch=bool(number % 3),
        kb=payload,
        severity=payload,
        advisories=(payload,),
        published=payload,
        outdated=(number + 1,),
        baseline_first=payload,
    )


def executions(page: Page) -> int:
    return int(page.evaluate("window.ran || 0"))


@pytest.fixture(scope="module")
def attacked(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Pages of machines that say nothing else."""
    folder = tmp_path_factory.mktemp("machines")
    paths = ["/portal/", "/portal/machines", "/portal/patches", "/portal/history", "/portal/audit"]
    for number, payload in enumerate(PAYLOADS):
        facts = Facts(payload, payload, payload, payload, payload, 1.0, payload)
        machine = enrolled(plane, f"m{number}", folder, facts=replace(facts, host="h"))
        machine.facts = facts
        whole = machine.assessed(f"00000000-0000-4000-8000-{number:012}")
        if number == 0:
            patches = tuple(said(one, at) for at, one in enumerate(PAYLOADS))
            stale = tuple(
                StaleProcess(1000 + at, one, (f"/usr/{one}",), Needs.RESTART)
                for at, one in enumerate(PAYLOADS)
            )
            found = Assessment(True, patches, tuple(PAYLOADS), 3, stale)
            done = tuple(
                PatchResult(
                    one,
                    one,
                    one,
                    one,
                    InstallationState.FAILED,
                    one,
                    one,
                    (ProcessResult(2000 + at, one, one, 1.0, one),),
                )
                for at, one in enumerate(PAYLOADS)
            )
            health = Health(
                1.0,
                1.0,
                1,
                tuple(Drift(at, one, one) for at, one in enumerate(PAYLOADS)),
                tuple(Ended(at, one, 1.0, Ending.CRASHED, 1) for at, one in enumerate(PAYLOADS)),
                tuple(ProbeResult(one, False, 1.0, 1.0, one) for one in PAYLOADS),
            )
            installed = Run(
                "00000000-0000-4000-9000-000000000000",
                RunKind.INSTALL,
                whole.started,
                RunStatus.FAILED,
                whole.finished,
                None,
                Installation(done, RebootStatus.UNKNOWN),
                " ".join(PAYLOADS),
            )
            assert machine.report(replace(whole, assessment=found)).accepted
            assert machine.report(installed, health=health).accepted
            path = f"/portal/machines/{plane.subscription}/fleet/vm/m0"
            tabs = ("updates", "compliance", "history", "processes", "timeline", "policy")
            paths += [f"{path}/{tab}" for tab in tabs]
            paths.append(f"{path}/history/{installed.id}")
        else:
            assert machine.report(whole).accepted
            paths.append(f"/portal/machines/{plane.subscription}/fleet/vm/m{number}/timeline")
    return paths


def test_nothing_that_an_agent_says_is_run(
    plane: Plane, chromium: Browser, attacked: list[str]
) -> None:
    made = browser.context(chromium, plane, browser.session_of(plane))
    page = made.new_page()
    dialogs: list[Dialog] = []
    wrong: list[str] = []
    page.on("dialog", lambda one: dialogs.append(one))
    page.on("console", lambda one: wrong.append(one.text) if one.type == "error" else None)
    shown = 0
    for path in attacked:
        assert browser.settled(page, path) == 200, path
        assert executions(page) == 0, path
        text = page.evaluate("document.body.textContent")
        shown += sum(payload in text for payload in PAYLOADS)
    made.close()
    assert shown > 5 * len(PAYLOADS), "they are there, as text"
    assert not dialogs
    assert not wrong, "the policy had to stop something that should have been escaped"


def test_the_payloads_run_where_nobody_escapes(chromium: Browser) -> None:
    """The control: the same, written into a page as they are."""
    page = chromium.new_page()
    page.set_content("".join(f"<p>{payload}</p>" for payload in PAYLOADS[:8]))
    page.wait_for_function("window.ran >= 4")
    assert page.evaluate("window.ran") >= 4
    page.close()
