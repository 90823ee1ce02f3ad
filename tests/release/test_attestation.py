"""A statement of what was shown, about this package and no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hotmend.hotpatch.codec import decode, encode
from hotmend.release import draft
from hotmend.release.attestation import Shown, attested, proven
from hotmend.release.classification import Classification
from hotmend.release.errors import RepositoryError
from hotmend.release.parity import Update
from hotmend.release.release import Month
from hotmend.release.repository import keys
from hotmend.release.repository.client import Place
from hotmend.release.repository.publisher import Keys, Repository
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


def test_a_release_with_gaps_is_published_only_with_two_signatures_for_it(tmp_path: Path) -> None:
    signers = begin(tmp_path)
    mirror = Mirror(tmp_path / "repository", signers, Place(tmp_path, "", ""), tmp_path)
    now = datetime.now(UTC)
    update = Update("nginx", "1", "2", Classification.SECURITY, ("CVE-2026-1",), True)
    file = tmp_path / "2026-11.release.json"
    file.write_text(draft.encode(draft.Draft("2026-11", Month(2026, 11), (update,))))
    with pytest.raises(RepositoryError, match=r"2026-11\.release\.json has gaps"):
        mirror.repository.add([file], now)
    mirror.repository.add([file], now, gaps="restarted by hand this month")
    mirror.repository.sign(signers["targets1"])
    with pytest.raises(RepositoryError, match="1 of 2 signatures"):
        mirror.repository.publish(signers["online"], now)
    mirror.sign_and_publish(now)
    whole = tmp_path / "2026-12.release.json"
    live = replace(update, hotpatch="nginx.hotpatch")
    whole.write_text(draft.encode(draft.Draft("2026-12", Month(2026, 12), (live,))))
    mirror.repository.add([whole], now)


def test_one_publisher_alone_cannot_make_an_exception(tmp_path: Path) -> None:
    made = {name: keys.create(tmp_path / name) for name in ("root", "targets", "online")}
    repository = Repository(tmp_path / "repository")
    now = datetime.now(UTC)
    alone = Keys((made["root"],), 1, (made["targets"],), 1, made["online"])
    repository.begin(alone, 1, now)
    update = Update("nginx", "1", "2", Classification.SECURITY, ("CVE-2026-1",), True)
    file = tmp_path / "release.json"
    file.write_text(draft.encode(draft.Draft("2026-11", Month(2026, 11), (update,))))
    with pytest.raises(RepositoryError, match="2 publishers must sign"):
        repository.add([file], now, gaps="because")
