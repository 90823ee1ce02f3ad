"""A statement of what was shown, about this package and no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hotmend.hotpatch.codec import decode, encode
from hotmend.release.attestation import Shown, attested, proven
from hotmend.release.errors import RepositoryError
from hotmend.release.repository.client import Place
from release.mirror import Mirror, begin
from surgery.workshop import hotpatch

GOOD = Shown("CVE-2026-1", True, "ab" * 32, "there before, gone after")
BAD = replace(GOOD, name="workload smoke", passed=False)
PLAIN = hotpatch("answer")


def test_what_passed_is_proven_and_survives_the_file() -> None:
    shown = decode(encode(attested(PLAIN, [GOOD])))
    assert proven(shown) == ""
    assert replace(shown, attestations=()) == PLAIN


@pytest.mark.parametrize("tests", [[BAD], [GOOD, BAD], []])
def test_what_did_not_all_pass_is_not(tests: list[Shown]) -> None:
    assert "did not all pass" in proven(attested(PLAIN, tests))


def test_without_a_statement_nothing_is_proven() -> None:
    assert "carries no statement" in proven(PLAIN)


def test_a_statement_about_another_package_is_none() -> None:
    borrowed = attested(PLAIN, [GOOD]).attestations
    assert "about another package" in proven(replace(hotpatch("other"), attestations=borrowed))
    changed = replace(attested(PLAIN, [GOOD]), new_version="9")
    assert "about another package" in proven(changed)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"_type": "x"}', "\x00"])
def test_a_statement_that_is_none_is_said(text: str) -> None:
    assert proven(replace(PLAIN, attestations=(text,)))


def test_only_proven_hotpatches_are_published_or_with_a_reason(tmp_path: Path) -> None:
    signers = begin(tmp_path)
    mirror = Mirror(tmp_path / "repository", signers, Place(tmp_path, "", ""), tmp_path)
    now = datetime.now(UTC)
    unproven, shown = tmp_path / "a.hotpatch", tmp_path / "b.hotpatch"
    unproven.write_bytes(encode(PLAIN))
    shown.write_bytes(encode(attested(PLAIN, [GOOD])))
    with pytest.raises(RepositoryError, match=r"a\.hotpatch is unproven"):
        mirror.repository.add([unproven], now)
    mirror.repository.add([shown], now)
    mirror.repository.add([unproven], now, unproven="the flaw needs hardware that we have not")
    mirror.sign_and_publish(now)
    bins = [p.read_text() for p in mirror.metadata.glob("*.bin-*.json")]
    assert sum("hardware that we have not" in text for text in bins) == 1
    (tmp_path / "c.hotpatch").write_bytes(b"nonsense")
    with pytest.raises(RepositoryError, match=r"c\.hotpatch is no hotpatch"):
        mirror.repository.add([tmp_path / "c.hotpatch"], now)
