"""The libraries' proofs tell old and fixed build apart, by the convention of docs/proofs.md."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from live.watched import PROOFS, extract
from real_packages import EXPAT, XML2, real

PACKAGES = {"libxml2": XML2, "libexpat1": EXPAT}
SCRIPTS = sorted(script for name in PACKAGES for script in (PROOFS / name).glob("CVE-*.py"))


def _run(script: Path, tree: Path, apply: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOTMEND_TREE": str(tree), "HOTMEND_APPLY": apply}
    return subprocess.run([script], env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_flaw_shows_in_the_old_build_and_not_in_the_fixed_one(
    script: Path, tmp_path: Path
) -> None:
    old, new = (
        extract(real(name), tmp_path / str(number))
        for number, name in enumerate(PACKAGES[script.parent.name])
    )
    assert _run(script, old).returncode == 1
    assert _run(script, new).returncode == 0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_hotpatch_that_is_not_applied_or_does_nothing_is_no_fix(
    script: Path, tmp_path: Path
) -> None:
    tree = extract(real(PACKAGES[script.parent.name][0]), tmp_path / "old")
    assert _run(script, tree, apply="false").returncode == 2
    assert _run(script, tree, apply="true").returncode == 1


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_without_the_library_a_proof_cannot_tell(script: Path, tmp_path: Path) -> None:
    assert _run(script, tmp_path).returncode == 2
