"""The command as a user runs it: words in; sentence, exit status and files out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hotmend.hotpatch.codec import encode
from surgery import workshop


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run("apply", file, "--pid", pid)``, with a ledger of its own."""

    def hotmend(*words: object, check: int | None = None) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "hotmend.cli.main", *map(str, words)],
            env=os.environ | {"HOTMEND_STATE": str(tmp_path / "state")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in said.err, said.err
        assert check is None or said.code == check, said
        return said

    return hotmend


@pytest.fixture
def victim_patch(tmp_path: Path) -> Path:
    """A hotpatch of answer() in libvictim."""
    file = tmp_path / "victim.hotpatch"
    file.write_bytes(encode(workshop.hotpatch("answer")))
    return file
