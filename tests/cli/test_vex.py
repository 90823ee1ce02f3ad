"""``hotmend vex`` beside real processes, and both formats by their own rules."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from lib4vex.parser import VEXParser
from packageurl import PackageURL

from cli.conftest import Run
from hotmend.cli import exit_codes
from hotmend.cli.vex import _status
from hotmend.hotpatch.codec import encode
from hotmend.model.advisory import AdvisoryState, AdvisoryVerdict, Ground
from hotmend.release.vex import OPENVEX, Finding, Status, cyclonedx, openvex
from surgery.workshop import hotpatch, running

LIVE = AdvisoryVerdict("CVE-2026-1", AdvisoryState.LIVE, Ground.PROOF, "shown")
RESTART = replace(LIVE, id="CVE-2026-2", state=AdvisoryState.NEEDS_RESTART)
UNKNOWN = replace(LIVE, id="CVE-2026-3", state=AdvisoryState.UNKNOWN)
FINDINGS = [
    Finding("CVE-2026-1", "nginx", "1.22.1-9+deb12u9", "amd64", status, "why") for status in Status
]


def _statuses(said: str) -> dict[str, str]:
    document = json.loads(said)
    return {s["vulnerability"]["name"]: s["status"] for s in document["statements"]}


def test_a_machine_says_what_runs_and_not_what_lies_on_its_disk(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "p.hotpatch"
    patch = replace(hotpatch("answer"), advisories=(LIVE, RESTART, UNKNOWN))
    file.write_bytes(encode(patch))
    with running("idle") as one, running("idle"):
        run("apply", file, "--pid", one.pid, check=exit_codes.DONE)
        said = run("vex", check=exit_codes.DONE)
        assert _statuses(said.out) == {
            "CVE-2026-1": "affected",
            "CVE-2026-2": "affected",
            "CVE-2026-3": "under_investigation",
        }
        said = run("vex", "--format", "cyclonedx", check=exit_codes.DONE)
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(said.out) is None


@pytest.mark.parametrize(
    ("verdict", "patched", "processes", "status"),
    [
        (LIVE, 3, 3, Status.FIXED),
        (LIVE, 0, 0, Status.FIXED),
        (LIVE, 2, 3, Status.AFFECTED),
        (RESTART, 3, 3, Status.AFFECTED),
        (RESTART, 0, 0, Status.FIXED),
        (UNKNOWN, 3, 3, Status.UNDER_INVESTIGATION),
        (UNKNOWN, 0, 0, Status.UNDER_INVESTIGATION),
    ],
)
def test_one_process_with_old_code_is_enough_to_be_affected(
    verdict: AdvisoryVerdict, patched: int, processes: int, status: Status
) -> None:
    assert _status(verdict, patched, processes)[0] is status


def test_cyclonedx_is_valid_by_its_schema() -> None:
    text = cyclonedx(FINDINGS)
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"resolved"', '"mended"')) is not None
    states = [v["analysis"]["state"] for v in json.loads(text)["vulnerabilities"]]
    assert sorted(states) == ["exploitable", "in_triage", "resolved"]


def test_openvex_has_what_its_specification_asks_for() -> None:
    document = openvex(FINDINGS, "machine one", datetime(2026, 11, 23, tzinfo=UTC))
    assert document["@context"] == OPENVEX and document["version"] == 1
    assert re.fullmatch(r"https://openvex\.dev/docs/hotmend/[0-9a-f]{64}", document["@id"])
    assert datetime.fromisoformat(document["timestamp"]).tzinfo is not None
    for statement in document["statements"]:
        assert statement["vulnerability"]["name"] and statement["status"] in set(Status)
        (product,) = statement["products"]
        purl = PackageURL.from_string(product["@id"])
        assert (purl.type, purl.name, purl.version) == ("deb", "nginx", "1.22.1-9+deb12u9")
        if statement["status"] == "affected":
            assert statement["action_statement"]


@pytest.mark.parametrize("kind", ["openvex", "cyclonedx"])
def test_somebody_elses_reader_finds_in_it_what_we_meant(tmp_path: Path, kind: str) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    document = (
        json.dumps(openvex(FINDINGS, "one", now)) if kind == "openvex" else cyclonedx(FINDINGS)
    )
    file = tmp_path / "machine.json"
    file.write_text(document)
    parser = VEXParser(vex_type=kind)
    parser.parse(str(file))
    found = parser.get_vulnerabilities()
    words = {"fixed": "resolved", "affected": "exploitable", "under_investigation": "in_triage"}
    expected = {s.value if kind == "openvex" else words[s.value] for s in Status}
    assert {row["id"] for row in found} == {"CVE-2026-1"}
    assert {row["status"] for row in found} == expected
    assert {row.get("purl") or row["bom_link"] for row in found} == {FINDINGS[0].purl}
