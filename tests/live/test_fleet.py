"""A fleet of one: a real server, this machine's own agent, a real nginx, a signed release."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hotmend.demo.command import Hotmend
from hotmend.demo.control_plane import ControlPlane, EnrolledAgent, Rest
from hotmend.demo.server import Server, free_port
from hotmend.surgery.ledger import Ledger, State
from live.vendor import Vendor, serve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an agent is root")
LIVE = "nginx=1.22.1-9+deb12u11+hotpatch"
SETTINGS = """
verify_every_s = 10
health_every_s = 5
[[probe]]
name = "always well"
command = ["/bin/true"]
[[probe]]
name = "always ill"
command = ["/bin/false"]
"""
_KILLS = 60 if os.environ.get("HOTMEND_FULL") else 4
ONLY_LIVE = {
    "maximumDuration": "PT1H",
    "rebootSetting": "Never",
    "linuxParameters": {"packageNameMasksToInclude": ["nginx*hotpatch"]},
}


@dataclass
class Fleet:
    plane: ControlPlane
    agent: EnrolledAgent
    rest: Rest

    def available(self) -> list[str]:
        result = self.rest.act(self.plane.path("here", "/assessPatches"))
        assert result["status"] == "Succeeded", result
        return [patch["name"] for patch in result["availablePatches"]]

    def install(self) -> dict[str, Any]:
        done: dict[str, Any] = self.rest.act(self.plane.path("here", "/installPatches"), ONLY_LIVE)
        return done

    def history(self) -> list[dict[str, Any]]:
        path = self.plane.path("here", "/history", "Hotmend.Fleet")
        runs: list[dict[str, Any]] = self.rest.get(path)["value"]
        return [run for run in runs if run["operation"] == "install"]

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = self.rest.get(self.plane.path("here", "/health", "Hotmend.Fleet"))
        return found

    def hotmend(self, *words: str) -> list[dict[str, Any]]:
        """The command on the agent's own ledger; its outcomes."""
        done = Hotmend(self.agent.folder / "state").run(*words)
        outcomes: list[dict[str, Any]] = done.data["outcomes"]
        return outcomes

    def standing(self) -> dict[str, Any]:
        path = self.plane.path("here", "/patches", "Hotmend.Fleet")
        found: dict[str, Any] = self.rest.get(path)
        return found


