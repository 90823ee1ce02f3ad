"""The commands for a fleet, against a real control plane: words in; tables, JSON, statuses out."""

from __future__ import annotations

import json
import re
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from client.conftest import Terminal, answering
from hotmend.cli import exit_codes
from hotmend.demo.server import free_port
from hotmend.model.agent_messages import (
    AvailablePatch,
    Installation,
    InstallationState,
    Order,
    PatchResult,
    ProcessResult,
    RebootStatus,
    Run,
    RunKind,
    RunStatus,
)
from hotmend.server import certificates
from hotmend.server.identity.roles import Role
from hotmend.server.storage import machines as store
from server.conftest import Plane
from server.machine import PATCH, Machine, enrolled

OTHER = replace(PATCH, classification="Other")


@pytest.fixture
def machine(plane: Plane, tmp_path: Path) -> Machine:
    return enrolled(plane, f"m{uuid.uuid4().hex[:8]}", tmp_path)


def found(machine: Machine, *patches: AvailablePatch) -> Run:
    return machine.assessed(str(uuid.uuid4()), *patches)


def installed(order: Order, result: PatchResult, *, reboot: RebootStatus) -> Run:
    failed = result.state is InstallationState.FAILED
    status = RunStatus.FAILED if failed else RunStatus.SUCCEEDED
    now = time.time()
    done = Installation((result,), reboot)
    return Run(order.id, RunKind.INSTALL, now, status, now, installation=done)


def result(state: InstallationState, *processes: ProcessResult) -> PatchResult:
    return PatchResult(
        PATCH.article, PATCH.name, PATCH.version, "Security", state, processes=processes
    )


def test_a_login_is_kept_for_its_owner_only_and_without_the_secret(
    plane: Plane, admin: Terminal
) -> None:
    assert admin.login.stat().st_mode & 0o777 == 0o600
    assert plane.secret not in admin.login.read_text()
    said = admin("machines", "--json", check=0)
    assert json.loads(said.out)["version"] == 1


def test_without_a_login_the_next_step_is_said(hotmend: Terminal) -> None:
    said = hotmend("machines", check=exit_codes.NOT_PERMITTED)
    assert "hotmend login" in said.err


def test_a_wrong_secret_logs_nobody_in(plane: Plane, hotmend: Terminal) -> None:
    hotmend.environment["HOTMEND_SECRET"] = "wrong"
    words = ("login", plane.base, "--ca", plane.authority, "--client", plane.client)
    hotmend(*words, check=exit_codes.NOT_PERMITTED)
    assert not hotmend.login.exists()
    hotmend.environment["HOTMEND_SECRET"] = plane.secret
    hotmend(*words, check=exit_codes.DONE)


def test_another_authoritys_server_is_not_spoken_to(
    plane: Plane, admin: Terminal, tmp_path: Path
) -> None:
    """The positive control is ``admin``: it did."""
    foreign = tmp_path / "foreign.pem"
    foreign.write_bytes(certificates.new_authority(datetime.now(UTC)).certificate)
    admin.environment["HOTMEND_SECRET"] = plane.secret
    words = ("login", plane.base, "--ca", foreign, "--client", plane.client)
    said = admin(*words, check=exit_codes.SERVER_UNREACHABLE)
    assert "certificate verify failed" in said.err
    content = json.loads(admin.login.read_text())
    admin.login.write_text(json.dumps({**content, "authority": foreign.read_text()}))
    admin("machines", check=exit_codes.SERVER_UNREACHABLE)


def test_a_server_that_is_not_there(admin: Terminal) -> None:
    content = json.loads(admin.login.read_text())
    gone = {**content, "url": f"https://localhost:{free_port()}"}
    admin.login.write_text(json.dumps(gone))
    admin("machines", check=exit_codes.SERVER_UNREACHABLE)


