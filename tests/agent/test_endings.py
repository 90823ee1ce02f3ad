"""How processes end, as the kernel tells it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from hotmend.agent.endings import Exits, connector, ending, endings, kept
from hotmend.model.agent_messages import Ended, Ending
from hotmend.surgery.process import Identity

ABORTS = "import threading, os, time\nthreading.Thread(target=os.abort).start()\ntime.sleep(9)"


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (0, (Ending.EXITED, 0)),
        (3 << 8, (Ending.EXITED, 3)),
        (signal.SIGSEGV, (Ending.CRASHED, signal.SIGSEGV)),
        (signal.SIGSEGV | 0x80, (Ending.CRASHED, signal.SIGSEGV)),
        (signal.SIGTERM, (Ending.STOPPED, signal.SIGTERM)),
        (signal.SIGKILL, (Ending.STOPPED, signal.SIGKILL)),
    ],
)
def test_wait_statuses(status: int, how: tuple[Ending, int]) -> None:
    assert ending(status) == how


def test_what_nobody_saw_is_unknown() -> None:
    seen, unseen = Identity(5, 1, "b"), Identity(6, 1, "b")
    found = endings({seen: "a", unseen: "b"}, {5: (3.0, signal.SIGBUS)}, 9.0)
    assert found == [
        Ended(5, "a", 3.0, Ending.CRASHED, signal.SIGBUS),
        Ended(6, "b", 9.0, Ending.UNKNOWN),
    ]


def test_the_last_day_is_kept_and_not_without_end() -> None:
    many = [Ended(pid, "x", float(pid), Ending.EXITED) for pid in range(300)]
    assert [one.pid for one in kept(many, 300.0)] == list(range(200, 300))
    assert [one.pid for one in kept(many, 86400.0 + 298)] == [299]


@pytest.mark.skipif(os.geteuid() != 0, reason="the process connector is root's")
def test_real_processes_end_and_the_kernel_tells_how() -> None:
    source = connector()
    if source is None:
        pytest.skip("this kernel gives no process connector")
    exits = Exits(source)
    threading.Thread(target=exits.listen, daemon=True).start()
    by_signal = {}
    for number in (signal.SIGSEGV, signal.SIGTERM):
        process = subprocess.Popen(["sleep", "60"])
        process.send_signal(number)
        process.wait()
        by_signal[process.pid] = number
    aborted = subprocess.Popen([sys.executable, "-c", ABORTS], stderr=subprocess.DEVNULL)
    aborted.wait()
    by_signal[aborted.pid] = signal.SIGABRT
    exited = subprocess.Popen(["sh", "-c", "exit 4"])
    exited.wait()
    deadline = time.monotonic() + 10
    wanted = {*by_signal, exited.pid}
    while not wanted <= set(exits.seen()) and time.monotonic() < deadline:
        time.sleep(0.02)
    seen = {pid: ending(status) for pid, (_, status) in exits.seen().items()}
    assert {pid: seen[pid][1] for pid in by_signal} == by_signal
    assert seen[aborted.pid][0] is Ending.CRASHED, "whichever of its threads it was"
    assert seen[exited.pid] == (Ending.EXITED, 4)


def test_noise_is_not_an_ending() -> None:
    exits = Exits(None)
    for data in (b"", b"\0" * 76, os.urandom(76), b"\xff" * 200):
        exits.hear(data)
    assert all(pid >= 0 for pid in exits.seen())
