"""npm's packages for tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_WORDS = ("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")


def install(folder: Path) -> None:
    """What its package.json names; skips where it cannot be had."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm: apt-get install npm")
    try:
        done = subprocess.run(_WORDS, cwd=folder, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not end within five minutes")
    if done.returncode:
        pytest.skip(f"npm could not install: {done.stderr[-200:]}")
