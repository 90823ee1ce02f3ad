"""The process that may change the disk: what it does, and what it refuses to."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from hotmend.agent.errors import AgentError
from hotmend.agent.hand import Commands, lend, serve


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, body in (
        ("apt", 'cat policy-rc.d > seen 2>/dev/null; echo "$@" >> log; exit $(cat code)'),
        ("reboot", "echo restart >> log"),
    ):
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\ncd {tmp_path}\n{body}\n")
        script.chmod(0o755)
    (tmp_path / "code").write_text("0")
    return tmp_path


@pytest.fixture
def commands(folder: Path) -> Commands:
    return Commands(
        (str(folder / "apt"), "install"),
        (str(folder / "reboot"),),
        folder / "policy-rc.d",
        folder / "lock",
    )


@pytest.fixture
def wire(commands: Commands) -> Iterator[socket.socket]:
    """The socket itself, for what a worker in a stranger's hands would send."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = threading.Thread(target=serve, args=(theirs, commands))
    thread.start()
    yield ours
    ours.close()
    thread.join()


def test_it_installs_and_restarts_no_service(folder: Path, commands: Commands) -> None:
    with lend(commands) as hand:
        hand.install("libxml2", "2.9.14+dfsg-1.3~deb12u6")
        hand.restart()
    assert (folder / "log").read_text() == "install libxml2=2.9.14+dfsg-1.3~deb12u6\nrestart\n"
    assert "exit 101" in (folder / "seen").read_text(), "policy-rc.d says no meanwhile"
    assert not (folder / "policy-rc.d").exists(), "and is gone afterwards"


def test_a_long_installation_leaves_time_for_the_rest(folder: Path, commands: Commands) -> None:
    (folder / "apt").write_text(
        f"#!/bin/sh\ncd {folder}\ntouch begun\nuntil [ -e go ]; do sleep 0.05; done\n"
    )
    seen: list[bool] = []

    def meanwhile() -> None:
        if (folder / "begun").exists():
            seen.append((folder / "lock").exists())
            (folder / "go").touch()

    with lend(commands) as hand:
        hand.meanwhile = meanwhile
        hand.install("libxml2", "2")
        assert seen and all(seen)


def test_packages_find_the_usual_umask(folder: Path, commands: Commands) -> None:
    (folder / "apt").write_text(f"#!/bin/sh\numask > {folder}/umask\n")
    before = os.umask(0o077)
    try:
        with lend(commands) as hand:
            hand.install("libxml2", "2")
    finally:
        os.umask(before)
    assert (folder / "umask").read_text() == "0022\n"


def test_what_fails_is_said_and_leaves_nothing(folder: Path, commands: Commands) -> None:
    (folder / "code").write_text("100")
    with lend(commands) as hand, pytest.raises(AgentError, match="ended with 100"):
        hand.install("libxml2", "2")
    assert not (folder / "policy-rc.d").exists()


def test_a_policy_of_the_owners_is_back_afterwards(folder: Path, commands: Commands) -> None:
    """And allows nothing meanwhile."""
    commands.policy.write_text("#!/bin/sh\nexit 0\n")
    for code in ("0", "100"):
        (folder / "code").write_text(code)
        with lend(commands) as hand, suppress(AgentError):
            hand.install("libxml2", "2")
        assert "exit 101" in (folder / "seen").read_text()
        assert commands.policy.read_text() == "#!/bin/sh\nexit 0\n"


@pytest.mark.parametrize("written", [False, True])
def test_a_killed_agents_next_one_gives_the_owners_policy_back(
    commands: Commands, written: bool
) -> None:
    kept = commands.policy.with_name("policy-rc.d.hotmend-kept")
    kept.write_text("#!/bin/sh\nexit 0\n")
    if written:
        commands.policy.write_text(
            "#!/bin/sh\n# written by the Hotmend agent while it installs: no service is restarted\n"
        )
    with lend(commands) as hand:
        hand.restart()
    assert commands.policy.read_text() == "#!/bin/sh\nexit 0\n" and not kept.exists()


def test_a_policy_that_a_killed_agent_left_is_taken_back(commands: Commands) -> None:
    commands.policy.write_text(
        "#!/bin/sh\n# written by the Hotmend agent while it installs: no service is restarted\n"
    )
    with lend(commands) as hand:
        hand.restart()
    assert not commands.policy.exists()


def test_what_a_killed_agents_hand_has_begun_is_ended_before_the_next_begins(
    folder: Path, commands: Commands
) -> None:
    """The worker is killed in the middle; nothing overlaps, and the policy holds for both."""
    (folder / "apt").write_text(
        f"#!/bin/sh\ncd {folder}\necho begin >> log\ntouch begun\n"
        "until [ -e go ]; do sleep 0.05; done\ncat policy-rc.d >> seen\necho end >> log\n"
    )
    worker = os.fork()
    if worker == 0:
        hand = lend(commands)
        threading.Thread(target=hand.install, args=("libxml2", "2"), daemon=True).start()
        deadline = time.monotonic() + 20
        while not (folder / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(worker, 0)
    assert (folder / "log").read_text() == "begin\n"
    # Time enough for the next to begin beside it, if it could.
    threading.Timer(0.5, (folder / "go").touch).start()
    with lend(commands) as hand:
        hand.install("libxml2", "2")
    assert (folder / "log").read_text() == "begin\nend\n" * 2
    assert (folder / "seen").read_text().count("exit 101") == 2
    assert not commands.policy.exists()


def test_an_owner_may_forbid_restarts(folder: Path, commands: Commands) -> None:
    forbidden = replace(commands, restart=())
    with lend(forbidden) as hand, pytest.raises(AgentError, match="does not allow"):
        hand.restart()
    assert not (folder / "log").exists()


@pytest.mark.parametrize(
    "request_",
    [
        {"name": "-o", "version": "1"},
        {"name": "../../evil.deb", "version": "1"},
        {"name": "libxml2;reboot", "version": "1"},
        {"name": "libxml2", "version": "-1"},
        {"name": "libxml2", "version": "1 evil"},
        {"name": "libxml2", "version": "1;reboot"},
        {"name": "libxml2"},
        {"name": ["libxml2"], "version": "1"},
        {"restart": 1, "name": "x"},
        [],
        None,
        "restart",
        7,
    ],
)
def test_other_words_are_refused(wire: socket.socket, folder: Path, request_: object) -> None:
    wire.send(json.dumps(request_).encode())
    assert json.loads(wire.recv(65536))["error"]
    assert not (folder / "log").exists(), "nothing was run"
    wire.send(json.dumps({"name": "libxml2", "version": "1"}).encode())
    assert json.loads(wire.recv(65536)) == {"error": ""}, "it still works"


def test_noise_is_refused(wire: socket.socket, folder: Path) -> None:
    wire.send(b"\xff\xfe{")
    assert json.loads(wire.recv(65536))["error"]
    assert not (folder / "log").exists()
