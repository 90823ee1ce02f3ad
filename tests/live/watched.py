"""A long-lived process that answers questions, and the hotmend command line used on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HOTMEND = (sys.executable, "-m", "hotmend.cli.main")
PROOFS = Path(__file__).parents[2] / "proofs"


class Watched:
    """One process that prints a line of JSON for every line it reads. A context manager.

    It has a ledger of its own, so that nothing of the machine's is touched.
    """

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        self._state = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._state.cleanup()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def identity(self) -> tuple[int, str]:
        """(pid, start time): the same process, not one that looks like it."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return self.pid, fields[19]

    def ask(self, question: str) -> Any:
        """The process's answer; raises when it died of the question."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process ended ({self._process.wait()}) on {question}")
        return json.loads(answer)

    def hotmend(self, verb: str, hotpatch: Path) -> None:
        """``hotmend apply`` or ``revert`` on this process; raises unless it was done."""
        command = [*HOTMEND, verb, str(hotpatch), "--pid", str(self.pid)]
        environment = os.environ | {"HOTMEND_STATE": self._state.name}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"


def build(old: Path, new: Path, output: Path, *options: str) -> Path:
    """``hotmend build``; returns ``output``."""
    command = [*HOTMEND, "build", str(old), str(new), "-o", str(output), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert output.exists(), f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return output


def extract(deb: Path, folder: Path) -> Path:
    """The package's files in ``folder``."""
    subprocess.run(["dpkg-deb", "-x", str(deb), str(folder)], check=True)
    return folder
