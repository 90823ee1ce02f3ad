"""The packages, as scripts/package builds them: a whole fleet of one in a clean Debian root, from
installing to purging. An old nginx runs in it all the time and is never restarted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from debian_root import DebianRoot, debian_root, needs_a_root
from hotmend import pairs
from hotmend.demo.publisher import Publisher
from real_packages import real

pytestmark = needs_a_root()
TOP = Path(__file__).parents[2]
OLD, NEW = pairs.PAIRS["nginx"].old, pairs.PAIRS["nginx"].new
ALLOWS = "#!/bin/sh\nexit 0\n"
BASE = "https://localhost:8443"
EVERYTHING = {
    "maximumDuration": "PT2H",
    "rebootSetting": "IfRequired",
    "linuxParameters": {"packageNameMasksToInclude": ["nginx*"]},
}
# Speaks to the control plane from within its network.
DRIVER = """
import json, sys
from pathlib import Path
from hotmend.demo.control_plane import ControlPlane, Rest
said, path, body = json.load(sys.stdin)
plane = ControlPlane(Path(said["folder"]), 8443)
plane.data = Path(said["data"])
plane.tenant, plane.client, plane.secret = said["tenant"], said["client"], said["secret"]
rest = Rest(plane)
json.dump(rest.act(path, body) if body is not None else rest.get(path), sys.stdout)
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """HOTMEND_PACKAGES: those that were built already."""
    folder = Path(os.environ.get("HOTMEND_PACKAGES") or tmp_path_factory.mktemp("packages"))
    if not list(folder.glob("*.deb")):
        subprocess.run([TOP / "scripts/package", folder], check=True, capture_output=True)
    found = sorted(folder.glob("hotmend-*.deb"))
    assert [file.name.partition("_")[0] for file in found] == ["hotmend-agent", "hotmend-server"]
    return found


@pytest.fixture
def root(tmp_path: Path) -> Iterator[DebianRoot]:
    names = ("nginx", "nginx-common")
    with debian_root(tmp_path, *(f"{n}={OLD.version}" for n in names), "python3") as made:
        wanted = [f"{name}={NEW.version}" for name in names]
        made.run("apt-get", "-qy", "install", "--download-only", *wanted, network=True)
        policy = made.path / "usr/sbin/policy-rc.d"
        policy.write_text(ALLOWS)
        policy.chmod(0o755)
        made.run("invoke-rc.d", "nginx", "start")
        yield made


def test_installed_used_and_purged(root: DebianRoot, packages: list[Path], tmp_path: Path) -> None:
    before = serving(root)
    assert len(before) >= 2
    clean = ours(root)
    for file in packages:
        shutil.copy2(file, root.path / "var/tmp")
        root.run("apt-get", "-qy", "install", f"/var/tmp/{file.name}", network=True)
        (root.path / "var/tmp" / file.name).unlink()
    assert root.run("hotmend", "policy", "show").startswith("assess_every_s  86400 s  built in")
    with background(root, "server", "hotmend-server", "--host", "127.0.0.1", "--name", "localhost"):
        said = introduced(root, tmp_path)
        vendor = Publisher(tmp_path / "vendor")
        vendor.begin()
        pair = [(real(OLD.file_name), real(NEW.file_name))]
        vendor.release("2026-11", pair, TOP / "proofs", "HTTP/2 needs a restart")
        repository = root.path / "var/lib/hotmend-server/repository"
        shutil.copytree(vendor.repository, repository)
        root.run("chown", "-R", "hotmend-server", "/var/lib/hotmend-server/repository")
        shutil.copy2(vendor.root, root.path / "root/root.json")
        code = root.run("hotmend-server", "--name", "localhost", "code", "here").strip()
        ca = "/var/lib/hotmend-server/ca.pem"
        words = ("--code", code, "--ca", ca, "--root", "/root/root.json")
        assert "enrolled as" in root.run("hotmend", "enroll", BASE, *words)
        with background(root, "agent", "/usr/lib/hotmend/agent/bin/hotmend", "agent"):
            machine = f"/subscriptions/{said['subscription']}/resourceGroups/machines/providers/"
            compute = f"{machine}Microsoft.Compute/virtualMachines/here"
            ask = asker(root, said)
            assessed = ask(f"{compute}/assessPatches", {})
            names = [patch["name"] for patch in assessed["availablePatches"]]
            assert f"nginx {NEW.version} into running processes" in names, assessed
            done = ask(f"{compute}/installPatches", EVERYTHING)
            assert done["status"] == "Succeeded", ask(
                f"{machine}Hotmend.Fleet/machines/here/history", None
            )
            ask(f"{compute}/assessPatches", {})
            standing = ask(f"{machine}Hotmend.Fleet/machines/here/patches", None)
            health = eventually(
                lambda: ask(f"{machine}Hotmend.Fleet/machines/here/health", None),
                lambda found: found.get("processesIntact") == len(before),
            )
            # Its certificate is good for the server's mutual TLS; nothing of it is world-readable.
            for secret in ("hotmend/agent/identity.pem", "hotmend-server/ca-key.pem"):
                assert (root.path / "var/lib" / secret).stat().st_mode & 0o077 == 0
    assert serving(root) == before, "no process was restarted"
    assert root.version("nginx") == NEW.version, "and the disk is right, too"
    assert {f"nginx={NEW.version}", f"nginx={NEW.version}+hotpatch"} <= set(standing["installed"])
    assert {p["pid"]: p["needs"] for p in standing["staleProcesses"]} == dict.fromkeys(
        before, "restart-of-the-process"
    ), "part of the update is not in the hotpatch"
    assert health["processesDrifted"] == [] and health["processesEnded"] == []
    assert (root.path / "usr/sbin/policy-rc.d").read_text() == ALLOWS
    root.run("apt-get", "-qy", "purge", "hotmend-agent", "hotmend-server")
    assert ours(root) == clean, "nothing is left on the disk"
    assert "hotmend" not in (root.path / "etc/passwd").read_text()
    assert serving(root) == before
    assert outcomes(root, vendor, tmp_path) == ["already"] * len(before), "memory stays fixed"


