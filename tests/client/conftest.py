"""A control plane with machines that answer, and the command as its users run it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hotmend.model.agent_messages import Order, Run
from server.conftest import Plane, serving
from server.machine import Machine


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@dataclass
class Terminal:
    """``hotmend``, with a login of its own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def login(self) -> Path:
        return self.folder / "login.json"

    def __call__(self, *words: object, check: int | None = None) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "hotmend.cli.main", *map(str, words)],
            env=os.environ | {"HOTMEND_LOGIN": str(self.login)} | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in said.err, said.err
        assert check is None or said.code == check, said
        return said


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with serving(tmp_path_factory.mktemp("plane")) as made:
        yield made


@pytest.fixture
def hotmend(tmp_path: Path) -> Terminal:
    """Nobody has logged in."""
    return Terminal(tmp_path)


@pytest.fixture
def admin(plane: Plane, hotmend: Terminal) -> Terminal:
    """Logged in."""
    hotmend.environment["HOTMEND_SECRET"] = plane.secret
    hotmend("login", plane.base, "--ca", plane.authority, "--client", plane.client, check=0)
    del hotmend.environment["HOTMEND_SECRET"]
    return hotmend


@contextmanager
def answering(machine: Machine, answer: Callable[[Order], Run]) -> Iterator[None]:
    """The machine takes its orders, and ends each with what ``answer`` says."""
    over = threading.Event()

    def work() -> None:
        known: tuple[str, ...] = ()
        while not over.is_set():
            for order in machine.poll(0.2, known).orders:
                known += (order.id,)
                machine.report(answer(order))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
