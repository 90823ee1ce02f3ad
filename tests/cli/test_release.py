"""``hotmend release`` and ``hotmend calendar`` as a publisher runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from cli.conftest import Run
from hotmend.cli import exit_codes
from real_packages import EXPAT, real

PROOFS = Path(__file__).parents[2] / "proofs"


def test_a_month_is_planned_from_real_packages(run: Run, tmp_path: Path) -> None:
    channel = tmp_path / "channel"
    channel.mkdir()
    for name in EXPAT:
        shutil.copy(real(name), channel)
    output = tmp_path / "release"
    words = ("plan", "--folder", channel, "--proofs", PROOFS, "--month", "2026-11")
    said = run("release", *words, "-o", output, "--json", check=exit_codes.DONE)
    plan = json.loads(said.out)
    assert plan["proposal"] == "baseline"
    standing = {row["advisory"]: row["standing"] for row in plan["rows"]}
    assert standing.pop("CVE-2026-93990") == "live"
    assert set(standing.values()) == {"unknown"} and plan["gaps"] == len(standing)
    (hotpatch,) = output.glob("*.hotpatch")
    run("inspect", hotpatch, check=exit_codes.DONE)
    said = run("release", "parity", output / "release.json", check=exit_codes.NEEDS_RESTART)
    assert "unplanned baseline" in said.out and "CVE-2026-93990" in said.out


def test_a_plan_needs_one_channel(run: Run, tmp_path: Path) -> None:
    run("release", "plan", "-o", tmp_path, check=exit_codes.USAGE)
    both = ("--folder", tmp_path, "--suite", "bookworm-security")
    run("release", "plan", *both, "-o", tmp_path, check=exit_codes.USAGE)


def test_a_draft_that_is_none_is_named(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "release.json"
    file.write_text("{}")
    said = run("release", "parity", file, check=exit_codes.FAILED)
    assert "release.json is not a release's draft" in said.err


def test_the_calendar_is_shown(run: Run) -> None:
    said = run("calendar", "--year", "2024", "--product", "2022", check=exit_codes.DONE)
    assert "baseline instead of hotpatch" in said.out
    said = run("calendar", "--year", "2026", "--json", check=exit_codes.DONE)
    assert len(json.loads(said.out)["products"]) == 2
    said = run("calendar", "--ics", "--product", "Server 2025", check=exit_codes.DONE)
    assert said.out.startswith("BEGIN:VCALENDAR")
    run("calendar", "--ics", check=exit_codes.FAILED)


def test_the_catalogue_is_listed(run: Run, tmp_path: Path) -> None:
    words = ("catalogue", "--product", "Server 2025", "--installed", "5066835")
    said = run(*words, check=exit_codes.DONE)
    assert "baseline-first" in said.out and "uninstall it" in said.out
    patches = json.loads(run(*words, "--json", check=exit_codes.DONE).out)["patches"]
    assert {p["state"] for p in patches} >= {"installed", "available", "superseded"}
    run("catalogue", check=exit_codes.USAGE)
    said = run("catalogue", "--product", "Plan 9", check=exit_codes.FAILED)
    assert "there are: " in said.err
    table = tmp_path / "mine.csv"
    table.write_text("article\nKB1\n")
    said = run("catalogue", "--table", table, check=exit_codes.FAILED)
    assert "mine.csv lacks the columns" in said.err