@pytest.mark.parametrize("unit", ["agent", "server"])
def test_units_are_such_as_systemd_reads(unit: str, tmp_path: Path) -> None:
    """With what they give up, by systemd's own measure (0 is best, 10 worst)."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    file = TOP / f"packaging/systemd/hotmend-{unit}.service"
    most = {"agent": 80, "server": 20}[unit]
    words = ["systemd-analyze", "security", "--offline=true", f"--threshold={most}", str(file)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-400:] + done.stderr
    bare = tmp_path / file.name
    bare.write_text("[Service]\nExecStart=/bin/true\n")
    assert subprocess.run([*words[:-1], str(bare)], capture_output=True).returncode != 0


def serving(root: DebianRoot) -> list[int]:
    return sorted(map(int, root.run("pidof", "nginx", check=False).split()))


def ours(root: DebianRoot) -> list[str]:
    """Files that are called after us; dpkg's and apt's own records of the past are theirs."""
    words = ["find", "/", "-xdev", "-name", "*hotmend*", "-not", "-path", "/proc/*"]
    return [p for p in root.run(*words).split("\n") if p and not p.startswith("/var/log")]


class background:
    """A service as its unit starts it; ended by SIGTERM."""

    def __init__(self, root: DebianRoot, name: str, *words: str) -> None:
        self._log = (root.path / f"var/log/{name}.log").open("w")
        self._process = subprocess.Popen(
            [*root.enter, "chroot", str(root.path), *words],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        # nsenter waits for it, and hands no signal on.
        pid = self._process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), signal.SIGTERM)
        self._process.wait(timeout=30)
        self._log.close()


def introduced(root: DebianRoot, folder: Path) -> dict[str, str]:
    """What the server says when it starts, and a principal of it."""
    log = root.path / "var/log/server.log"
    text = eventually(log.read_text, lambda said: "Ctrl-C" in said)
    name = ("--name", "localhost")
    text += root.run("hotmend-server", *name, "principal", "create", "test", "--role", "admin")
    words = (line.split() for line in text.splitlines())
    said = {pair[0]: pair[1] for pair in words if len(pair) == 2}
    return {**said, "folder": str(folder), "data": f"{root.path}/var/lib/hotmend-server"}


def asker(root: DebianRoot, said: dict[str, str]) -> Callable[[str, Any], Any]:
    def ask(path: str, body: Any) -> Any:
        done = subprocess.run(
            ["nsenter", "-t", str(root.holder), "--net", sys.executable, "-c", DRIVER],
            input=json.dumps([said, path, body]),
            capture_output=True,
            text=True,
            timeout=120,
        )
        logs = [f"{f.name}: {f.read_text()[-800:]}" for f in root.path.glob("var/log/*.log")]
        assert done.returncode == 0, done.stderr[-800:] + "\n".join(logs)
        return json.loads(done.stdout)

    return ask


def outcomes(root: DebianRoot, vendor: Publisher, folder: Path) -> list[str]:
    """Of a hotmend that knows nothing of what was done: by the records in memory."""
    (hotpatch,) = vendor.folder.glob("2026-11/nginx*.hotpatch")
    pids = subprocess.run(
        ["pgrep", "--ns", str(root.holder), "--nslist", "pid", "nginx"],
        capture_output=True,
        text=True,
    ).stdout.split()
    words = [word for pid in pids for word in ("--pid", pid)]
    done = subprocess.run(
        [sys.executable, "-m", "hotmend.cli.main", "apply", str(hotpatch), *words, "--json"],
        env=os.environ | {"HOTMEND_STATE": str(folder / "state")},
        capture_output=True,
        text=True,
    )
    return [outcome["outcome"] for outcome in json.loads(done.stdout)["outcomes"]]


def eventually(look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not good(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.3)
    return found