def test_a_token_that_has_ended(plane: Plane, admin: Terminal) -> None:
    plane.clock.ahead = 3700
    try:
        admin("machines", check=exit_codes.NOT_PERMITTED)
    finally:
        plane.clock.ahead = 0
    admin("machines", check=0)


def test_a_viewer_looks_and_does_nothing(plane: Plane, admin: Terminal, machine: Machine) -> None:
    content = json.loads(admin.login.read_text())
    content["token"] = plane.token_for(Role.VIEWER)
    machine.report(found(machine, PATCH))
    said = admin("patches", machine.name, check=exit_codes.SECURITY_UPDATES)
    admin.login.write_text(json.dumps(content))
    assert admin("patches", machine.name, check=exit_codes.SECURITY_UPDATES).out == said.out
    said = admin("assess", machine.name, check=exit_codes.NOT_PERMITTED)
    assert "assessPatches/action" in said.err
    admin("install", machine.name, check=exit_codes.NOT_PERMITTED)
    assert machine.poll().orders == ()


def test_machines_in_a_table_and_as_an_object(admin: Terminal, machine: Machine) -> None:
    machine.report(found(machine, PATCH, OTHER))
    row = next(line for line in admin("machines", check=0).out.splitlines() if machine.name in line)
    cells = [cell.strip() for cell in row.split("│")]
    assert cells[1:3] == [machine.name, "✓ connected"] and cells[4:6] == ["1", "1"]
    listed = json.loads(admin("machines", "--json", check=0).out)["machines"]
    (one,) = [m for m in listed if m["name"] == machine.name]
    assert one["criticalAndSecurityPatchCount"] == 1 and one["simulated"] is False


@pytest.mark.parametrize(
    ("patches", "code"),
    [
        ((PATCH, OTHER), exit_codes.SECURITY_UPDATES),
        ((OTHER,), exit_codes.UPDATES_AVAILABLE),
        ((), exit_codes.DONE),
    ],
)
def test_the_status_says_what_there_is(
    admin: Terminal, machine: Machine, patches: tuple[AvailablePatch, ...], code: int
) -> None:
    assert "never assessed" in admin("patches", machine.name, check=0).out
    with answering(machine, lambda order: machine.assessed(order.id, *patches)):
        said = admin("assess", machine.name, check=code)
    assert re.match(rf"✓ {machine.name}  \d critical or security, \d other", said.out)
    content = json.loads(admin("patches", machine.name, "--json", check=code).out)
    assert len(content["patches"]) == len(patches)


def test_who_found_nothing_and_could_not_read_everything_is_not_well(
    admin: Terminal, machine: Machine
) -> None:
    def answer(order: Order, *patches: AvailablePatch) -> Run:
        run = machine.assessed(order.id, *patches)
        assert run.assessment is not None
        unread = replace(run.assessment, unread=("11.json",))
        warned = RunStatus.COMPLETED_WITH_WARNINGS
        return replace(run, status=warned, assessment=unread, problem="11.json: away")

    with answering(machine, answer):
        said = admin("assess", machine.name, check=exit_codes.FAILED)
    assert f"✗ {machine.name}" in said.out and "11.json: away" in said.out
    said = admin("patches", machine.name, check=exit_codes.FAILED)
    assert "✗ 11.json could not be read whole" in said.err
    assert "0 or more" in admin("machines", check=0).out
    with answering(machine, lambda order: answer(order, PATCH)):
        admin("assess", machine.name, check=exit_codes.SECURITY_UPDATES)
    admin("patches", machine.name, check=exit_codes.SECURITY_UPDATES)


def test_an_installation_with_warnings_is_not_said_to_be_done(
    admin: Terminal, machine: Machine
) -> None:
    def answer(order: Order) -> Run:
        done = installed(order, result(InstallationState.INSTALLED), reboot=RebootStatus.NOT_NEEDED)
        return replace(done, status=RunStatus.COMPLETED_WITH_WARNINGS, problem="11.json: away")

    with answering(machine, answer):
        said = admin("install", machine.name, check=exit_codes.FAILED)
    assert f"✗ {machine.name}" in said.out and "11.json: away" in said.out


