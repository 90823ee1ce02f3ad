from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from hotmend.build.errors import BuildError
from hotmend.build.source_tree import open_source
from real_packages import real

XML2 = "libxml2_2.9.14+dfsg-1.3~deb12u6"


def test_a_dsc_gives_version_series_and_upstreams_files() -> None:
    tree = open_source(real(f"source/{XML2}.dsc"))
    assert (tree.version, tree.upstream_version) == ("2.9.14+dfsg-1.3~deb12u6", "2.9.14+dfsg")
    names = [name for name, _ in tree.series()]
    assert "CVE-2026-0992/01-4af23b523.patch" in names
    files = tree.read({"xpath.c", "no/such/file.c"})
    assert set(files) == {"xpath.c"}
    assert "xmlXPathRunEval" in files["xpath.c"]


def test_a_tree_that_dpkg_source_patched_gives_the_unpatched_files(tmp_path: Path) -> None:
    if shutil.which("dpkg-source") is None:
        pytest.skip("dpkg-source (dpkg-dev) is not installed: it makes the tree of this test")
    dsc = real(f"source/{XML2}.dsc")
    unpack = ["dpkg-source", "--no-check", "-x", dsc, tmp_path / "tree"]
    subprocess.run(unpack, check=True, capture_output=True)
    packed, tree = open_source(dsc), open_source(tmp_path / "tree")
    paths = {"catalog.c", "relaxng.c", "dict.c", "test/catalogs/recursive.sgml"}
    assert tree.read(paths) == packed.read(paths)
    assert (tmp_path / "tree/catalog.c").read_text() != packed.read(paths)["catalog.c"]
    assert tree.series() == packed.series()
    assert tree.version == packed.version


def test_paths_that_leave_the_tree_are_not_read(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    (root / "debian").mkdir(parents=True)
    (root / "debian/changelog").write_text(
        "x (1-1) s; urgency=low\n\n  * X.\n\n -- N <n@x>  Mon, 01 Jan 2024 00:00:00 +0000\n"
    )
    (tmp_path / "outside.c").write_text("secret")
    (root / "link.c").symlink_to(tmp_path / "outside.c")
    (root / "inside.c").write_text("int x;\n")
    read = open_source(root).read({"../outside.c", "link.c", "inside.c"})
    assert read == {"inside.c": "int x;\n"}


def test_a_changed_archive_is_refused_and_the_untouched_one_is_not(tmp_path: Path) -> None:
    dsc = real(f"source/{XML2}.dsc")
    for name in (f"{XML2}.dsc", f"{XML2}.debian.tar.xz", "libxml2_2.9.14+dfsg.orig.tar.xz"):
        shutil.copyfile(dsc.parent / name, tmp_path / name)
    assert open_source(tmp_path / f"{XML2}.dsc").version
    with (tmp_path / f"{XML2}.debian.tar.xz").open("r+b") as file:
        file.seek(1_000)
        file.write(b"?")
    with pytest.raises(BuildError, match="sha256"):
        open_source(tmp_path / f"{XML2}.dsc")


def test_what_is_no_source_package_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "x.dsc").write_text("Format: 1.0\nChecksums-Sha256:\n abc 1 x.tar.gz\n")
    (tmp_path / "y.dsc").write_text("hello")
    for name, what in (
        ("x.dsc", "format 1.0 is not supported"),
        ("y.dsc", "is not a .dsc file"),
        ("absent.dsc", "cannot be read"),
        (".", "no debian/changelog"),
    ):
        with pytest.raises(BuildError, match=what):
            open_source(tmp_path / name)


def test_a_damaged_dsc_ends_in_a_tree_or_a_build_error(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    good = real(f"source/{XML2}.dsc").read_bytes()
    for _ in range(100):
        data = bytearray(good)
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        (tmp_path / "x.dsc").write_bytes(data)
        try:
            open_source(tmp_path / "x.dsc")
        except BuildError as error:
            assert str(error)
