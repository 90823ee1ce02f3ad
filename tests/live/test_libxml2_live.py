"""Three fixes of libxml2 in one process that never restarts: before, after, undone, again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from live.watched import PROOFS, Watched, build, extract
from real_packages import XML2, real

FLAWS = ("CVE-2025-8732.py", "CVE-2026-0990.py", "CVE-2026-0989.py")
OLD = {
    "CVE-2025-8732": [True, "an SGML catalogue that names itself: killed by SIGSEGV"],
    "CVE-2026-0990": [True, "an XML catalogue that delegates to itself: killed by SIGSEGV"],
    "CVE-2026-0989": [True, "a schema with 3,000 nested includes: killed by SIGSEGV"],
}
FIXED = {
    "CVE-2025-8732": [
        False,
        "an SGML catalogue that names itself: resolved to file:///found.dtd",
    ],
    "CVE-2026-0990": [False, "an XML catalogue that delegates to itself: resolved to None"],
    "CVE-2026-0989": [False, "a schema with 3,000 nested includes: rejected"],
}


def _watched(tree: Path) -> Watched:
    script = Path(__file__).parent / "libxml2_process.py"
    command = [sys.executable, script, PROOFS / "libxml2", *FLAWS]
    return Watched(command, {"HOTMEND_TREE": str(tree)})


@pytest.mark.skipif(os.geteuid() != 0, reason="hotpatching another process takes root")
def test_three_flaws_are_gone_while_the_patch_is_in_and_back_when_it_is_out(
    tmp_path: Path,
) -> None:
    old, new = (real(name) for name in XML2)
    hotpatch = build(old, new, tmp_path / "libxml2.hotpatch")
    with _watched(extract(old, tmp_path / "old")) as process:
        identity = process.identity
        assert process.ask("look") == OLD
        process.hotmend("apply", hotpatch)
        assert process.ask("look") == FIXED
        process.hotmend("revert", hotpatch)
        assert process.ask("look") == OLD
        process.hotmend("apply", hotpatch)
        assert process.ask("look") == FIXED
        assert process.identity == identity


def test_the_fixed_build_itself_has_none_of_the_three(tmp_path: Path) -> None:
    """The control: what a patched process shows is what an update and a restart would show."""
    with _watched(extract(real(XML2[1]), tmp_path / "new")) as process:
        assert process.ask("look") == FIXED
