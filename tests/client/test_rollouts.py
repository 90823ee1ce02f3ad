"""``hotmend rollouts`` and ``hotmend why MACHINE``, against a real control plane."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from client.conftest import Terminal
from hotmend.cli import exit_codes
from hotmend.model.agent_messages import Assessment
from hotmend.server.storage.tables import turns
from server.conftest import Plane
from server.machine import Machine, enrolled
from server.test_rollouts import SETTINGS, assessed, eventually, far_from_now, publish


@pytest.fixture(scope="module")
def machine(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return enrolled(plane, "waits", tmp_path_factory.mktemp("machines"))


@pytest.fixture(scope="module")
def begun(plane: Plane, machine: Machine) -> str:
    """The name of a rollout that waits."""
    assert plane.call("PUT", SETTINGS, far_from_now()).status == 200
    machine.poll()
    publish(plane, "2026-11")
    shown = "providers/Hotmend.Fleet/rollouts"
    eventually(lambda: plane.call("GET", shown).body["value"])
    return "2026-11"


def test_rollouts_are_listed_shown_and_their_machines(admin: Terminal, begun: str) -> None:
    (listed,) = json.loads(admin("rollouts", "--json", check=0).out)["rollouts"]
    assert (listed["state"], listed["machines"]) == ("running", 1)
    assert begun in admin("rollouts", check=0).out
    shown = admin("rollouts", "show", begun, check=exit_codes.WAITING).out
    assert "1 wait, 0 in flight, 0 healthy, 0 failed" in shown
    (turn,) = json.loads(admin("rollouts", "machines", begun, "--json", check=0).out)["turns"]
    assert (turn["host"], turn["state"], turn["region"]) == ("waits", "waiting", "westeurope")
    assert "waits" in admin("rollouts", "machines", begun, "--state", "waiting", check=0).out
    assert "waits" not in admin("rollouts", "machines", begun, "--state", "failed", check=0).out


def test_why_a_machine_waits_in_one_sentence(admin: Terminal, begun: str) -> None:
    said = admin("why", "waits", check=exit_codes.OUTSIDE_WINDOW)
    assert "the next window opens at" in said.out and "(outside-window)" in said.out
    found = json.loads(admin("why", "waits", "--json", check=exit_codes.OUTSIDE_WINDOW).out)
    assert found["code"] == "outside-window"


def test_steering_from_the_command_line(admin: Terminal, begun: str) -> None:
    assert "paused" in admin("rollouts", "pause", begun, "--because", "holiday", check=0).out
    again = admin("rollouts", "pause", begun, check=exit_codes.FAILED)
    assert "that is paused cannot be paused" in again.err
    assert "running" in admin("rollouts", "resume", begun, check=0).out
    assert "halted" in admin("rollouts", "halt", begun, check=0).out
    second = admin("rollouts", "resume", begun, check=exit_codes.WAITING)
    assert "a second person" in second.out


def test_settings_are_shown_set_and_reset(admin: Terminal, begun: str) -> None:
    admin("rollouts", "settings", "--set", "soak_s=60", check=0)
    assert "soak_s = 60" in admin("rollouts", "settings", check=0).out
    wrong = admin("rollouts", "settings", "--set", "soak_s=long", check=exit_codes.FAILED)
    assert "soak_s must be a number" in wrong.err
    admin("rollouts", "settings", "--set", "soak_s=", check=0)
    assert "soak_s" not in admin("rollouts", "settings", check=0).out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("rollouts", "show", "1999-01"), "no rollout begins with 1999-01"),
        (("rollouts", "exclude", "2026-11", "nobody"), "neither waits in the rollout nor failed"),
        (("rollouts", "settings", "--set", "soak_s"), "soak_s is not NAME=VALUE"),
        (("why", "nobody"), "there is no machine nobody"),
    ],
)
def test_words_that_name_nothing_are_answered_with_what_is_wrong(
    admin: Terminal, begun: str, words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in admin(*words, check=exit_codes.FAILED).err


def test_who_is_healthy_and_waits_for_a_restart_is_not_said_to_be_done(
    plane: Plane, admin: Terminal, machine: Machine, begun: str
) -> None:
    healthy = update(turns).where(turns.c.machine == machine.identifier).values(state="healthy")
    plane.control.database.write(lambda connection: connection.execute(healthy))
    assert "1 healthy, 0 failed" in admin("rollouts", "show", begun).out, "the control"
    assessed(machine, Assessment(True, ()))
    assert "1 healthy (1 wait for a restart), 0 failed" in admin("rollouts", "show", begun).out
    said = " ".join(admin("rollouts", "machines", begun, check=0).out.split())
    assert "waits for a restart" in said


def test_without_a_login_both_say_how_to_get_one(hotmend: Terminal, tmp_path: Path) -> None:
    for words in (("rollouts",), ("why", "m")):
        said = hotmend(*words)
        assert said.code and "hotmend login" in said.err
