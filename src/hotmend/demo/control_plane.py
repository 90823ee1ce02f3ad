"""A real server and a real agent on this machine, each a process of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from hotmend.demo.errors import DemoError
from hotmend.demo.publisher import run

_PATIENCE_S = 120.0
_HOTMEND = (sys.executable, "-m", "hotmend.cli.main")


class ControlPlane:
    """``folder``: everything it keeps. Its certificate is for ``localhost``."""

    def __init__(self, folder: Path, port: int, database: str = "") -> None:
        self.folder = folder
        self.data = folder / "server"
        self.database = database
        self.base = f"https://localhost:{port}"
        self._words = ["server", "--data", str(self.data), "--port", str(port)]
        self._words += ["--host", "127.0.0.1", "--name", "localhost"]
        self._words += ["--database", database] if database else []
        self._process: subprocess.Popen[bytes] | None = None
        self.tenant = self.client = self.secret = self.subscription = ""
        self.link = ""

    @property
    def authority(self) -> Path:
        """What clients trust."""
        return self.data / "ca.pem"

    def start(self, *, first_admin: bool = False) -> None:
        """Until it answers, with a principal of ours; with ``first_admin`` without anybody, but for
        the ``link`` for whoever comes first. Raises DemoError."""
        log = self.folder / f"server-{self.base.rpartition(':')[2]}.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_HOTMEND, *self._words], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self._wait(log)
        said = dict(
            line.split(maxsplit=1)
            for line in log.read_text().splitlines()
            if len(line.split()) == 2
        )
        self.subscription = said["subscription"]
        if first_admin:
            self.link = next(word for word in log.read_text().split() if "/first-admin?" in word)
        elif not self.client:
            name = f"demo {secrets.token_hex(4)}"
            printed = run(*self._words, "principal", "create", name, "--role", "admin").split()
            made = dict(zip(printed[::2], printed[1::2], strict=True))
            self.tenant, self.client, self.secret = made["tenant"], made["client"], made["secret"]

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, and wait until it has."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=_PATIENCE_S)
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def code(self, machine: str, region: str = "local") -> str:
        """With which one agent may enrol."""
        return self.codes([machine], region)[0]

    def codes(self, names: Sequence[str], region: str, group: str = "machines") -> list[str]:
        """One for each."""
        words = ("--location", region, "--group", group)
        return run(*self._words, "code", *names, *words).split()

    def path(self, machine: str, rest: str = "", provider: str = "Microsoft.Compute") -> str:
        """Of a machine that enrolled with a code of ours."""
        kind = "virtualMachines" if provider == "Microsoft.Compute" else "machines"
        group = f"/subscriptions/{self.subscription}/resourceGroups/machines"
        return f"{group}/providers/{provider}/{kind}/{machine}{rest}"

    def _wait(self, log: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self.authority.exists():
                try:
                    client = urllib3.PoolManager(ca_certs=str(self.authority), retries=False)
                    if client.request("GET", f"{self.base}/metadata/endpoints").status == 200:
                        return
                except HTTPError:
                    pass
            time.sleep(0.1)
        raise DemoError(f"the server does not start: {log.read_text()[-300:]}")


@dataclass(frozen=True)
class Begun:
    """A long-running operation: where its status is, and its result."""

    path: str
    status: str
    location: str


class Rest:
    """The REST API with a service principal's token, without any SDK."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._pool = urllib3.PoolManager(ca_certs=str(plane.authority), retries=False)
        form = {
            "grant_type": "client_credentials",
            "client_id": plane.client,
            "client_secret": plane.secret,
        }
        url = f"{plane.base}/adfs/oauth2/token"
        answer = self._pool.request("POST", url, fields=form, encode_multipart=False)
        if answer.status != 200:
            raise DemoError(f"no token: {answer.data!r}")
        self._headers = {"Authorization": f"Bearer {json.loads(answer.data)['access_token']}"}

    def get(self, path: str) -> Any:
        """Raises DemoError."""
        url = path if path.startswith("https:") else f"{self._plane.base}{path}"
        answer = self._pool.request("GET", url, headers=self._headers)
        if answer.status not in (200, 202):
            raise DemoError(f"GET {path} → {answer.status}: {answer.data!r}")
        return json.loads(answer.data) if answer.data else None

    def begin(self, path: str, body: Any = None) -> Begun:
        """POST what takes long. Raises DemoError."""
        url = f"{self._plane.base}{path}?api-version=2026-04-01"
        headers = {**self._headers, "Content-Type": "application/json"}
        began = self._pool.request("POST", url, body=json.dumps(body or {}), headers=headers)
        if began.status != 202:
            raise DemoError(f"POST {path} → {began.status}: {began.data!r}")
        return Begun(path, began.headers["Azure-AsyncOperation"], began.headers["Location"])

    def result(self, begun: Begun) -> Any:
        """What came of it. Raises DemoError."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            if self.get(begun.status)["status"] != "InProgress":
                return self.get(begun.location)
            time.sleep(0.2)
        raise DemoError(f"{begun.path} did not end within {_PATIENCE_S:.0f} s")

    def act(self, path: str, body: Any = None) -> Any:
        """``begin`` and ``result``."""
        return self.result(self.begin(path, body))


class EnrolledAgent:
    """The agent of this machine, with a folder and a ledger of its own. ``environment``: what is
    different in its own."""

    def __init__(
        self,
        folder: Path,
        plane: ControlPlane,
        root: Path,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.folder = folder
        self._plane = plane
        self._root = root
        own = {"HOTMEND_STATE": str(folder / "state"), **environment}
        self._environment = os.environ | own
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "agent.log"

    @property
    def settings(self) -> Path:
        """Read at each start, where it is there."""
        return self.folder / "agent.toml"

    def enrol(self, machine: str, code: str = "") -> None:
        """With ``code``, or a new one. Raises DemoError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        words = ["--ca", str(self._plane.authority), "--root", str(self._root)]
        words += [
            "--code",
            code or self._plane.code(machine),
            "--folder",
            str(self.folder / "agent"),
        ]
        run("enroll", self._plane.base, *words)

    def start(self) -> None:
        """Begin; it never restarts this machine."""
        words = ["--folder", str(self.folder / "agent"), "--settings", str(self.settings)]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_HOTMEND, "agent", *words, "--no-restart"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it and what it forked."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=_PATIENCE_S)
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid
