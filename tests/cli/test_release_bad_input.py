"""Bad input to the commands of releases: a sentence, the exit status, nothing changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.conftest import Run
from hotmend.cli import exit_codes

CONTENTS = {
    "binary": b"\xff\xfe\x00",
    "empty": b"",
    "deep": b"[" * 50_000,
    "html": b"<html>404</html>",
    "null": b"null",
}
COMMANDS = {
    "baseline status": (),
    "baseline install": (),
    "catalogue --draft": (),
    "catalogue --table": (),
    "calendar --table": (),
    "release parity": (),
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_something_else_is_named(
    run: Run, tmp_path: Path, command: str, content: str
) -> None:
    file = tmp_path / "given"
    file.write_bytes(CONTENTS[content])
    said = run(*command.split(), file, check=exit_codes.FAILED)
    assert "given" in said.err and "fault in hotmend" not in said.err, said.err
    assert said.err.startswith("hotmend: ") and said.err.count("\n") == 1
    assert file.read_bytes() == CONTENTS[content]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_not_there_is_a_matter_of_usage(run: Run, command: str) -> None:
    said = run(*command.split(), "/no/such/file", check=exit_codes.USAGE)
    assert "does not exist" in said.err


def test_options_cannot_be_smuggled_to_the_package_manager(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "baseline"
    mark = tmp_path / "mark"
    file.write_text(f"-oDpkg::Pre-Invoke::=touch${{IFS}}{mark}\n")
    said = run("baseline", "install", file, check=exit_codes.FAILED)
    assert "line 1: write package=version" in said.err and not mark.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("vex", "--format", "pdf"),
        ("vex", "extra"),
        ("baseline",),
        ("baseline", "install"),
        ("catalogue",),
        ("catalogue", "--no-such-option"),
        ("release", "prove"),
        ("release", "plan", "--suite", "bookworm"),
        ("release", "plan", "--suite", "bookworm", "--list", "--month", "2026-13"),
        ("repo", "refresh"),
        ("calendar", "--year", "1"),
    ],
    ids=" ".join,
)
def test_words_that_are_wrong_are_a_matter_of_usage(run: Run, words: tuple[str, ...]) -> None:
    if words == ("baseline",):  # a group alone shows its help
        assert "Usage" in run(*words).out + run(*words).err
        return
    assert "--help" in run(*words, check=exit_codes.USAGE).err


def test_vex_of_a_machine_without_hotpatches_is_an_empty_document(run: Run) -> None:
    document = json.loads(run("vex", check=exit_codes.DONE).out)
    assert document["statements"] == []


def test_vex_of_a_damaged_ledger_names_the_file(run: Run, tmp_path: Path) -> None:
    kept = tmp_path / "state" / "hotpatches"
    run("vex", check=exit_codes.DONE)
    kept.mkdir(parents=True, exist_ok=True)
    (kept / f"{'0' * 64}.hotpatch").write_bytes(b"rubbish")
    said = run("vex", check=exit_codes.FAILED)
    assert "fault in hotmend" not in said.err and "hotmend: " in said.err
