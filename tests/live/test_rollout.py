"""A rollout as a fleet sees it: three regions, machines that are there and many that are not, one
signed release, watched to its end, and proven from the audit log by a script of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client.conftest import Terminal
from hotmend.cli import exit_codes
from hotmend.demo.control_plane import ControlPlane, Rest
from hotmend.demo.server import CRAFTED, SECRET, free_port
from hotmend.demo.story import folder_for_all
from hotmend.demo.traffic import Connection
from live.apart import Apart
from live.vendor import Vendor, serve
from live.windows import open_now

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="an agent is root"),
    pytest.mark.skipif(
        "HOTMEND_FULL" not in os.environ, reason="takes two minutes: scripts/test --full"
    ),
]
CHECK = Path(__file__).parents[2] / "scripts" / "check-rollout"
REGIONS = ("westeurope", "northeurope", "eastus")
SIMULATED = 300 if os.environ.get("HOTMEND_DRILL") == "large" else 30
SETTINGS = {"soak_s": 5, "signal_max_age_s": 10, "canary_bake_s": 0, "least_most": 100}
PATIENCE_S = 1800 if os.environ.get("HOTMEND_DRILL") == "large" else 300


@dataclass
class Fleet:
    plane: ControlPlane
    rest: Rest
    hotmend: Terminal
    machines: dict[str, Apart]

    def listed(self) -> list[dict[str, Any]]:
        place = f"/subscriptions/{self.plane.subscription}/providers/Hotmend.Fleet/machines"
        found: list[dict[str, Any]] = self.rest.get(place)["value"]
        return found


@pytest.fixture
def fleet(unpacked: Callable[[str], Path], vendor: Vendor) -> Iterator[Fleet]:
    # Not pytest's folder: another session that begins shuts it to nginx's workers.
    program = unpacked("nginx") / "usr/sbin/nginx"
    with folder_for_all(False) as folder, _fleet(folder, program, vendor) as made:
        yield made


@contextmanager
def _fleet(folder: Path, program: Path, vendor: Vendor) -> Iterator[Fleet]:
    plane = ControlPlane(folder, free_port())
    with ExitStack() as ends:
        ends.callback(plane.stop)
        plane.start()
        (folder / "terminal").mkdir()
        hotmend = Terminal(folder / "terminal", {"HOTMEND_SECRET": plane.secret})
        hotmend("login", plane.base, "--ca", plane.authority, "--client", plane.client, check=0)
        machines: dict[str, Apart] = {}
        made = Fleet(plane, Rest(plane), hotmend, machines)
        serve(vendor.begun, plane)
        for number, region in enumerate(REGIONS):
            name = f"real-{number + 1}"
            machines[name] = Apart(
                folder / name,
                name=name,
                server=plane.base,
                ca=str(plane.authority),
                root=str(vendor.root),
                code=plane.code(name, region),
                program=str(program),
            )
            ends.callback(machines[name].stop)
        ends.enter_context(_simulated(hotmend))
        yield made


def test_a_release_goes_to_three_regions_and_its_log_proves_how(
    fleet: Fleet, vendor: Vendor
) -> None:
    everybody = SIMULATED + len(fleet.machines)
    _eventually(lambda: len(fleet.listed()) == everybody)
    for machine in fleet.machines.values():
        assert machine.look().applied == {}
        assert _answer(machine) == (200, SECRET)
    settings = open_now() | SETTINGS
    words = [f"--set={name}={json.dumps(value)}" for name, value in settings.items()]
    fleet.hotmend("rollouts", "settings", *words, check=0)
    began = time.monotonic()
    serve(vendor.released, fleet.plane)
    _eventually(lambda: fleet.hotmend("rollouts", check=0).out.count("2026-11") > 0)
    watched = _watch(fleet)
    print(watched, f"{time.monotonic() - began:.0f} s", sep="\n")
    assert watched.splitlines()[-1].startswith("✓ finished"), watched
    assert f"{everybody} healthy, 0 failed" in watched.splitlines()[-1]
    for machine in fleet.machines.values():
        after = machine.look()
        assert after.processes == machine.first.processes, "no process was restarted"
        assert after.applied == {pid: 1 for pid, _ in after.processes}, machine.log.read_text()
        assert _answer(machine)[0] == 404
    _proven(fleet, everybody)


def _proven(fleet: Fleet, everybody: int) -> None:
    """By the script; and one entry less, and it proves nothing any more."""
    log = fleet.hotmend("audit", "export", check=0).out
    proof = _check(log)
    print(proof.stdout)
    assert proof.returncode == 0, proof
    assert f"{everybody} healthy, 0 failures, 0 in flight" in proof.stdout
    entries = [json.loads(line) for line in log.splitlines()]
    started = [t for e in entries if e["what"] == "turns started" for t in e["details"]["turns"]]
    assert len(started) == len({turn["machine"] for turn in started}) == everybody
    assert {turn["region"] for turn in started} == set(REGIONS)
    # Later than the first, whose place in the log nothing before it tells.
    middle = len(entries) // 2
    less = [line for number, line in enumerate(log.splitlines()) if number != middle]
    assert _check("\n".join(less)).stdout.splitlines()[-1].startswith(f"line {middle + 1}: chain")


def _watch(fleet: Fleet) -> str:
    words = ["rollouts", "watch", "2026-11", "--seconds", str(PATIENCE_S)]
    done = subprocess.run(
        [sys.executable, "-m", "hotmend.cli.main", *words],
        env=os.environ | {"HOTMEND_LOGIN": str(fleet.hotmend.login)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == exit_codes.DONE, done
    return done.stdout


def _check(log: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CHECK, "-"], input=log, capture_output=True, text=True)


def _simulated(hotmend: Terminal) -> Any:
    words = ["--machines", SIMULATED, "--in-sets", 0.8, "--set-size", 2, "--seed", 1]
    words += ["--install-s", 0.3, "--health-s", 2]
    for region in REGIONS:
        words += ["--region", region]
    return _Ended(
        subprocess.Popen(
            [sys.executable, "-m", "hotmend.cli.main", "simulate", *map(str, words)],
            env=os.environ | {"HOTMEND_LOGIN": str(hotmend.login)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    )


class _Ended:
    """A process that ends with what is done beside it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def _answer(machine: Apart) -> tuple[int, bytes]:
    connection = Connection(machine.first.port)
    status, body, _ = connection.get(CRAFTED)
    connection.close()
    return status, body


def _eventually(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.3)
