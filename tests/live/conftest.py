"""For tests with real servers: the hotpatches, built once, and the command with its own ledger."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hotmend import pairs
from hotmend.demo.command import Hotmend
from hotmend.demo.publisher import Publisher
from live.vendor import Vendor
from real_packages import real

PROOFS = Path(__file__).parents[2] / "proofs"


@pytest.fixture(scope="session")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Vendor:
    """Of nginx's hotpatch, 2026-11; made once."""
    folder = tmp_path_factory.mktemp("vendor")
    publisher = Publisher(folder / "vendor")
    publisher.begin()
    shutil.copytree(publisher.repository, folder / "begun")
    pair = pairs.PAIRS["nginx"]
    packages = [(real(pair.old.file_name), real(pair.new.file_name))]
    publisher.release("2026-11", packages, PROOFS, "HTTP/2 needs a restart")
    return Vendor(folder / "begun", publisher.repository)


@pytest.fixture
def machine(tmp_path: Path) -> Hotmend:
    return Hotmend(tmp_path / "state")


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The old build of a pair, extracted."""

    def unpack(key: str) -> Path:
        folder = tmp_path_factory.mktemp(key)
        package = real(pairs.PAIRS[key].old.file_name)
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True)
        return folder

    return unpack


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The hotpatch of a pair, built by the command; each pair once."""
    folder = tmp_path_factory.mktemp("hotpatches")
    command = Hotmend(folder / "state")

    def build(key: str) -> Path:
        file = folder / f"{key}.hotpatch"
        if not file.exists():
            pair = pairs.PAIRS[key]
            old, new = real(pair.old.file_name), real(pair.new.file_name)
            command.run("build", str(old), str(new), "-o", str(file))
        return file

    return build


@pytest.fixture
def patch(machine: Hotmend) -> Callable[..., list[dict[str, Any]]]:
    """``patch("apply", file, pids, wanted)``: the outcomes, each of which is as wanted."""

    def run(verb: str, file: Path, pids: list[int], wanted: str) -> list[dict[str, Any]]:
        words = [word for pid in pids for word in ("--pid", str(pid))]
        outcomes: list[dict[str, Any]] = machine.run(verb, str(file), *words).data["outcomes"]
        assert [o["outcome"] for o in outcomes] == [wanted] * len(pids), json.dumps(outcomes)
        return outcomes

    return run
