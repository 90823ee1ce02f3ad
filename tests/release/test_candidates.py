"""What is behind a channel, in dpkg's order of versions; and channels as they really are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hotmend.release import archive
from hotmend.release.candidates import Available, candidates
from hotmend.release.classification import Classification, classify
from hotmend.release.errors import CatalogueError
from real_packages import EXPAT, real


def _available(package: str, version: str) -> Available:
    return Available(package, version, package, "")


@pytest.mark.parametrize(
    ("baseline", "channel", "behind"),
    [
        ("1.0-1", ["1.0-2"], "1.0-2"),
        ("1.0-1+deb12u9", ["1.0-1+deb12u10", "1.0-1+deb12u8"], "1.0-1+deb12u10"),
        ("1.0-1~deb12u1", ["1.0-1"], "1.0-1"),
        ("1:0.9-1", ["2.0-1"], None),
        ("1.0-1", ["1.0-1"], None),
        ("1.0-2", ["1.0-1"], None),
    ],
)
def test_versions_are_ordered_as_dpkg_orders_them(
    baseline: str, channel: list[str], behind: str | None
) -> None:
    found = candidates({"thing": baseline}, [_available("thing", v) for v in channel])
    assert [c.newest.version for c in found] == ([behind] if behind else [])
    if behind and shutil.which("dpkg"):
        subprocess.run(["dpkg", "--compare-versions", baseline, "lt", behind], check=True)


def test_only_packages_of_the_baseline_count() -> None:
    channel = [_available("other", "2"), _available("thing", "2")]
    assert [c.package for c in candidates({"thing": "1", "absent": "1"}, channel)] == ["thing"]


def test_a_folder_of_packages_is_a_channel_and_its_baseline(tmp_path: Path) -> None:
    for name in EXPAT:
        shutil.copy(real(name), tmp_path)
    channel = archive.in_folder(tmp_path)
    assert {a.package for a in channel} == {"libexpat1"} and {a.source for a in channel} == {
        "expat"
    }
    (behind,) = candidates(archive.baseline_of(channel), channel)
    assert (behind.baseline, behind.newest.version) == ("2.5.0-1+deb12u2", "2.5.0-1+deb12u5")


def test_a_file_that_is_no_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "wrong.deb").write_text("not a package")
    with pytest.raises(CatalogueError, match=r"wrong\.deb cannot be read"):
        archive.in_folder(tmp_path)


def test_a_baseline_is_lines_and_a_wrong_one_is_named() -> None:
    text = "# ours\nnginx=1.22.1-9+deb12u9\nlibxml2 2.9.14  # kept\n\n"
    assert archive.baseline_in(text, "ours") == {
        "nginx": "1.22.1-9+deb12u9",
        "libxml2": "2.9.14",
    }


@pytest.mark.parametrize(
    "line",
    [
        "libxml2",
        "a b c",
        "-o=APT::x=1",
        "--force=1",
        "nginx=--force",
        "Nginx=1",
        "nginx=",
        "=1",
        "x=1",
    ],
)
def test_a_line_that_names_no_package_and_version_is_refused(line: str) -> None:
    """They become words of apt-get's command line."""
    with pytest.raises(CatalogueError, match="ours, line 2"):
        archive.baseline_in(f"nginx=1\n{line}\n", "ours")


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="there is no apt")
def test_a_suite_that_apt_does_not_know_is_named_with_those_it_knows() -> None:
    with pytest.raises(CatalogueError, match="apt knows no suite nowhere; it knows:"):
        archive.in_suite("nowhere")


@pytest.mark.parametrize(
    ("suite", "advisories", "urgency", "expected"),
    [
        (True, 0, "medium", Classification.SECURITY),
        (False, 2, "medium", Classification.SECURITY),
        (True, 1, "emergency", Classification.CRITICAL),
        (False, 0, "high", Classification.OTHER),
    ],
)
def test_updates_are_classified(
    suite: bool, advisories: int, urgency: str, expected: Classification
) -> None:
    found = classify(from_security_suite=suite, advisories=advisories, urgency=urgency)
    assert found is expected
    assert found.automatic is (expected is not Classification.OTHER)
