"""A simulated fleet on a real control plane, over TLS, driven by the commands for a fleet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from client.conftest import Terminal
from hotmend.cli import exit_codes
from server.conftest import Plane, serving

LIVE = "simulated-lib=1-2+hotpatch"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with serving(tmp_path_factory.mktemp("plane")) as made:
        yield made


@pytest.fixture(scope="module")
def hotmend(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    terminal = Terminal(tmp_path_factory.mktemp("terminal"))
    terminal.environment["HOTMEND_SECRET"] = plane.secret
    terminal("login", plane.base, "--ca", plane.authority, "--client", plane.client, check=0)
    return terminal


@contextmanager
def simulating(hotmend: Terminal, *words: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "hotmend.cli.main", "simulate", *map(str, words), "--json"],
        env=os.environ | {"HOTMEND_LOGIN": str(hotmend.login)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_interruptible,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _interruptible() -> None:
    """Whoever runs the tests in the background of a shell has SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.2)


def listed(plane: Plane, group: str) -> list[dict[str, object]]:
    path = f"/subscriptions/{plane.subscription}/providers/Hotmend.Fleet/machines"
    found = plane.call("GET", path).body["value"]
    return [m for m in found if f"/resourcegroups/{group}/" in m["id"]]


def assessed(plane: Plane, group: str, number: int) -> Callable[[], bool]:
    return lambda: sum(m["assessed"] is not None for m in listed(plane, group)) == number


def test_a_fleet_enrols_marked_simulated_and_takes_orders(plane: Plane, hotmend: Terminal) -> None:
    with simulating(hotmend, "--machines", 40, "--seed", 1, "--install-s", 0.2) as process:
        eventually(assessed(plane, "simulated", 40))
        machines = listed(plane, "simulated")
        assert all(m["simulated"] is True for m in machines)
        assert all(m["criticalAndSecurityPatchCount"] == 2 for m in machines)
        rows = hotmend("machines", check=0).out
        assert rows.count("(simulated)") == 40
        one = "simulated/simulated-00001"
        assert LIVE in hotmend("patches", one, check=exit_codes.SECURITY_UPDATES).out
        said = json.loads(hotmend("install", one, "--json", check=exit_codes.DONE).out)
        patches = said["installations"][0]["run"]["patches"]
        assert {p["article"]: p["state"] for p in patches}[LIVE] == "Installed"
        eventually(lambda: LIVE not in hotmend("patches", one).out)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        tally = json.loads(out)
    assert tally["simulated"] is True and tally["enrolled"] == 40 and tally["orders"] == 1


def test_its_shape_is_on_the_server_as_any_machines(plane: Plane, hotmend: Terminal) -> None:
    words = ("--machines", 12, "--group", "shape", "--in-sets", 0.5, "--tag", "tier=web")
    with simulating(hotmend, *words, "--seed", 3):
        eventually(assessed(plane, "shape", 12))
    path = "resourceGroups/shape/providers/Microsoft.Compute"
    made = plane.call("GET", f"{path}/virtualMachines").body["value"]
    assert {m["location"] for m in made} == {"westeurope", "northeurope", "eastus"}
    sets = {s["id"] for s in plane.call("GET", f"{path}/availabilitySets").body["value"]}
    assert sets
    for machine in made:
        assert machine["tags"] == {"tier": "web", "simulated": "true"}
        in_set = machine["properties"].get("availabilitySet")
        assert (in_set is None) == ("zones" in machine)
        assert in_set is None or in_set["id"] in sets
        view = plane.call("GET", f"{machine['id']}/instanceView").body
        assert view["osName"].endswith("(simulated)")


def test_codes_of_the_server_are_enough_and_each_is_good_once(plane: Plane, tmp_path: Path) -> None:
    """Nobody is logged in; the server's own command makes the codes."""
    nobody = Terminal(tmp_path)
    words = [sys.executable, "-m", "hotmend.cli.main", "server"]
    words += ["--data", str(plane.control.folder.path), "--name", "localhost"]
    words += ["code", "one", "two", "--group", "coded", "--location", "eastus"]
    codes = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    assert len(codes) == len(set(codes)) == 2
    file = tmp_path / "codes"
    file.write_text(
        "".join(f"{n} eastus {c}\n" for n, c in zip(("one", "two"), codes, strict=True))
    )
    given = ("--codes", file, "--url", plane.base, "--ca", plane.authority)
    with simulating(nobody, *given):
        eventually(assessed(plane, "coded", 2))
    found = listed(plane, "coded")
    assert {m["name"] for m in found} == {"one", "two"}
    assert all(m["simulated"] is True for m in found)
    with simulating(nobody, *given, "--for", 60) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == exit_codes.FAILED and "was used" in said
    file.write_text("one eastus\n")
    with simulating(nobody, *given) as process:
        assert "NAME REGION CODE" in process.communicate(timeout=60)[1]


def test_failures_come_at_their_rate(plane: Plane, hotmend: Terminal) -> None:
    words = ("--machines", 2, "--group", "failing", "--fails", 1, "--install-s", 0.1)
    with simulating(hotmend, *words):
        eventually(assessed(plane, "failing", 2))
        said = hotmend("install", "failing/simulated-00001", check=exit_codes.FAILED)
        assert "told to fail" in said.out


def test_a_machine_that_is_off_is_silent_and_carries_on_when_it_is_on(
    plane: Plane, hotmend: Terminal
) -> None:
    words = ("--machines", 4, "--group", "resting", "--off", 0.5, "--off-period-s", 4)
    with simulating(hotmend, *words, "--seed", 2, "--install-s", 0.1):
        eventually(assessed(plane, "resting", 4))
        names = [f"resting/simulated-{n + 1:05}" for n in range(4)]
        hotmend("install", *names, "--wait", 30, check=exit_codes.DONE)


def test_bad_words_and_no_login(hotmend: Terminal, tmp_path: Path) -> None:
    hotmend("simulate", "--tag", "web", check=exit_codes.USAGE)
    hotmend("simulate", "--machines", 0, check=exit_codes.USAGE)
    Terminal(tmp_path)("simulate", "--machines", 1, check=exit_codes.NOT_PERMITTED)
