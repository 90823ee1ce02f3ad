"""Whoever holds a target's threads may be stopped: the target is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from hotmend.hotpatch.codec import encode
from surgery.test_killed import _PATCHER
from surgery.workshop import Target, eventually, hotpatch, running


def _stop_the_holder(target: Target, within_s: float) -> int | None:
    """SIGSTOP for whoever traces the target; its pid, once the target is in its hands."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        holder = _tracer(target.pid)
        if holder:
            with suppress(ProcessLookupError):
                os.kill(holder, signal.SIGSTOP)
                time.sleep(0.01)
                if _tracer(target.pid) == holder:
                    return holder
                os.kill(holder, signal.SIGCONT)
    return None


def _tracer(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("TracerPid:")[2].split()[0])


def test_a_stopped_holder_is_ended_and_the_target_runs(tmp_path: Path) -> None:
    file = tmp_path / "victim.hotpatch"
    file.write_bytes(encode(hotpatch("answer", "other")))
    with running("threads", "64", "idle") as target:
        words = [sys.executable, "-c", _PATCHER, str(target.pid), str(file), str(tmp_path / "s")]
        patcher = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            holder = _stop_the_holder(target, 20)
            if holder is None:
                pytest.fail("the target was never seen in anybody's hands")
            patcher.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            assert eventually(lambda: _tracer(target.pid) == 0, 5)
            assert time.monotonic() - began < 3
            assert target.ask() in (1, 2)
            assert not Path(f"/proc/{holder}").exists() or _state(holder) == "Z"
        finally:
            patcher.kill()
            patcher.wait()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