REFUSED = ProcessResult(17, "nginx", "refused", because="opted-out: it says no")


@pytest.mark.parametrize(
    ("state", "processes", "reboot", "code"),
    [
        (InstallationState.INSTALLED, (), RebootStatus.NOT_NEEDED, exit_codes.DONE),
        (InstallationState.INSTALLED, (), RebootStatus.REQUIRED, exit_codes.REBOOT_REQUIRED),
        (InstallationState.FAILED, (), RebootStatus.NOT_NEEDED, exit_codes.FAILED),
        (InstallationState.FAILED, (REFUSED,), RebootStatus.NOT_NEEDED, exit_codes.NEEDS_RESTART),
        (
            InstallationState.FAILED,
            (replace(REFUSED, kind="blocked"),),
            RebootStatus.NOT_NEEDED,
            exit_codes.WAITING,
        ),
    ],
)
def test_an_installation_and_its_status(
    admin: Terminal,
    machine: Machine,
    state: InstallationState,
    processes: tuple[ProcessResult, ...],
    reboot: RebootStatus,
    code: int,
) -> None:
    orders: list[Order] = []

    def answer(order: Order) -> Run:
        orders.append(order)
        return installed(order, result(state, *processes), reboot=reboot)

    words = ("--class", "Security", "--exclude", "linux-*", "--maximum", "PT2H")
    with answering(machine, answer):
        said = admin("install", f"fleet/{machine.name}", *words, "--json", check=code)
    (done,) = json.loads(said.out)["installations"]
    assert done["run"]["patches"][0]["state"] == state.value
    assert orders[0].selection.classifications == ("Security",)
    assert orders[0].selection.exclude == ("linux-*",) and orders[0].maximum_s == 7200
    assert state.value in admin("history", machine.name, check=0).out


def test_a_machine_that_does_not_answer_is_waited_for(admin: Terminal, machine: Machine) -> None:
    said = admin("assess", machine.name, "--wait", "0", check=exit_codes.WAITING)
    assert "⧗" in said.out
    admin("install", machine.name, "--wait", "0", check=exit_codes.WAITING)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("patches", "nobody"), exit_codes.FAILED, "there is no machine nobody"),
        (("patches", "fleet/nobody"), exit_codes.FAILED, "was not found"),
        (("install", "fleet/nobody"), exit_codes.FAILED, "was not found"),
        (("history", "x", "--days", "31"), exit_codes.USAGE, "31"),
        (("install",), exit_codes.USAGE, "MACHINES"),
        (("login", "http://x", "--ca", "/dev/null"), exit_codes.USAGE, "https"),
    ],
)
def test_bad_words(admin: Terminal, words: tuple[str, ...], code: int, sentence: str) -> None:
    said = admin(*words, check=code)
    assert sentence in said.err and not said.out


def test_a_wrong_duration_or_class_is_the_servers_to_refuse(
    admin: Terminal, machine: Machine
) -> None:
    for words in (("--maximum", "soon"), ("--class", "Nice")):
        admin("install", machine.name, *words, check=exit_codes.FAILED)
    assert machine.poll().orders == ()


def test_a_name_that_two_machines_have(plane: Plane, admin: Terminal, tmp_path: Path) -> None:
    name = f"t{uuid.uuid4().hex[:8]}"
    machine = enrolled(plane, name, tmp_path)
    twin = machine.resource.replace("/fleet/", "/fleet2/").lower()
    with plane.control.database.reading() as connection:
        facts = store.get(connection, machine.identifier)
    assert facts is not None
    plane.control.database.write(
        lambda c: store.add(c, str(uuid.uuid4()), twin, facts.facts, time.time(), False)
    )
    said = admin("history", name, check=exit_codes.FAILED)
    assert "2 machines" in said.err
    admin("history", f"fleet/{name}", check=0)
