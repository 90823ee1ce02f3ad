"""Who asked to be left alone is left alone, and nobody else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hotmend.model.refusal import RefusalCode
from hotmend.surgery.optout import unit_of, wish

UNIT = "[Service]\nExecStart=/usr/sbin/db\n{}\n"


def _write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.mark.parametrize("line", ["X-Hotpatch=no", "x-hotpatch = No", "  X-Hotpatch=false"])
@pytest.mark.parametrize(
    "path",
    [
        "etc/systemd/system/db.service",
        "usr/lib/systemd/system/db.service",
        "etc/systemd/system/db.service.d/quiet.conf",
    ],
)
def test_a_unit_that_says_no_is_left_alone(tmp_path: Path, path: str, line: str) -> None:
    _write(tmp_path, path, UNIT.format(line))
    refusal = wish("db", "db.service", tmp_path)
    assert refusal is not None and refusal.code is RefusalCode.OPTED_OUT
    assert path in refusal.sentence
    assert wish("db", "other.service", tmp_path) is None


@pytest.mark.parametrize("line", ["X-Hotpatch=yes", "# X-Hotpatch=no", "X-Hotpatching=no", ""])
def test_a_unit_that_does_not_say_no_is_patched(tmp_path: Path, line: str) -> None:
    _write(tmp_path, "etc/systemd/system/db.service", UNIT.format(line))
    assert wish("db", "db.service", tmp_path) is None


def test_an_instance_follows_its_template(tmp_path: Path) -> None:
    _write(tmp_path, "etc/systemd/system/db@.service", UNIT.format("X-Hotpatch=no"))
    assert wish("db", "db@one.service", tmp_path) is not None


@pytest.mark.parametrize(("name", "left_alone"), [("db", True), ("db.service", True), ("d", False)])
def test_the_list_names_commands_and_units(tmp_path: Path, name: str, left_alone: bool) -> None:
    _write(tmp_path, "etc/hotmend/opt-out", f"# databases\n\n{name}  # not now\n")
    assert (wish("db", "db.service", tmp_path) is not None) is left_alone


def test_without_files_everybody_is_patched(tmp_path: Path) -> None:
    assert wish("db", "", tmp_path) is None
    assert isinstance(unit_of(os.getpid()), str)
