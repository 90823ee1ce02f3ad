"""A hotpatch is for libssl3 3.0.20; one server of a machine still runs 3.0.17, since it was not
restarted when the package was upgraded. Three real builds, real processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hotmend import pairs
from hotmend.agent.assess import assess
from hotmend.agent.channel import available
from hotmend.agent.packages import Debian
from hotmend.agent.surgery_port import Surgery
from hotmend.model.agent_messages import Assessment, AvailablePatch
from hotmend.model.outcome import OutcomeKind
from hotmend.release.classification import Classification
from hotmend.release.parity import Update
from hotmend.surgery.ledger import Ledger
from live.tls_server import LIBRARIES, TlsServer
from surgery.hired import hired

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="an agent is root"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl"),
]
PAIR = pairs.PAIRS["libssl3-20-22"]
BASELINE, FIXED = PAIR.old.version, PAIR.new.version
DISK = f"libssl3={FIXED}"
LIVE = f"{DISK}+hotpatch"


@pytest.fixture
def surgery(tmp_path: Path) -> Iterator[Surgery]:
    with hired(Ledger(tmp_path / "state")) as made:
        yield made


def test_a_server_from_before_the_baseline_is_found_and_what_is_left_to_do_for_it(
    surgery: Surgery,
    unpacked: Callable[[str], Path],
    built: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    data = built("libssl3-20-22").read_bytes()
    tree = unpacked("libssl3-17-20")
    with _server(tree, tmp_path) as older:
        _upgrade(tree, unpacked("libssl3-20-22"))
        with _server(tree, tmp_path) as on_baseline:
            found = _missed(_assessed(surgery, data))
            assert older.pid in found[DISK].outdated and on_baseline.pid not in found[DISK].outdated
            assert f"run another build than libssl3 {BASELINE}" in found[DISK].baseline_first
            assert on_baseline.pid in found[LIVE].outdated and older.pid not in found[LIVE].outdated
            (outcome,) = surgery.apply(data, (older.pid, on_baseline.pid))
            assert (outcome.pid, outcome.kind) == (on_baseline.pid, OutcomeKind.APPLIED)
            after = _assessed(surgery, data)
            assert LIVE in after.installed, "where it fits"
            assert older.pid in _missed(after)[DISK].outdated, "nothing was done for this one"
    with _server(tree, tmp_path) as restarted:
        outcomes = {o.pid: o.kind for o in surgery.apply(data, (restarted.pid,))}
        assert outcomes == {restarted.pid: OutcomeKind.APPLIED}
        after = _assessed(surgery, data)
        disk = _missed(after)[DISK]
        assert (disk.outdated, disk.baseline_first) == ((), "") and LIVE in after.installed


@contextmanager
def _server(tree: Path, folder: Path) -> Iterator[TlsServer]:
    """A server on the libraries that are there now."""
    server = TlsServer(tree, folder)
    try:
        server.ready()
        yield server
    finally:
        server.stop()


def _upgrade(tree: Path, newer: Path) -> None:
    """As dpkg does: a new file in the place of the old one, which who has it keeps."""
    for library in (newer / LIBRARIES).glob("lib*.so.3"):
        place = tree / LIBRARIES / library.name
        fresh = place.with_suffix(".dpkg-new")
        shutil.copy2(library, fresh)
        fresh.rename(place)


def _assessed(surgery: Surgery, data: bytes) -> Assessment:
    """On whose disk the baseline is."""
    update = Update(
        "libssl3", BASELINE, FIXED, Classification.SECURITY, ("CVE-1",), True, "x.hotpatch"
    )
    one = available(update, data)
    return assess(
        [one],
        {LIVE: surgery.look(data)},
        {"libssl3": BASELINE},
        (),
        surgery.stale(),
        older=Debian().older,
        reboot_pending=False,
    )


def _missed(found: Assessment) -> dict[str, AvailablePatch]:
    return {patch.article: patch for patch in found.patches}
