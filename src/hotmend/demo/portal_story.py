"""The portal, to look at and to use: this very machine with an outdated nginx, and beside it
simulated machines, which say that they are. It stays until Ctrl-C."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hotmend import pairs
from hotmend.demo.control_plane import ControlPlane, EnrolledAgent
from hotmend.demo.fleet_story import published
from hotmend.demo.screen import Screen
from hotmend.demo.server import Server, free_port
from hotmend.demo.story import folder_for_all, unpacked

MACHINE = "this-machine"
_PROGRAM = "usr/sbin/nginx"
_REGIONS = ("westeurope", "northeurope", "eastus")
_IN_EACH = 12
_PATIENCE_S = 30.0


def tell(screen: Screen) -> None:
    """Until somebody ends it. Raises DemoError; leaves nothing behind."""
    pair = pairs.PAIRS["nginx"]
    screen.title("Hotmend: the portal, with this machine in it and a simulated fleet beside it")
    with ExitStack() as ends:
        folder = ends.enter_context(folder_for_all(False))
        screen.step("A vendor publishes the month's release, signed by two")
        tree = unpacked(pair.old, folder / "old")
        publisher = published(screen, folder, pair)
        screen.step("A control plane, this machine with an outdated nginx, simulated machines")
        plane = ControlPlane(folder, free_port())
        plane.start(first_admin=True)
        ends.callback(plane.stop)
        shutil.copytree(publisher.repository, plane.data / "repository")
        server = Server(tree / _PROGRAM, folder)
        ends.callback(server.stop)
        agent = EnrolledAgent(folder, plane, publisher.root)
        ends.callback(agent.stop)
        agent.enrol(MACHINE)
        agent.start()
        running = ", ".join(f"{one.role} {one.pid}" for one in server.processes())
        screen.good(f"{MACHINE}: nginx {pair.old.version}, {running}")
        ends.enter_context(_simulated(folder, plane))
        screen.good(f"{_IN_EACH * len(_REGIONS)} simulated machines, marked as such everywhere")
        screen.step("Be its first admin, with a link that is good once")
        screen.good(plane.link)
        screen.note(f"its certificate is its own authority's: {plane.authority}")
        screen.note(f"then: Machines → {MACHINE} → Assess now → Install updates now")
        screen.note("Ctrl-C ends it, and takes everything away")
        _wait()


@contextmanager
def _simulated(folder: Path, plane: ControlPlane) -> Iterator[None]:
    lines = []
    for region in _REGIONS:
        names = [f"simulated-{region}-{number:02}" for number in range(1, _IN_EACH + 1)]
        codes = plane.codes(names, region, "simulated")
        lines += [f"{name} {region} {code}" for name, code in zip(names, codes, strict=True)]
    file = folder / "codes"
    file.touch(0o600)
    file.write_text("\n".join(lines))
    words = [sys.executable, "-m", "hotmend.cli.main", "simulate", "--codes", str(file)]
    words += ["--url", plane.base, "--ca", str(plane.authority)]
    with (folder / "simulated.log").open("wb") as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=_PATIENCE_S)


def _wait() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        return
