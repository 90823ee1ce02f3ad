"""A hotpatch after which a machine is ill, and its rollout takes it back: a real server, this
machine's own agent and nginx, and a probe of its owner that wants what the fix has changed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.conftest import Terminal
from hotmend.demo.control_plane import ControlPlane, EnrolledAgent, Rest
from hotmend.demo.server import CRAFTED, SECRET, Server, free_port
from hotmend.demo.story import folder_for_all
from hotmend.demo.traffic import Connection
from hotmend.surgery.ledger import Ledger, State
from live.vendor import Vendor, serve
from live.windows import open_now

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an agent is root")
LIVE = "nginx=1.22.1-9+deb12u11+hotpatch"


def test_a_halted_rollout_takes_its_hotpatch_out_of_running_processes(
    unpacked: Callable[[str], Path], vendor: Vendor
) -> None:
    with folder_for_all(False) as folder:
        nginx = Server(unpacked("nginx") / "usr/sbin/nginx", _made(folder / "nginx"))
        plane = ControlPlane(folder, free_port())
        # No package manager is found: this machine's own packages stay as they are.
        agent = EnrolledAgent(folder, plane, vendor.root, {"PATH": str(_made(folder / "nothing"))})
        try:
            plane.start()
            serve(vendor.begun, plane)
            agent.enrol("here")
            agent.settings.write_text(
                f'verify_every_s = 10\nhealth_every_s = 5\n[[probe]]\nname = "the old file"\n'
                f'http = "http://127.0.0.1:{nginx.port}{CRAFTED}"\nevery_s = 1\n'
            )
            agent.start()
            _halted(folder, plane, agent, vendor, nginx)
        finally:
            agent.stop()
            plane.stop()
            nginx.stop()


def _halted(
    folder: Path, plane: ControlPlane, agent: EnrolledAgent, vendor: Vendor, nginx: Server
) -> None:
    before = nginx.processes()
    pids = {process.pid for process in before}
    rest = Rest(plane)
    hotmend = Terminal(_made(folder / "terminal"), {"HOTMEND_SECRET": plane.secret})
    hotmend("login", plane.base, "--ca", plane.authority, "--client", plane.client, check=0)
    _eventually(lambda: _probe(plane, rest).get("healthy") is True, agent)
    # One ill machine halts, and what it got is taken back.
    settings = open_now() | {
        "soak_s": 20,
        "signal_max_age_s": 20,
        "least_failures": 0,
        "failure_share": 0,
        "revert_on_halt": True,
    }
    words = [f"--set={name}={json.dumps(value)}" for name, value in settings.items()]
    hotmend("rollouts", "settings", *words, check=0)
    serve(vendor.released, plane)
    seen: dict[str, float] = {}
    deadline = time.monotonic() + 120

    def in_force() -> None:
        """In a thread of its own: it does not last, and asking for the rollouts takes long."""
        while "fixed" not in seen and time.monotonic() < deadline:
            if _answer(nginx)[0] == 404 and pids <= _applied(agent):
                seen["fixed"] = time.monotonic()
            time.sleep(0.05)

    threading.Thread(target=in_force, daemon=True).start()
    while "halted" not in seen or _applied(agent) & pids or _answer(nginx) != (200, SECRET):
        if "halted" in hotmend("rollouts", check=0).out:
            seen.setdefault("halted", time.monotonic())
        assert time.monotonic() < deadline, (seen, agent.log.read_text()[-2000:])
        time.sleep(0.05)
    assert seen["fixed"] < seen["halted"], "it was in force"
    assert nginx.processes() == before, "no process was restarted"
    # It is there as soon as it has begun, and says what it did when it has ended.
    _eventually(lambda: any("patches" in run for run in _runs(plane, rest, "revert")), agent)
    (reverted,) = _runs(plane, rest, "revert")
    (patch,) = [patch for patch in reverted["patches"] if patch["article"] == LIVE]
    outcomes = {p["pid"]: p["outcome"] for p in patch["processes"]}
    assert {pid: outcomes[pid] for pid in pids} == dict.fromkeys(pids, "reverted")
    _eventually(lambda: _probe(plane, rest).get("healthy") is True, agent)
    print(f"reverted {time.monotonic() - seen['fixed']:.1f} s after it was seen in force")


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    return folder


def _answer(nginx: Server) -> tuple[int, bytes]:
    connection = Connection(nginx.port)
    status, body, _ = connection.get(CRAFTED)
    connection.close()
    return status, body


def _applied(agent: EnrolledAgent) -> set[int]:
    known, _ = Ledger(agent.folder / "state").entries()
    return {entry.identity.pid for entry in known if entry.state is State.APPLIED}


def _probe(plane: ControlPlane, rest: Rest) -> dict[str, Any]:
    health = rest.get(plane.path("here", "/health", "Hotmend.Fleet"))
    return next(iter(health.get("probes") or []), {})


def _runs(plane: ControlPlane, rest: Rest, kind: str) -> list[dict[str, Any]]:
    runs = rest.get(plane.path("here", "/history", "Hotmend.Fleet"))["value"]
    return [run for run in runs if run["operation"] == kind]


def _eventually(condition: Callable[[], bool], agent: EnrolledAgent) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, agent.log.read_text()[-2000:]
        time.sleep(0.2)
