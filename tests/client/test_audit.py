"""``hotmend audit`` against a real control plane, and an agent that sees its log rewritten."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from sqlalchemy import update

from client.conftest import Terminal
from hotmend.agent.enrol import enrol
from hotmend.agent.folder import AgentFolder
from hotmend.agent.link import HttpsLink
from hotmend.agent.witness import Witnessing
from hotmend.cli import exit_codes
from hotmend.model.agent_messages import Poll
from hotmend.model.audit_log import parsed
from hotmend.server.identity.roles import Role
from hotmend.server.storage import audit
from hotmend.server.storage.tables import audit as table
from hotmend.server.storage.tables import checkpoints
from server.conftest import Plane, serving
from server.machine import code_for
from server.test_audit import fork_and_grow, truncate_well


def busy(plane: Plane, number: int = 8) -> None:
    def work(connection: object) -> None:
        for n in range(number):
            audit.append(connection, 1.0 + n, "me", "did", f"thing {n}", {"n": n})  # type: ignore[arg-type]

    plane.control.database.write(work)


def test_the_log_is_listed_exported_and_whole(plane: Plane, admin: Terminal) -> None:
    busy(plane, 1500)
    said = json.loads(admin("audit", "verify", "--json", check=0).out)
    assert said["problem"] is None and said["entries"] >= 1500
    lines = admin("audit", "export", check=0).out.splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(1, said["entries"] + 1))
    last = json.loads(admin("audit", "list", "--last", 2, "--json", check=0).out)["entries"]
    assert last == [json.loads(line) for line in lines[-2:]]
    assert "thing 1499" in admin("audit", "list", "--last", 2, check=0).out


def test_a_kept_checkpoint_finds_what_the_server_forgot(tmp_path: Path) -> None:
    with serving(tmp_path / "plane") as plane:
        terminal = Terminal(tmp_path)
        terminal.environment["HOTMEND_SECRET"] = plane.secret
        terminal("login", plane.base, "--ca", plane.authority, "--client", plane.client, check=0)
        busy(plane, 21)
        kept = tmp_path / "kept"
        kept.write_text(terminal("audit", "checkpoint", check=0).out)
        assert parsed(kept.read_text()).checkpoint.size >= 21
        busy(plane)
        terminal("audit", "verify", "--checkpoint", kept, check=0)
        plane.control.database.write(fork_and_grow)
        terminal("audit", "verify", check=0)
        said = terminal("audit", "verify", "--checkpoint", kept, check=exit_codes.FAILED)
        assert "entries are not those of the checkpoint" in said.err
        kept.write_text(kept.read_text().replace("\n", "\n1", 1))
        said = terminal("audit", "verify", "--checkpoint", kept, check=exit_codes.FAILED)
        assert "not signed" in said.err
        kept.write_text("nothing")
        terminal("audit", "verify", "--checkpoint", kept, check=exit_codes.FAILED)


def test_an_entry_that_was_changed_is_named(tmp_path: Path) -> None:
    with serving(tmp_path / "plane") as plane:
        terminal = Terminal(tmp_path)
        terminal.environment["HOTMEND_SECRET"] = plane.secret
        terminal("login", plane.base, "--ca", plane.authority, "--client", plane.client, check=0)
        busy(plane)
        terminal("audit", "verify", check=0)
        plane.control.database.write(
            lambda c: c.execute(update(table).where(table.c.number == 3).values(who="x"))
        )
        said = terminal("audit", "verify", check=exit_codes.FAILED)
        assert "entry 3" in said.err


def test_whoever_sees_one_group_does_not_see_the_log(plane: Plane) -> None:
    path = f"/subscriptions/{plane.subscription}"
    group = plane.token_for(Role.ADMIN, f"{path}/resourceGroups/one")
    for last in ("auditEntries", "auditCheckpoint"):
        place = f"{path}/providers/Hotmend.Fleet/{last}"
        assert plane.call("GET", place, token=group).status == 403
        assert plane.call("GET", place, token=plane.token_for(Role.VIEWER)).status == 200


@pytest.mark.parametrize("tamper", [fork_and_grow, truncate_well], ids=lambda f: f.__name__)
def test_an_agent_raises_an_alarm_when_the_log_is_rewritten(tmp_path: Path, tamper: object) -> None:
    """Through the real wire; the server makes its checkpoints itself and signs them well."""
    with serving(tmp_path / "plane") as plane:
        folder = AgentFolder(tmp_path / "agent")
        enrol(folder, plane.base, code_for(plane, uuid.uuid4().hex), plane.authority, None)
        said: list[str] = []
        link = HttpsLink(plane.base, folder.authority, folder.identity)
        watched = Witnessing(link, folder, folder.enrolment.log_key, said.append)

        def remembered() -> int:
            plane.control.log._newest = plane.control.database.write(plane.control.log.made)
            watched.orders(Poll(0.0))
            return parsed(folder.checkpoint.read_text()).checkpoint.size

        busy(plane, 20)
        first = remembered()
        busy(plane)
        second = remembered()
        assert second == first + 8 and said == []

        plane.control.database.write(tamper)  # type: ignore[arg-type]
        plane.control.database.write(lambda c: c.execute(checkpoints.delete()))
        assert remembered() == second, "the old one is kept"
        assert len(said) == 1 and said[0].startswith("ALARM"), said
        assert folder.alarm.exists()
