"""What people do at the portal, in a real browser: from the first link to a machine without a gap.

The machine speaks the real wire; nothing runs on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Connection, delete, select

from client.conftest import answering
from hotmend.agent.identity import new_request
from hotmend.agent.link import HttpsLink
from hotmend.model.agent_messages import Enrol, Facts, Order, ProcessResult, Run, RunKind
from hotmend.server.identity import first_admin
from hotmend.server.identity.roles import Role
from hotmend.server.storage.tables import assignments, principals, runs
from portal import browser, pages
from portal import fleet as simulated
from server.conftest import Plane, serving
from server.machine import CONNECTED, FACTS, PATCH, Machine, assessment, enrolled, installation
from server.test_hybrid_machines import WINDOWS

NGINX = ProcessResult(17, "nginx", "applied", 0.42)


def nobody(plane: Plane) -> str:
    """The link of the first admin, where nobody has come yet."""

    def work(connection: Connection) -> str:
        for table in (assignments, principals):
            connection.execute(delete(table))
        return first_admin.new_link(connection, plane.base, plane.clock())

    return plane.control.database.write(work)


def answer(machine: Machine) -> Callable[[Order], Run]:
    """Assessed with a gap; then installed; then assessed without."""
    state = {"installed": False}

    def of(order: Order) -> Run:
        if order.kind is RunKind.ASSESS:
            if state["installed"]:
                return machine.assessed(order.id)
            return assessment(machine, order.id)
        state["installed"] = True
        run = installation(machine, order.id)
        assert run.installation is not None
        patch = replace(run.installation.patches[0], processes=(NGINX,))
        return replace(run, installation=replace(run.installation, patches=(patch,)))

    return of


def test_from_the_first_link_to_a_machine_that_is_hotpatched(
    tmp_path: Path, chromium: Browser
) -> None:
    with serving(tmp_path) as plane:
        made = browser.context(chromium, plane)
        page = made.new_page()
        page.goto(nobody(plane))
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill(browser.PASSWORD)
        page.get_by_role("button").click()
        # The empty state tells the next step.
        expect(page.get_by_role("heading", name="Start with one machine")).to_be_visible()
        machine = enrol(plane, page, tmp_path)
        page.goto("/portal/machines")
        page.get_by_role("link", name="web1").click()
        expect(page.get_by_text("Not assessed yet")).to_be_visible()
        with answering(machine, answer(machine)):
            page.get_by_role("button", name="Assess now").first.click()
            expect(page.get_by_text("Assessment is in progress.").first).to_be_visible()
            # The page looks again by itself.
            expect(page.get_by_role("link", name=PATCH.name)).to_be_visible()
            expect(page.get_by_text("This does not follow availability-first.")).to_be_visible()
            page.get_by_label("Reboot setting").select_option("Never")
            page.locator("#install").get_by_role("button", name="Install updates now").click()
            page.get_by_role("link", name="Update history").click()
            expect(page.get_by_role("cell", name="Installation")).to_be_visible()
            expect(page.get_by_text("In progress")).to_have_count(0)
            page.reload()
            page.get_by_role("row", name="Installation").get_by_role("link").click()
            expect(page.get_by_role("row", name="nginx")).to_contain_text("Hotpatched")
            expect(page.get_by_role("row", name="nginx")).to_contain_text("0.42")
            page.get_by_role("link", name="Processes", exact=True).click()
            expect(page.get_by_role("row", name="nginx")).to_be_visible()
        # The other language, at once.
        page.get_by_label("Language").select_option("zh-CN")
        expect(page.get_by_role("heading", name="web1")).to_be_visible()
        expect(page.get_by_role("link", name="更新历史记录")).to_be_visible()
        assert page.locator("html").get_attribute("lang") == "zh-CN"
        made.close()


def enrol(plane: Plane, page: Page, folder: Path) -> Machine:
    """With the code that the portal shows."""
    page.goto("/portal/settings/enrol")
    page.get_by_label("Machine name").fill("web1")
    page.get_by_role("button", name="Make a code").click()
    command = page.locator(".command code").inner_text().split()
    code = command[command.index("--code") + 1]
    key, request = new_request("web1")
    link = HttpsLink(plane.base, plane.authority, None)
    facts = replace(FACTS, host="web1")
    done = link.enrol(Enrol(code, request.decode(), facts))
    identity = folder / "web1.pem"
    identity.write_bytes(key + done.certificate.encode())
    again = HttpsLink(plane.base, plane.authority, identity)
    return Machine("web1", done.resource, done.machine, identity, again, facts)


def test_a_connected_machine_is_enrolled_for_hotpatch(
    plane: Plane, chromium: Browser, tmp_path: Path
) -> None:
    facts = Facts("arc1", "Windows Server 2025", "10.0.26100.1742", "", "0.1", 1.0)
    enrolled(plane, "arc1", tmp_path, CONNECTED, facts)
    group = {"location": "westeurope"}
    assert plane.call("PUT", "resourceGroups/fleet", group).status in (200, 201)
    path = f"resourceGroups/fleet/providers/{CONNECTED}/arc1"
    assert plane.call("PUT", path, WINDOWS).status == 200
    made = browser.context(chromium, plane, browser.session_of(plane))
    page = made.new_page()
    page.goto(f"/portal/machines/{plane.subscription}/fleet/arc/arc1/policy")
    expect(page.get_by_text("Not Enrolled")).to_be_visible()
    expect(page.get_by_text("preview")).to_be_visible()
    page.get_by_role("button", name="Enable Hotpatch").click()
    expect(page.locator(".status").get_by_text("Pending")).to_be_visible()
    made.close()


def test_how_rollouts_go_is_changed(plane: Plane, chromium: Browser) -> None:
    """What stays as it is built in is not written down."""
    made = browser.context(chromium, plane, browser.session_of(plane))
    page = made.new_page()
    path = "providers/Hotmend.Fleet/rolloutSettings/default"
    try:
        for change in ({}, {"soak_s": "1200", "revert_on_halt": "true"}):
            written = {"soak_s": 1200.0, "revert_on_halt": True} if change else {}
            page.goto("/portal/settings")
            for name, value in change.items():
                field = page.locator(f"[name={name}]")
                field.select_option(value) if value == "true" else field.fill(value)
            page.get_by_role("button", name="Save").click()
            expect(page.get_by_role("status")).to_have_text("Saved.")
            assert plane.call("GET", path).body == written
    finally:
        assert plane.call("PUT", path, {}).status == 200
    made.close()


def test_a_schedule_is_made_after_it_was_looked_at(plane: Plane, chromium: Browser) -> None:
    made = browser.context(chromium, plane, browser.session_of(plane))
    page = made.new_page()
    page.goto("/portal/settings/schedule")
    page.get_by_label("Name", exact=True).fill("nightly")
    page.get_by_label("Time zone").select_option("Europe/Berlin")
    page.locator("[name=repeats]").select_option("Month")
    page.get_by_role("button", name="Review").click()
    expect(page.locator(".facts")).to_contain_text("1Month Second Tuesday")
    expect(page.locator(".facts")).to_contain_text("Europe/Berlin")
    path = "resourceGroups/schedules/providers/Microsoft.Maintenance/maintenanceConfigurations"
    assert plane.call("GET", f"{path}/nightly").status == 404
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("row", name="nightly")).to_contain_text("1Month Second Tuesday")
    window = plane.call("GET", f"{path}/nightly").body["properties"]["maintenanceWindow"]
    assert (window["recurEvery"], window["timeZone"]) == ("1Month Second Tuesday", "Europe/Berlin")
    made.close()


def test_a_one_time_update_is_asked_of_the_chosen_when_it_is_confirmed(
    tmp_path: Path, chromium: Browser
) -> None:
    with serving(tmp_path) as plane:
        now = plane.clock()
        plane.control.database.write(lambda c: simulated.fill(c, plane.subscription, 12, now))

        def asked() -> list[tuple[str, str]]:
            with plane.control.database.reading() as connection:
                installs = runs.c.kind == RunKind.INSTALL.value
                found = connection.execute(select(runs).where(installs, runs.c.finished.is_(None)))
                return [(row.machine, row.request["reboot"]) for row in found]

        made = browser.context(chromium, plane, browser.session_of(plane))
        page = made.new_page()
        page.goto("/portal/settings/one-time")
        chosen = page.locator("[name=machine]")
        for number in (0, 1):
            chosen.nth(number).check()
        page.locator("[name=reboot]").select_option("Never")
        page.get_by_role("button", name="Review").click()
        expect(page.locator(".facts")).to_contain_text("Never reboot")
        expect(page.locator("main li a")).to_have_count(2)
        assert asked() == []
        page.get_by_role("button", name="Install").click()
        expect(page).to_have_url(re.compile("/portal/history"))
        assert [reboot for _, reboot in asked()] == ["Never", "Never"]
        assert len({machine for machine, _ in asked()}) == 2
        made.close()


def test_a_dynamic_scope_is_looked_at_before_it_is_made(tmp_path: Path, chromium: Browser) -> None:
    """Its filter finds what the API's own says when the schedule runs, and its tags are kept."""
    with serving(tmp_path) as plane:
        now = plane.clock()
        plane.control.database.write(lambda c: simulated.fill(c, plane.subscription, 60, now))
        made = browser.context(chromium, plane, browser.session_of(plane))
        page = made.new_page()
        for group in ("shop0", "shop1"):
            made_group = plane.call("PUT", f"resourceGroups/{group}", {"location": "eastasia"})
            assert made_group.status in (200, 201)
        page.goto("/portal/settings/schedule")
        page.get_by_label("Name", exact=True).fill("asia")
        page.locator("[name=groups]").fill("shop0, shop1")
        page.get_by_label("Only in these locations").fill("eastasia southeastasia")
        page.locator("[name=tags]").fill("owner=ops")
        page.get_by_role("button", name="Review").click()
        # By how the fleet is made: the group by seven, the region by six.
        found = [n for n in range(60) if n % 7 in (0, 1) and n % 6 in (4, 5)]
        expect(page.get_by_text(f"{len(found)} machines are in them now.")).to_be_visible()
        names = page.locator("main tbody th").all_inner_texts()
        assert {int(name.rpartition("-")[2]) for name in names} == set(found)
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("row", name="asia")).to_be_visible()
        path = "resourceGroups/schedules/providers/Microsoft.Maintenance/maintenanceConfigurations"
        assert plane.call("GET", f"{path}/asia").body["tags"] == {"owner": "ops"}
        path = "providers/Microsoft.Maintenance/configurationAssignments"
        kept = plane.call("GET", path).body["value"]
        locations = [one["properties"]["filter"]["locations"] for one in kept]
        assert locations == [["eastasia", "southeastasia"]] * 2
        # The control: a tag that no machine has.
        page.goto("/portal/settings/schedule")
        page.get_by_label("Name", exact=True).fill("nobody")
        page.locator("[name=groups]").fill("shop0")
        page.get_by_label("Only with these tags").fill("env=test")
        page.get_by_role("button", name="Review").click()
        expect(page.get_by_text("0 machines are in them now.")).to_be_visible()
        made.close()


