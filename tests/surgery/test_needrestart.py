"""Tools that look for processes to restart do not take a payload for an outdated library."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from hotmend.model.outcome import OutcomeKind
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.linux import LinuxProcess
from surgery.test_apply import put
from surgery.workshop import is_root, private_copy, running


def test_the_payload_is_nobodys_file(ledger: Ledger) -> None:
    """Such tools go by the files that are mapped."""
    with running("idle") as target, LinuxProcess(target.pid) as process:
        before = {(m.path, m.inode) for m in process.maps()}
        assert put(target.pid, ledger).kind is OutcomeKind.APPLIED
        assert {(m.path, m.inode) for m in process.maps()} - before <= {("", 0)}
        (entry,) = ledger.of(process.identity)
        payload = entry.images[0].payload
        assert any(m.start <= payload < m.end and not m.inode for m in process.maps())


@pytest.mark.skipif(shutil.which("needrestart") is None, reason="needrestart is not installed")
@pytest.mark.skipif(not is_root(), reason="needrestart wants root")
def test_needrestart_lists_the_outdated_process_and_not_the_hotpatched(ledger: Ledger) -> None:
    with tempfile.TemporaryDirectory(dir="/var/lib") as folder:  # it leaves out /tmp
        own = Path(folder) / "own"
        with (
            running("idle") as hotpatched,
            running("idle", path=private_copy("idle", own)) as outdated,
        ):
            (own / "libvictim.so.1").unlink()
            assert put(hotpatched.pid, ledger).kind is OutcomeKind.APPLIED
            said = subprocess.run(
                ["needrestart", "-v", "-v", "-b", "-l", "-r", "l"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            lines = [line for line in said.stderr.splitlines() if " uses " in line]
            assert any(f"#{outdated.pid} uses deleted" in line for line in lines), said.stderr
            assert not any(f"#{hotpatched.pid} " in line for line in lines), lines
