"""``hotmend build`` with bad input: the sentence, the exit status, and no file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cli.conftest import Run
from hotmend.cli import exit_codes
from real_packages import EXPAT, real
from surgery import workshop

OLD, FIXED = "old", "fixed"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with two good builds and many bad ones."""
    good = {name: workshop.library(name).read_bytes() for name in (OLD, FIXED)}
    foreign = bytearray(good[OLD])
    foreign[18:20] = (183).to_bytes(2, "little")  # EM_AARCH64
    narrow = bytearray(good[OLD])
    narrow[4] = 1  # ELFCLASS32
    files = {
        **good,
        "text": b"not a program\n",
        "empty": b"",
        "truncated": good[OLD][:2000],
        "foreign": bytes(foreign),
        "narrow": bytes(narrow),
    }
    folder = tmp_path / "inputs"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "nothing").mkdir()
    return folder


def test_two_good_builds_make_a_file(run: Run, inputs: Path, tmp_path: Path) -> None:
    """The positive control of everything below."""
    output = tmp_path / "out.hotpatch"
    run("build", inputs / OLD, inputs / FIXED, "-o", output, check=exit_codes.DONE)
    said = run("inspect", output, "--json", check=exit_codes.DONE)
    assert {f["name"] for i in json.loads(said.out)["images"] for f in i["functions"]} >= {"answer"}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("text", FIXED, "text is neither a .deb nor an ELF file"),
        (OLD, "text", "text is neither a .deb nor an ELF file"),
        ("empty", FIXED, "empty is"),
        ("truncated", FIXED, "truncated is truncated; fetch it again"),
        (OLD, "truncated", "truncated is truncated; fetch it again"),
        ("foreign", FIXED, "foreign is for arm64"),
        ("narrow", FIXED, "64-bit"),
        ("nothing", FIXED, "holds no x86-64 program or library"),
        (OLD, OLD, "the same build twice"),
    ],
)
def test_bad_builds_are_named_and_nothing_is_written(
    run: Run, inputs: Path, tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    output = tmp_path / "out.hotpatch"
    said = run("build", inputs / old, inputs / new, "-o", output, check=exit_codes.FAILED)
    assert sentence in said.err
    assert said.err.startswith("hotmend: ") and said.err.count("\n") == 1
    assert not output.exists()


def test_a_missing_file_is_a_wrong_use(run: Run, inputs: Path, tmp_path: Path) -> None:
    said = run(
        "build", inputs / "absent", inputs / FIXED, "-o", tmp_path / "x", check=exit_codes.USAGE
    )
    assert "absent" in said.err and "does not exist" in said.err


def test_an_output_that_cannot_be_written_is_named(run: Run, inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "absent" / "out.hotpatch"
    said = run("build", inputs / OLD, inputs / FIXED, "-o", output, check=exit_codes.FAILED)
    assert f"{output} cannot be written" in said.err


def test_a_file_that_was_there_survives_a_failure(run: Run, inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.hotpatch"
    output.write_bytes(b"precious")
    run("build", inputs / OLD, inputs / "text", "-o", output, check=exit_codes.FAILED)
    assert output.read_bytes() == b"precious"


def test_packages_in_the_wrong_order_are_recognised(run: Run, tmp_path: Path) -> None:
    old, fixed = (real(name) for name in EXPAT)
    output = tmp_path / "out.hotpatch"
    said = run("build", fixed, old, "-o", output, check=exit_codes.FAILED)
    assert "OLD and NEW are swapped" in said.err
    assert not output.exists()
    run("build", old, fixed, "-o", output, check=exit_codes.DONE)
    assert output.exists()


def test_a_package_that_was_cut_short_is_named(run: Run, tmp_path: Path) -> None:
    old, fixed = (real(name) for name in EXPAT)
    cut = tmp_path / "cut.deb"
    with old.open("rb") as source, cut.open("wb") as target:
        shutil.copyfileobj(source, target)
    with cut.open("r+b") as file:
        file.truncate(old.stat().st_size * 2 // 3)
    said = run("build", cut, fixed, "-o", tmp_path / "x", check=exit_codes.FAILED)
    assert "cut.deb is truncated" in said.err
