"""``hotmend baseline`` on the packages of this machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cli.conftest import Run
from hotmend.cli import exit_codes
from hotmend.release import archive
from hotmend.release.baseline import Place, compare

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="there is no apt")


@pytest.mark.parametrize(
    ("installed", "place"),
    [
        ({"nginx": "1.22.1-9+deb12u9"}, Place.ON),
        ({"nginx": "1.22.1-9+deb12u10"}, Place.AHEAD),
        ({"nginx": "1.22.1-9+deb12u8"}, Place.BEHIND),
        ({"nginx": "1:0.1"}, Place.AHEAD),
        ({}, Place.MISSING),
    ],
)
def test_only_the_very_version_is_on_the_baseline(installed: dict[str, str], place: Place) -> None:
    (package,) = compare({"nginx": "1.22.1-9+deb12u9"}, installed)
    assert package.place is place


def test_a_machine_on_its_baseline_has_nothing_to_do(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "baseline"
    file.write_text(f"dpkg={archive.installed()['dpkg']}\n")
    said = run("baseline", "status", file, check=exit_codes.DONE)
    assert "✓ dpkg  on" in said.out
    said = run("baseline", "install", file, check=exit_codes.DONE)
    assert "every package is on the baseline" in said.out


def test_what_is_off_is_listed_and_a_rehearsal_changes_nothing(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "baseline"
    file.write_text("dpkg=1.0~0\nno-such-package=1\n")
    before = archive.installed()["dpkg"]
    said = run("baseline", "status", file, "--json", check=exit_codes.UPDATES_AVAILABLE)
    places = {p["name"]: p["place"] for p in json.loads(said.out)["packages"]}
    assert places == {"dpkg": "ahead", "no-such-package": "missing"}
    said = run("baseline", "install", file, "--dry-run", check=exit_codes.FAILED)
    assert "was not installed" in said.err
    assert archive.installed()["dpkg"] == before


def test_a_baseline_that_is_none_is_named(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "baseline"
    file.write_text("# nothing\n")
    assert "names no package" in run("baseline", "status", file, check=exit_codes.FAILED).err
    file.write_text("nginx\n")
    assert "line 1" in run("baseline", "status", file, check=exit_codes.FAILED).err