@pytest.fixture(scope="module")
def fleet(vendor: Vendor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    plane = ControlPlane(folder, free_port())
    agent = EnrolledAgent(folder, plane, vendor.root)
    plane.start()
    try:
        serve(vendor.released, plane)
        agent.enrol("here")
        agent.settings.write_text(SETTINGS)
        agent.start()
        yield Fleet(plane, agent, Rest(plane))
    finally:
        agent.stop()
        plane.stop()


@pytest.fixture
def nginx(unpacked: Any, tmp_path: Path) -> Iterator[Server]:
    tree = unpacked("nginx")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith(("pytest", "popen")):
            folder.chmod(0o755)
    server = Server(tree / "usr/sbin/nginx", tmp_path)
    yield server
    server.stop()


def test_a_running_server_is_assessed_and_hotpatched_over_the_api(
    fleet: Fleet, nginx: Server
) -> None:
    before = nginx.processes()
    title = "nginx 1.22.1-9+deb12u11 into running processes"
    assert title in fleet.available()
    done = fleet.install()
    assert (done["status"], done["installedPatchCount"]) == ("Succeeded", 1)
    assert nginx.processes() == before, "no process was restarted"
    newest = fleet.history()[0]
    patch = next(p for p in newest["patches"] if p["article"] == LIVE)
    outcomes = {p["pid"]: p["outcome"] for p in patch["processes"]}
    assert {process.pid: outcomes[process.pid] for process in before} == {
        process.pid: "applied" for process in before
    }
    assert title not in fleet.available()
    assert LIVE in fleet.standing()["installed"]
    # A server that starts later with the old build gets it from the agent, unasked.
    folder = nginx.folder / "later"
    folder.mkdir(mode=0o755)
    later = Server(nginx.program, folder)
    try:
        pids = {process.pid for process in later.processes()}
        assert _eventually(lambda: pids <= _patched(fleet)), fleet.agent.log.read_text()
    finally:
        later.stop()


def test_a_patched_process_that_crashes_is_told_with_its_signal(
    fleet: Fleet, nginx: Server
) -> None:
    pids = {process.pid for process in nginx.processes()}
    _hotpatched(fleet, pids)
    assert _eventually(lambda: fleet.health().get("memoryVerified") is not None)
    victim = nginx.processes()[1].pid
    os.kill(victim, signal.SIGSEGV)
    assert _eventually(lambda: victim in _endings(fleet)), fleet.health()
    assert _endings(fleet)[victim] == ("crashed", signal.SIGSEGV)
    assert not (pids - {victim}) & set(_endings(fleet)), "the others live"


def test_memory_that_somebody_changed_is_told(fleet: Fleet, nginx: Server) -> None:
    pids = {process.pid for process in nginx.processes()}
    _hotpatched(fleet, pids)
    victim = nginx.processes()[1].pid
    assert _eventually(lambda: fleet.health().get("processesIntact", 0) >= len(pids))
    assert victim not in _drifted(fleet)
    known, _ = Ledger(fleet.agent.folder / "state").entries()
    entry = next(e for e in known if e.identity.pid == victim and e.state is State.APPLIED)
    write = entry.images[0].writes[-1]
    with Path(f"/proc/{victim}/mem").open("r+b", buffering=0) as memory:
        memory.seek(write.address)
        memory.write(write.before)
    assert _eventually(lambda: victim in _drifted(fleet)), fleet.health()
    assert _drifted(fleet)[victim].startswith("bytes-differ")


def test_a_probe_of_the_owners_is_told(fleet: Fleet, nginx: Server) -> None:
    assert _eventually(lambda: len(fleet.health().get("probes", [])) == 2), fleet.health()
    told = {probe["name"]: probe for probe in fleet.health()["probes"]}
    assert told["always well"]["healthy"] and not told["always ill"]["healthy"]
    assert told["always ill"]["because"] == "/bin/false ended with 1"


def test_a_machine_works_while_its_control_plane_is_away(fleet: Fleet, nginx: Server) -> None:
    """Processes that start meanwhile are hotpatched, and nothing of it is lost."""
    path = fleet.plane.path("here", "/installPatches")
    began = fleet.rest.begin(path, ONLY_LIVE)
    fleet.plane.stop(signal.SIGKILL)
    folder = nginx.folder / "later"
    folder.mkdir(mode=0o755)
    later = Server(nginx.program, folder)
    try:
        pids = {process.pid for process in later.processes()}
        assert _eventually(lambda: pids <= _patched(fleet)), fleet.agent.log.read_text()
        victim = later.processes()[1].pid
        os.kill(victim, signal.SIGABRT)
        time.sleep(5)
    finally:
        later.stop()
        fleet.plane.start()
    assert fleet.rest.result(began)["status"] == "Succeeded"
    assert _eventually(lambda: victim in _endings(fleet))
    assert _endings(fleet)[victim] == ("crashed", signal.SIGABRT)


def test_an_agent_killed_at_any_moment_ends_an_installation_once(
    fleet: Fleet, nginx: Server
) -> None:
    """Killed with SIGKILL at moments from the order's arrival to its end; in a full run at many.
    Its own processes only: the targets must not notice."""
    before = nginx.processes()
    pids = {process.pid for process in before}
    _hotpatched(fleet, pids)
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    lasts, unfinished = _an_installation(fleet, pids), 0
    for kill in range(_KILLS):
        taken = fleet.hotmend("revert", *_of(pids))
        assert [o["outcome"] for o in taken] == ["reverted"] * len(pids)
        number = len(fleet.history())
        began = fleet.rest.begin(fleet.plane.path("here", "/installPatches"), ONLY_LIVE)
        moment = (kill + chance.random()) / _KILLS * lasts
        time.sleep(moment)
        fleet.agent.stop(signal.SIGKILL)
        unfinished += fleet.rest.get(began.status)["status"] == "InProgress"
        fleet.agent.start()
        done = fleet.rest.result(began)
        assert done["status"] == "Succeeded", (moment, done)
        assert len(fleet.history()) == number + 1, f"after {moment:.3f} s: lost, or done twice"
        assert _entries(fleet, pids) == dict.fromkeys(pids, 1), f"killed after {moment:.3f} s"
    print(f"{_KILLS} kills in {lasts:.2f} s, {unfinished} before the end of the order")
    assert unfinished >= _KILLS // 3, "most hit the order in its course"
    assert nginx.processes() == before


@pytest.mark.skipif(not os.environ.get("HOTMEND_FULL"), reason="the tests above do the same")
def test_the_demonstration_runs() -> None:
    words = [sys.executable, "-m", "hotmend.cli.main", "demo", "--fleet", "--plain"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout and "the same processes" in done.stdout


def test_what_the_server_orders_beyond_the_signed_repository_does_not_happen(
    fleet: Fleet, nginx: Server
) -> None:
    """The control plane serves another file in the place of a signed one."""
    targets = fleet.plane.data / "repository" / "targets"
    found = next(targets.glob("*.hotpatch"))
    good = found.read_bytes()
    for cached in (fleet.agent.folder / "agent" / "downloads").glob("*.hotpatch"):
        cached.unlink()
    found.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    try:
        result = fleet.rest.act(fleet.plane.path("here", "/assessPatches"))
        assert result["status"] == "CompletedWithWarnings", result
        assert "cannot be trusted" in result["error"]["message"]
        assert not [p for p in result["availablePatches"] if "running processes" in p["name"]]
    finally:
        found.write_bytes(good)
    result = fleet.rest.act(fleet.plane.path("here", "/assessPatches"))
    assert result["status"] == "Succeeded"


def _hotpatched(fleet: Fleet, pids: set[int]) -> None:
    """By an order, unless the watch did it already."""
    assert fleet.install()["status"] == "Succeeded"
    assert _eventually(lambda: pids <= _patched(fleet))


def _an_installation(fleet: Fleet, pids: set[int]) -> float:
    """How long one lasts here that nobody disturbs, seconds."""
    fleet.hotmend("revert", *_of(pids))
    began = time.monotonic()
    fleet.install()
    return time.monotonic() - began


def _endings(fleet: Fleet) -> dict[int, tuple[str, int]]:
    ended = fleet.health().get("processesEnded", [])
    return {one["pid"]: (one["ending"], one["number"]) for one in ended}


def _drifted(fleet: Fleet) -> dict[int, str]:
    found = fleet.health().get("processesDrifted", [])
    return {one["pid"]: one["because"] for one in found}


def _of(pids: set[int]) -> list[str]:
    return [word for pid in sorted(pids) for word in ("--pid", str(pid))]


def _patched(fleet: Fleet) -> set[int]:
    return set(_entries(fleet, None))


def _entries(fleet: Fleet, pids: set[int] | None) -> dict[int, int]:
    """How many hotpatches the ledger has as applied to each process."""
    known, damaged = Ledger(fleet.agent.folder / "state").entries()
    assert not damaged
    counts: dict[int, int] = {}
    for entry in known:
        if entry.state is State.APPLIED and (pids is None or entry.identity.pid in pids):
            counts[entry.identity.pid] = counts.get(entry.identity.pid, 0) + 1
    return counts


def _eventually(condition: Any, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
