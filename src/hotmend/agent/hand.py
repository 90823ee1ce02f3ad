"""The one process of the agent that may change the disk: it installs packages, and restarts.

The agent's worker has no rights. It asks this process, which was forked before they were given up,
for one of two things, and every word of it is checked again here: a package's name and version, or
a restart. apt verifies what it installs; services are not restarted (policy-rc.d).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hotmend.agent.errors import AgentError

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{1,100}(:[a-z0-9]+)?")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+:~-]{0,100}")
_MOST = 1 << 16
_MEANWHILE_S = 0.05
_POLICY = Path("/usr/sbin/policy-rc.d")
_LOCK = Path("/run/hotmend-hand.lock")
_MARK = "# written by the Hotmend agent while it installs: no service is restarted"
_INSTALL = (
    *("apt-get", "-y", "-q", "install", "--only-upgrade", "--no-install-recommends"),
    *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
    # Somebody else's apt is waited for.
    *("-o", "DPkg::Lock::Timeout=600"),
)
# What packages' scripts expect; the agent's own is stricter.
_UMASK = 0o022
_RESTART = ("shutdown", "-r", "now")


@dataclass(frozen=True)
class Commands:
    """What is run; ``restart`` is () on a machine whose owner does not allow it. ``lock``: held
    while something is: an agent that was killed leaves a hand that ends what it has begun."""

    install: Sequence[str] = _INSTALL
    restart: Sequence[str] = _RESTART
    policy: Path = _POLICY
    lock: Path = _LOCK


class Hand:
    """As the worker sees it. ``meanwhile``: called again and again while an answer is waited for:
    an installation may take minutes."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self._connection = connection
        self._pid = pid
        self.meanwhile: Callable[[], None] = lambda: None

    def __enter__(self) -> Hand:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        os.waitpid(self._pid, 0)

    def install(self, name: str, version: str) -> None:
        """Bring a package that is installed to that version. Raises AgentError."""
        self._ask({"name": name, "version": version})

    def restart(self) -> None:
        """Restart the machine. Raises AgentError."""
        self._ask({"restart": True})

    def _ask(self, request: dict[str, object]) -> None:
        try:
            self._connection.send(json.dumps(request).encode())
            while not select.select([self._connection], [], [], _MEANWHILE_S)[0]:
                self.meanwhile()
            answer = json.loads(self._connection.recv(_MOST) or b'{"error": "it has ended"}')
        except (OSError, ValueError) as error:
            raise AgentError(f"the process that installs does not answer: {error}") from None
        if answer["error"]:
            raise AgentError(answer["error"])


def lend(commands: Commands) -> Hand:
    """Start it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            ours.close()
            os.setsid()
            serve(theirs, commands)
            code = 0
        finally:
            os._exit(code)
    theirs.close()
    return Hand(ours, pid)


def serve(connection: socket.socket, commands: Commands) -> None:
    """Until the worker is gone."""
    with _alone(commands.lock):
        _take_back(commands.policy)
    while data := connection.recv(_MOST):
        try:
            _perform(json.loads(data), commands)
            answer = ""
        except AgentError as error:
            answer = str(error)
        except (ValueError, TypeError, AttributeError) as error:
            answer = f"not understood: {error}"
        with suppress(BrokenPipeError):
            connection.send(json.dumps({"error": answer}).encode())


def _perform(request: dict[str, object], commands: Commands) -> None:
    if request == {"restart": True}:
        if not commands.restart:
            raise AgentError("the owner of this machine does not allow the agent to restart it")
        _run(commands.restart)
        return
    name, version = request.get("name"), request.get("version")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise AgentError(f"{name!r} is not the name of a package")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise AgentError(f"{version!r} is not the version of a package")
    with _alone(commands.lock), _no_service_restarts(commands.policy):
        _run((*commands.install, f"{name}={version}"))


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One hand at a time. The file's descriptor is not handed to what is run."""
    try:
        file = lock.open("w")
    except OSError as error:
        raise AgentError(f"{lock} cannot be opened: {error.strerror}") from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _no_service_restarts(policy: Path) -> Iterator[None]:
    """invoke-rc.d and deb-systemd-invoke ask policy-rc.d; 101 is its no. The owner's lies beside
    ours meanwhile: it may allow what we must not do."""
    if policy.exists():
        policy.replace(_owners(policy))
    policy.write_text(f"#!/bin/sh\n{_MARK}\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        _take_back(policy)


def _take_back(policy: Path) -> None:
    """The owner's again, also after an agent that was killed."""
    with suppress(FileNotFoundError):
        if _MARK.encode() in policy.read_bytes():
            policy.unlink()
    if not policy.exists():
        with suppress(FileNotFoundError):
            _owners(policy).replace(policy)


def _owners(policy: Path) -> Path:
    return policy.with_name(f"{policy.name}.hotmend-kept")


def _run(words: Sequence[str]) -> None:
    environment = os.environ | {
        "DEBIAN_FRONTEND": "noninteractive",
        "NEEDRESTART_SUSPEND": "1",
        "LC_ALL": "C.UTF-8",
    }
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            umask=_UMASK,
        )
    except OSError as error:
        raise AgentError(f"{words[0]}: {error.strerror}") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-300:]
        raise AgentError(f"{words[0]} ended with {done.returncode}: {said}")
