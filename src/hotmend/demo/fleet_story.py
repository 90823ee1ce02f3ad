"""A fleet of one, step by step: a vendor's signed release, a control plane, this very machine.

Everything is done as the operator of a fleet does it, through the REST API that Azure's clients
speak. A step that does not end as it should raises DemoError.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hotmend
from hotmend import pairs
from hotmend.demo.control_plane import ControlPlane, EnrolledAgent, Rest
from hotmend.demo.errors import DemoError
from hotmend.demo.flaw import ADVISORY, look
from hotmend.demo.publisher import Publisher
from hotmend.demo.screen import Screen
from hotmend.demo.server import Server, ServerProcess, free_port
from hotmend.demo.story import folder_for_all, no_harm, unpacked
from hotmend.demo.traffic import Traffic

_PROGRAM = "usr/sbin/nginx"
_PROOFS = Path(hotmend.__file__).parents[2] / "proofs"
_MACHINE = "this-machine"
_MONTH = "2026-11"
_ONLY_HOTPATCHES = {
    "maximumDuration": "PT1H",
    "rebootSetting": "Never",
    "linuxParameters": {"packageNameMasksToInclude": ["nginx*hotpatch"]},
}


@dataclass(frozen=True)
class _Scene:
    """Everything that the steps work on."""

    screen: Screen
    plane: ControlPlane
    rest: Rest
    server: Server
    traffic: Traffic
    before: list[ServerProcess]

    def ask(self, action: str, body: Any = None) -> Any:
        """POST to this machine's resource, and what came of it."""
        self.screen.command(f"POST …/virtualMachines/{_MACHINE}/{action}")
        return self.rest.act(self.plane.path(_MACHINE, f"/{action}"), body)

    def read(self, what: str) -> Any:
        self.screen.command(f"GET …/machines/{_MACHINE}/{what}")
        return self.rest.get(self.plane.path(_MACHINE, f"/{what}", "Hotmend.Fleet"))


def tell(screen: Screen) -> None:
    """Run all of it. Raises DemoError; leaves nothing behind."""
    pair = pairs.PAIRS["nginx"]
    screen.title("Hotmend: this machine in a fleet, hotpatched through Azure's REST API")
    with folder_for_all(False) as folder:
        screen.step("A vendor publishes the month's release, signed by two")
        tree = unpacked(pair.old, folder / "old")
        publisher = published(screen, folder, pair)
        screen.step("One command starts the control plane, one enrols this machine")
        plane = ControlPlane(folder, free_port())
        agent = EnrolledAgent(folder, plane, publisher.root)
        try:
            _begin(screen, plane, agent, publisher)
            server = Server(tree / _PROGRAM, folder)
            try:
                with Traffic(server.port) as traffic:
                    scene = _Scene(screen, plane, Rest(plane), server, traffic, server.processes())
                    _play(scene)
            finally:
                server.stop()
        finally:
            agent.stop()
            plane.stop()


def published(screen: Screen, folder: Path, pair: pairs.Pair) -> Publisher:
    """A vendor below ``folder``, with a release of ``pair``. Raises DemoError."""
    publisher = Publisher(folder / "vendor")
    publisher.begin()
    try:
        packages = [(pairs.find(pair.old), pairs.find(pair.new))]
    except pairs.PackageMissing as error:
        raise DemoError(str(error)) from None
    with screen.busy("planning, proving, signing"):
        publisher.release(_MONTH, packages, _PROOFS, "HTTP/2 needs a restart")
    screen.good(f"nginx {pair.old.version} → {pair.new.version}, with a hotpatch that was proven")
    return publisher


def _begin(screen: Screen, plane: ControlPlane, agent: EnrolledAgent, publisher: Publisher) -> None:
    screen.command("hotmend server")
    plane.start()
    shutil.copytree(publisher.repository, plane.data / "repository")
    screen.good(f"{plane.base}: its own authority, TLS, SQLite; no configuration")
    screen.command(f"hotmend enroll {plane.base} --code … --root root.json && hotmend agent")
    agent.enrol(_MACHINE)
    agent.start()
    screen.good(f"{_MACHINE} has a certificate of its own, and the vendor's root to check by")


def _play(scene: _Scene) -> None:
    screen = scene.screen
    screen.step(f"An outdated nginx serves visitors, with {ADVISORY}")
    screen.good(", ".join(f"{process.role} {process.pid}" for process in scene.before))
    look(screen, scene.server, scene.before, flawed=True)
    screen.step("What could be installed?")
    _assess(scene)
    screen.step("Install the hotpatches")
    _install(scene)
    look(screen, scene.server, scene.before, flawed=False)
    screen.step("What is installed now?")
    _listing(scene)
    screen.step("How is the machine?")
    _health(scene)
    screen.step("What did it cost the visitors?")
    _same_processes(scene)
    screen.good("the same processes, by pid and start time")
    count = scene.traffic.count()
    no_harm(count)
    screen.good(f"{count.answered:,} requests answered, {count.failed} failed")
    screen.good(f"{count.open} of {count.held} keep-alive connections never broke")


def _assess(scene: _Scene) -> None:
    result = scene.ask("assessPatches")
    if result["status"] != "Succeeded":
        raise DemoError(f"the assessment ended as {result['status']}: {result.get('error')}")
    found = [p for p in scene.read("patches")["value"] if p["article"].startswith("nginx=")]
    pids = {process.pid for process in scene.before}
    for patch in found:
        outdated = f", for {len(patch['outdatedProcesses'])} processes" if patch["hotpatch"] else ""
        text = f"{patch['name']}  [{patch['classification']}] {patch['rebootBehavior']}{outdated}"
        scene.screen.good(text)
    if not any(pids <= set(patch["outdatedProcesses"]) for patch in found):
        raise DemoError(f"the processes {sorted(pids)} are not among those that need it: {found}")


def _install(scene: _Scene) -> None:
    result = scene.ask("installPatches", _ONLY_HOTPATCHES)
    if (result["status"], result["installedPatchCount"]) != ("Succeeded", 1):
        raise DemoError(f"the installation ended as {result}")
    _same_processes(scene)
    scene.screen.good(
        f"{result['status']}: {result['installedPatchCount']} installed, "
        f"{result['notSelectedPatchCount']} not selected, reboot {result['rebootStatus']}"
    )
    newest = next(run for run in scene.read("history")["value"] if run["operation"] == "install")
    for patch in newest["patches"]:
        for process in patch["processes"]:
            scene.screen.good(f"{process['command']} {process['pid']}  {process['outcome']}")


def _listing(scene: _Scene) -> None:
    """As Get-HotFix lists it: what, whose order, when."""
    rows = [
        (patch["classification"], patch["article"], run["startedBy"], run["ended"])
        for run in scene.read("history")["value"]
        if run["operation"] == "install"
        for patch in run["patches"]
        if patch["state"] == "Installed"
    ]
    if not rows:
        raise DemoError("the history has no installation")
    scene.screen.note(f"{'Description':12}{'HotFixID':34}{'InstalledBy':13}InstalledOn")
    for description, article, who, when in rows:
        scene.screen.good(f"{description:12}{article:34}{who:13}{when[:19]}")


def _health(scene: _Scene) -> None:
    health = scene.read("health")
    if not health["connected"] or health.get("processesDrifted") or health.get("processesEnded"):
        raise DemoError(f"the machine is not well: {health}")
    scene.screen.good(f"connected, last seen {health['lastSeen'][:19]}; no patched process ended")


def _same_processes(scene: _Scene) -> None:
    now = scene.server.processes()
    if now != scene.before:
        raise DemoError(f"the processes are not the same: {scene.before} became {now}")
