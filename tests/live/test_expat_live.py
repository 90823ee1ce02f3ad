"""A Python that uses libexpat: half a surrogate pair is accepted before, rejected after.

The rest of that update grows the parser structure and cannot be carried; the tokenizer can. So
parsers that began before the patch must go on, and a thousand documents must still be right.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotmend.hotpatch.codec import decode
from hotmend.model.advisory import AdvisoryState, Ground
from live.watched import PROOFS, Watched, build, extract
from real_packages import EXPAT, real

FLAW = "CVE-2026-93990"
PYTHON = Path("/usr/bin/python3")
SEEN = (
    "bad surrogate pairs accepted: {} of 24 in new parsers, {} of 4 in parsers begun earlier; "
    "sound documents right: 1000 of 1000"
)
OLD = [True, SEEN.format(24, 4)]
FIXED = [False, SEEN.format(0, 0)]


@pytest.fixture
def script() -> Path:
    return PROOFS / "libexpat1" / f"{FLAW}.py"


@pytest.fixture
def python(tmp_path: Path) -> Iterator[Watched]:
    """Debian's Python on the old libexpat."""
    tree = extract(real(EXPAT[0]), tmp_path / "old")
    library = next(tree.rglob("libexpat.so.1"))
    if "libexpat" not in subprocess.run(["ldd", PYTHON], capture_output=True, text=True).stdout:
        pytest.skip(f"{PYTHON} does not share libexpat here")
    worker = Path(__file__).parent / "expat_process.py"
    command = [PYTHON, worker, PROOFS / "libexpat1" / f"{FLAW}.py"]
    with Watched(command, {"LD_LIBRARY_PATH": str(library.parent)}) as process:
        yield process


@pytest.mark.skipif(os.geteuid() != 0, reason="hotpatching another process takes root")
def test_bad_surrogates_are_rejected_while_the_patch_is_in(
    python: Watched, script: Path, tmp_path: Path
) -> None:
    old, new = (real(name) for name in EXPAT)
    hotpatch = build(old, new, tmp_path / "expat.hotpatch")
    identity = python.identity
    for action, seen in ((None, OLD), ("apply", FIXED), ("revert", OLD), ("apply", FIXED)):
        assert python.ask("begin") == 6
        if action:
            python.hotmend(action, hotpatch)
        assert python.ask("look") == seen
    for _ in range(10):
        assert python.ask("begin") == 6
        assert python.ask("look") == FIXED
    assert python.identity == identity


@pytest.mark.skipif(os.geteuid() != 0, reason="hotpatching another process takes root")
def test_the_builder_calls_the_flaw_live_by_proof_and_nothing_else(
    script: Path, tmp_path: Path
) -> None:
    old, new = (real(name) for name in EXPAT)
    file = build(old, new, tmp_path / "expat.hotpatch", "--proof", f"{FLAW}={script}")
    verdicts = {verdict.id: verdict for verdict in decode(file.read_bytes()).advisories}
    assert (verdicts[FLAW].state, verdicts[FLAW].ground) == (AdvisoryState.LIVE, Ground.PROOF)
    others = {verdict.state for name, verdict in verdicts.items() if name != FLAW}
    assert AdvisoryState.LIVE not in others


@pytest.mark.skipif(os.geteuid() != 0, reason="hotpatching another process takes root")
def test_without_a_proof_nobody_claims_that_the_flaw_is_live(tmp_path: Path) -> None:
    old, new = (real(name) for name in EXPAT)
    file = build(old, new, tmp_path / "expat.hotpatch")
    states = {verdict.id: verdict.state for verdict in decode(file.read_bytes()).advisories}
    assert states[FLAW] is AdvisoryState.UNKNOWN