def test_machines_are_filtered_by_their_hotpatch_status(fleet: Plane, chromium: Browser) -> None:
    made = browser.context(chromium, fleet, browser.session_of(fleet))
    page = made.new_page()
    page.goto("/portal/machines")
    column = page.locator("main thead th").all_inner_texts().index("Hotpatch status")
    seen = set()
    for status in ("Enabled", "Not Available", "Pending Evaluation"):
        page.locator("[name=hotpatch]").select_option(status)
        page.wait_for_url(f"**hotpatch={status.replace(' ', '+')}*")
        cells = page.locator(f"main tbody tr > :nth-child({column + 1})").all_inner_texts()
        assert all(status in cell for cell in cells), status
        seen |= {status} if cells else set()
    assert len(seen) >= 2, "each filter found somebody"
    made.close()


def test_a_board_moves_by_itself_and_going_on_takes_two(tmp_path: Path, chromium: Browser) -> None:
    with serving(tmp_path) as plane:
        now = plane.clock()
        plane.control.database.write(lambda c: simulated.fill(c, plane.subscription, 60, now))
        plane.control.database.write(lambda c: simulated.roll(c, now))
        looks, acts = (
            browser.context(chromium, plane, browser.session_of(plane, name=name)).new_page()
            for name in ("ada", "grace")
        )
        looks.goto("/portal/rollouts")
        looks.get_by_role("link", name="2026-11.release.json").click()
        expect(looks.locator(".head .status")).to_have_text("Running")
        place = looks.url
        acts.goto(place)
        acts.get_by_label("Why (for the audit log)").fill("the cache misbehaves")
        acts.get_by_role("button", name="Halt").click()
        expect(acts.locator(".head .status")).to_have_text("Halted")
        # Nobody touched the first one's page.
        expect(looks.locator(".head .status")).to_have_text("Halted")
        expect(looks.get_by_text("the cache misbehaves").first).to_be_visible()
        acts.get_by_role("button", name="Resume").click()
        expect(acts.get_by_text("a second person must agree")).to_be_visible()
        expect(acts.locator(".head .status")).to_have_text("Halted")
        looks.get_by_role("button", name="Resume").click()
        expect(looks.locator(".head .status")).to_have_text("Running")
        for page in (looks, acts):
            page.context.close()


def test_who_may_only_look_is_offered_nothing_else(fleet: Plane, chromium: Browser) -> None:
    made = browser.context(chromium, fleet, browser.session_of(fleet, Role.VIEWER))
    page = made.new_page()
    page.goto(f"{pages.machine(fleet)}/updates")
    expect(page.get_by_role("button", name="Assess now")).to_be_disabled()
    expect(page.locator("#install")).to_have_count(0)
    made.close()
