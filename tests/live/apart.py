"""A machine apart: its own process ids, mounts, host name and root, an old nginx and an agent.

What is on the disk of the machine that runs the tests is below its root, read-only; what it writes
is gone with it. It has no package manager, so that nothing but processes can be patched. The
network is shared: each has a port of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotmend.demo.publisher import run
from hotmend.demo.server import Server
from hotmend.surgery.ledger import Ledger, State

_NAMESPACES = ("unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child")
_MANAGERS = ("dpkg-query", "dpkg", "apt-get")
_SETTINGS = """
verify_every_s = 10
health_every_s = 5
[[probe]]
name = "nginx answers"
http = "{url}"
every_s = 2
"""


@dataclass(frozen=True)
class Look:
    """``processes``: (pid, start time) of its nginx, as the machine itself sees them; ``applied``:
    how many hotpatches its agent's ledger has in each; ``port``: of its nginx."""

    processes: frozenset[tuple[int, int]]
    applied: dict[int, int]
    port: int


class Apart:
    """``words``: name, server, ca, root, code, program; ``folder``: shared with the machine."""

    def __init__(self, folder: Path, **words: str) -> None:
        folder.mkdir(mode=0o755)
        self.log = folder / "agent.log"
        order = json.dumps({"folder": str(folder), **words})
        self._process = subprocess.Popen(
            [*_NAMESPACES, sys.executable, __file__, order],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self._answer()

    def look(self) -> Look:
        assert self._process.stdin is not None
        self._process.stdin.write("look\n")
        self._process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """With its first process all others in it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _answer(self) -> Look:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the machine did not come up"
        said: dict[str, Any] = json.loads(line)
        applied = {int(pid): count for pid, count in said["applied"].items()}
        return Look(frozenset(map(tuple, said["processes"])), applied, said["port"])


def _inside(words: dict[str, str]) -> None:
    folder = Path(words["folder"])
    _own_root(folder)
    subprocess.run(["hostname", words["name"]], check=True)
    site = folder / "site"
    site.mkdir(mode=0o755)
    nginx = Server(Path(words["program"]), site)
    environment = os.environ | {"HOTMEND_STATE": str(folder / "state")}
    agent, settings = folder / "agent", folder / "agent.toml"
    settings.write_text(_SETTINGS.format(url=nginx.url))
    trusted = ("--ca", words["ca"], "--root", words["root"])
    run("enroll", words["server"], *trusted, "--code", words["code"], "--folder", str(agent))
    with (folder / "agent.log").open("wb") as output:
        command = [sys.executable, "-m", "hotmend.cli.main", "agent", "--no-restart"]
        subprocess.Popen(
            [*command, "--folder", str(agent), "--settings", str(settings)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    _say(nginx, folder / "state")
    for _ in sys.stdin:
        _say(nginx, folder / "state")


def _say(nginx: Server, state: Path) -> None:
    known, damaged = Ledger(state).entries()
    assert not damaged
    applied = Counter(e.identity.pid for e in known if e.state is State.APPLIED)
    processes = [(p.pid, p.start_time) for p in nginx.processes()]
    print(json.dumps({"processes": processes, "applied": applied, "port": nginx.port}), flush=True)


def _own_root(folder: Path) -> None:
    """What is written goes to memory. ``folder`` alone is the same inside and outside."""
    place = folder / "root"
    place.mkdir()
    _mount("-t", "tmpfs", "own", place)
    upper, work, root = (place / name for name in ("upper", "work", "root"))
    for made in (upper, work, root):
        made.mkdir(mode=0o755)
    _mount("-t", "overlay", "own", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", root)
    _mount("-t", "proc", "proc", root / "proc")
    _mount("--rbind", "/dev", root / "dev")
    _mount("--bind", folder, root / folder.relative_to("/"))
    for manager in _MANAGERS:
        (root / "usr/bin" / manager).unlink(missing_ok=True)
    os.chroot(root)
    os.chdir("/")


def _mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


if __name__ == "__main__":
    _inside(json.loads(sys.argv[1]))
