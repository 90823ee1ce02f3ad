"""Parity is computed: what is not live is a gap, and a gap stands in the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hotmend.model.advisory import AdvisoryState, AdvisoryVerdict, Ground
from hotmend.release import draft
from hotmend.release.classification import Classification
from hotmend.release.errors import CatalogueError
from hotmend.release.parity import Standing, Update, propose, rows
from hotmend.release.release import Kind, Month
from hotmend.release.report import markdown

LIVE = AdvisoryVerdict("CVE-2026-1", AdvisoryState.LIVE, Ground.PROOF, "shown")
WHOLE = Update(
    "nginx", "1", "2", Classification.SECURITY, ("CVE-2026-1",), True, "nginx.hotpatch", (LIVE,)
)
RESTART = replace(LIVE, state=AdvisoryState.NEEDS_RESTART, because="the structure grew")
UNKNOWN = replace(LIVE, state=AdvisoryState.UNKNOWN, because="nothing tells")


def test_a_month_in_which_everything_is_live_is_a_hotpatch() -> None:
    proposal = propose([WHOLE])
    assert proposal.kind is Kind.HOTPATCH and not proposal.gaps


@pytest.mark.parametrize("verdict", [RESTART, UNKNOWN])
def test_one_gap_proposes_an_unplanned_baseline(verdict: AdvisoryVerdict) -> None:
    gap = replace(WHOLE, package="openssl", verdicts=(verdict,), left=(("new-tls", 1),))
    proposal = propose([WHOLE, gap])
    assert proposal.kind is Kind.BASELINE
    assert [row.package for row in proposal.gaps] == ["openssl"]
    assert "1 new-tls" in proposal.reasons[0]
    assert verdict.because in {row.because for row in proposal.gaps}


def test_what_is_neither_critical_nor_security_is_no_gap() -> None:
    other = replace(WHOLE, classification=Classification.OTHER, verdicts=(RESTART,))
    proposal = propose([WHOLE, other])
    assert proposal.kind is Kind.HOTPATCH
    assert Standing.NEEDS_RESTART in {row.standing for row in proposal.rows}


@pytest.mark.parametrize(
    ("update", "standing"),
    [
        (WHOLE, Standing.LIVE),
        (replace(WHOLE, code=False, hotpatch="", verdicts=()), Standing.NOT_CODE),
        (replace(WHOLE, hotpatch="", verdicts=()), Standing.NEEDS_RESTART),
        (replace(WHOLE, verdicts=()), Standing.LIVE),
        (replace(WHOLE, verdicts=(), left=(("new-tls", 1),)), Standing.UNKNOWN),
        (replace(WHOLE, advisories=(), verdicts=()), Standing.LIVE),
        (replace(WHOLE, advisories=(), verdicts=(), left=(("new-tls", 1),)), Standing.UNKNOWN),
    ],
)
def test_each_update_has_a_row_and_a_standing(update: Update, standing: Standing) -> None:
    (row,) = rows([update])
    assert row.standing is standing


def test_an_update_that_names_nothing_stands_for_itself() -> None:
    (row,) = rows([replace(WHOLE, advisories=())])
    assert row.advisory == "nginx 2"


def test_a_month_without_any_hotpatch_is_none() -> None:
    proposal = propose([replace(WHOLE, code=False, hotpatch="", verdicts=())])
    assert proposal.kind is Kind.BASELINE
    assert proposal.reasons == ("nothing in the channel can be hotpatched",)


def test_a_draft_says_again_what_it_was_told() -> None:
    told = draft.Draft(
        "2026-11 for Debian 12", Month(2026, 11), (WHOLE, replace(WHOLE, left=(("x", 2),)))
    )
    assert draft.decode(draft.encode(told), "release.json") == told
    for wrong in ("", "[]", "{}", '{"version": 9}', draft.encode(told).replace("live", "alive")):
        with pytest.raises(CatalogueError, match=r"release\.json"):
            draft.decode(wrong, "release.json")


def test_the_report_counts_what_it_lists() -> None:
    odd = replace(RESTART, because="a | b\nc")
    gap = replace(WHOLE, package="openssl", verdicts=(odd,), left=(("new-tls", 1),))
    text = markdown("2026-11", propose([WHOLE, gap]))
    assert "**an unplanned baseline**" in text
    assert "| nginx | 1 | 0 | 0 | 0 |" in text and "| **all** | **1** | **1** |" in text
    assert r"| CVE-2026-1 | openssl | Security | needs-restart | a \| b c |" in text
    assert "**a hotpatch**" in markdown("2026-11", propose([WHOLE]))
