"""The portal on a real machine, in a real browser: this machine's own agent, a real nginx with a
flaw, a signed release; and at the end the same nginx without the flaw."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from hotmend.demo.command import Hotmend
from hotmend.demo.control_plane import ControlPlane, EnrolledAgent
from hotmend.demo.flaw import look
from hotmend.demo.screen import Screen
from hotmend.demo.server import Server, free_port
from hotmend.demo.story import folder_for_all
from live.vendor import Vendor, serve
from portal import browser

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="an agent is root"),
    pytest.mark.skipif(not browser.CHROMIUM.exists(), reason="there is no Chromium"),
]
LIVE = "nginx 1.22.1-9+deb12u11 into running processes"
PATIENCE_MS = 90_000


@dataclass
class Scene:
    plane: ControlPlane
    agent: EnrolledAgent
    nginx: Server
    page: Page


@pytest.fixture
def scene(unpacked: Callable[[str], Path], vendor: Vendor) -> Iterator[Scene]:
    program = unpacked("nginx") / "usr/sbin/nginx"
    with ExitStack() as ends:
        # Not pytest's folder: another session that begins shuts it to nginx's workers.
        folder = ends.enter_context(folder_for_all(False))
        plane = ControlPlane(folder, free_port())
        plane.start(first_admin=True)
        ends.callback(plane.stop)
        serve(vendor.released, plane)
        # nginx's workers must reach its files.
        shutil.copytree(program.parents[2], folder / "old")
        nginx = Server(folder / "old/usr/sbin/nginx", folder)
        ends.callback(nginx.stop)
        agent = EnrolledAgent(folder, plane, vendor.root)
        ends.callback(agent.stop)
        chromium = ends.enter_context(browser.chromium())
        page = chromium.new_context(ignore_https_errors=True, locale="en-GB").new_page()
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        ends.callback(expect.set_options, timeout=browser.PATIENCE_MS)
        yield Scene(plane, agent, nginx, page)


def test_a_live_server_is_hotpatched_from_the_portal(scene: Scene) -> None:
    page, nginx = scene.page, scene.nginx
    before = nginx.processes()
    look(Screen(plain=True), nginx, before, flawed=True)
    page.goto(scene.plane.link)
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(browser.PASSWORD)
    page.get_by_role("button").click()
    expect(page.get_by_role("heading", name="Start with one machine")).to_be_visible()

    scene.agent.enrol("here", _code(page, scene.plane.base))
    scene.agent.start()
    page.goto(f"{scene.plane.base}/portal/machines")
    page.get_by_role("link", name="here", exact=True).click()
    page.get_by_role("button", name="Assess now").first.click()
    expect(page.get_by_text("Assessment is in progress.").first).to_be_visible()
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=LIVE))
    expect(row).to_contain_text("In running processes")

    page.get_by_label("Include KB ID or package").fill("nginx*hotpatch")
    for word in ("Critical", "Security"):
        page.locator(f"#install [name=classification][value={word}]").uncheck()
    page.get_by_label("Reboot setting").select_option("Never")
    page.locator("#install").get_by_role("button", name="Install updates now").click()
    page.get_by_role("link", name="Update history").click()
    expect(page.get_by_role("row", name="Installation")).to_contain_text("Succeeded")

    # The process that ran the old code runs the new: the same pids, without the flaw.
    assert nginx.processes() == before
    look(Screen(plain=True), nginx, before, flawed=False)
    verified = Hotmend(scene.agent.folder / "state").run("verify", *_pids(nginx)).data["processes"]
    assert {row["pid"] for row in verified} == {process.pid for process in before}
    assert all(row["state"] == "applied" and not row["differences"] for row in verified)

    page.get_by_role("row", name="Installation").get_by_role("link").click()
    for process in before:
        expect(page.get_by_role("row", name=str(process.pid))).to_contain_text("Hotpatched")
    page.get_by_role("link", name="Processes", exact=True).click()
    for process in before:
        expect(page.get_by_role("row", name=str(process.pid))).to_contain_text("Hotpatched")

    page.get_by_role("button", name="Assess now").click()
    expect(page.get_by_text("Assessment is in progress.").first).to_be_visible()
    expect(page.get_by_text("Assessment is in progress.")).to_have_count(0)
    expect(page.get_by_role("link", name=LIVE)).to_have_count(0)


@pytest.mark.skipif(not os.environ.get("HOTMEND_FULL"), reason="the test above does the same")
def test_the_demonstration_opens_it_and_leaves_nothing_behind() -> None:
    words = [sys.executable, "-m", "hotmend.cli.main", "demo", "--portal", "--plain"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process, ExitStack() as ends:
        ends.callback(process.kill)
        assert process.stdout is not None
        link = authority = ""
        for line in process.stdout:
            found = re.search(r"https://\S+/first-admin\?\S+", line)
            link = found[0] if found else link
            if "authority" in line:
                authority = line.split()[-1]
            if "Ctrl-C" in line:
                break
        folder = Path(authority).parents[1]
        page = ends.enter_context(browser.chromium()).new_page(ignore_https_errors=True)
        page.set_default_timeout(PATIENCE_MS)
        page.goto(link)
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill(browser.PASSWORD)
        page.get_by_role("button").click()
        base = link.partition("/first-admin")[0]
        page.goto(f"{base}/portal/machines?search=this-machine")
        assert page.get_by_role("link", name="this-machine", exact=True).count() == 1
        assert page.locator("table .tag").count() == 0
        page.goto(f"{base}/portal/machines?search=simulated")
        rows = page.locator("main tbody tr").filter(has_text="simulated-")
        assert rows.count() == page.locator("main tbody .tag").count() > 0
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert not folder.exists()


def _code(page: Page, base: str) -> str:
    page.goto(f"{base}/portal/settings/enrol")
    page.get_by_label("Machine name").fill("here")
    page.get_by_role("button", name="Make a code").click()
    command = page.locator(".command code").inner_text().split()
    return command[command.index("--code") + 1]


def _pids(nginx: Server) -> list[str]:
    return [word for process in nginx.processes() for word in ("--pid", str(process.pid))]
