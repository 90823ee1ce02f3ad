"""What code reaches and how it begins: real pairs through the real builder into a real process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hotmend.hotpatch.codec import decode
from hotmend.hotpatch.hotpatch import Hotpatch
from hotmend.model.outcome import OutcomeKind
from hotmend.model.refusal import RefusalCode
from hotmend.surgery.ledger import Ledger
from surgery.test_apply import put, take
from surgery.workshop import SOURCES, running

# What each function gives at first in the old build, and what is added to that with each call.
FUNCTIONS = {
    "tls_local": (12, 10),
    "tls_global": (12, 10),
    "tls_initial": (13, 10),
    "through_ifunc": (5, 0),
    "through_own_ifunc": (ord("t"), 0),
    "through_new_import": (ord("t"), 0),
}
MORE = 1000


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Hotpatch]:
    """The old build of shapes.c, and the hotpatch."""
    folder = tmp_path_factory.mktemp("shapes")
    words = ["gcc", "-O2", "-g0", "-fPIC", "-shared", "-fcf-protection=full", "-Wl,--build-id"]
    words += ["-Wl,-soname,libshapes.so.1", str(SOURCES / "shapes.c"), "-o"]
    builds = [folder / name / "libshapes.so.1" for name in ("old", "fixed")]
    for path, define in zip(builds, ([], ["-DFIXED"]), strict=True):
        path.parent.mkdir()
        subprocess.run([*words, str(path), *define], check=True)
    file = folder / "shapes.hotpatch"
    build = [sys.executable, "-m", "hotmend.cli.main", "build", *map(str, builds), "-o", str(file)]
    subprocess.run(build, check=True, capture_output=True)
    return builds[0], decode(file.read_bytes())


def _result(name: str, calls: int, *, fixed: bool) -> int:
    """What a thread gets that has called the function ``calls`` times before."""
    first, growth = FUNCTIONS[name]
    if not fixed:
        return first + growth * calls
    return MORE + (2 if name == "through_new_import" else first + growth * calls)


def test_thread_local_storage_ifuncs_and_endbr64(
    pair: tuple[Path, Hotpatch], window: str, ledger: Ledger
) -> None:
    """Three models of thread-local storage, with what threads keep there; a new IFUNC, too."""
    library, patch = pair
    assert {function.name for function in patch.images[0].functions} == set(FUNCTIONS)
    with running("caller", str(library)) as target:
        for calls, fixed in enumerate((False, True, False, True)):
            if fixed:
                assert put(target.pid, ledger, patch).kind is OutcomeKind.APPLIED
            elif calls:
                assert take(target.pid, ledger).kind is OutcomeKind.REVERTED
            for name in FUNCTIONS:
                assert target.ask(name) == _result(name, calls, fixed=fixed), name
                assert target.ask(f"thread {name}") == _result(name, 0, fixed=fixed), name


def test_an_entry_across_two_pages_is_left_old(pair: tuple[Path, Hotpatch], ledger: Ledger) -> None:
    library, patch = pair
    assert {r.subject: r.code for r in patch.left} == {"crossing": RefusalCode.ENTRY_TOO_SHORT}
    with running("caller", str(library)) as target:
        assert put(target.pid, ledger, patch).kind is OutcomeKind.APPLIED
        assert target.ask("crossing") == 7
