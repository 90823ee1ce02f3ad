from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotmend.build.proof import ProofResult, ProofRun, Seen
from hotmend.build.source_fix import OutsideHunk, SourceFix, SourceFunction
from hotmend.build.verdict import Coverage, LeftFunction, judge
from hotmend.model.advisory import AdvisoryState, AdvisoryVerdict, Ground
from hotmend.model.refusal import Refusal, RefusalCode

CVE = "CVE-2020-0001"
NO = Refusal(RefusalCode.DATA_LAYOUT_CHANGED, "a field moved")
RAW = Coverage(3, frozenset({"f", "g"}), frozenset({"same"}), ())
PART = replace(RAW, left=(LeftFunction("other", NO),))


def function(name: str, *, static: bool = False) -> SourceFunction:
    return SourceFunction(name, "a.c", static)


def fix(*names: str) -> SourceFix:
    return SourceFix(CVE, ("p",), (), tuple(map(function, names)), (), ())


def proof(before: Seen, after: Seen | None) -> ProofResult:
    run = ProofRun(before, 1, "seen", "")
    return ProofResult(CVE, run, None if after is None else replace(run, seen=after), "0" * 64)


GOOD = proof(Seen.PRESENT, Seen.ABSENT)
BAD = proof(Seen.PRESENT, Seen.PRESENT)


def one(
    coverage: Coverage, fix: SourceFix | None = None, proof: ProofResult | None = None
) -> AdvisoryVerdict:
    fixes = None if fix is None else {CVE: fix}
    (verdict,) = judge([CVE], coverage, fixes, None if proof is None else {CVE: proof})
    return verdict


def test_everything_carried_makes_every_advisory_live() -> None:
    verdicts = judge([CVE, "CVE-2020-0002"], RAW)
    assert [v.id for v in verdicts] == [CVE, "CVE-2020-0002"]
    assert {(v.state, v.ground) for v in verdicts} == {(AdvisoryState.LIVE, Ground.WHOLE_SET)}


def test_functions_left_for_noise_only_do_not_spoil_the_whole() -> None:
    noise = LeftFunction("main", replace(NO, code=RefusalCode.NEVER_RETURNS), noise=True)
    assert one(replace(RAW, left=(noise,))).state is AdvisoryState.LIVE
    assert one(replace(RAW, left=(replace(noise, noise=False),))).state is AdvisoryState.UNKNOWN


@pytest.mark.parametrize(
    "coverage",
    [
        PART,
        replace(RAW, uncovered=("libnew.so.1 is only in the new release",)),
        replace(RAW, carried=0, carried_names=frozenset()),
    ],
)
def test_a_part_without_evidence_is_unknown(coverage: Coverage) -> None:
    assert (one(coverage).state, one(coverage).ground) == (AdvisoryState.UNKNOWN, Ground.NOTHING)


def test_a_proof_makes_a_part_live() -> None:
    verdict = one(PART, proof=GOOD)
    assert (verdict.state, verdict.ground) == (AdvisoryState.LIVE, Ground.PROOF)


def test_a_proof_that_still_shows_the_flaw_outweighs_everything() -> None:
    for coverage in (RAW, PART):
        verdict = one(coverage, fix("f"), BAD)
        assert (verdict.state, verdict.ground) == (AdvisoryState.NEEDS_RESTART, Ground.PROOF)


@pytest.mark.parametrize(
    "inconclusive",
    [
        proof(Seen.ABSENT, None),
        proof(Seen.CANNOT_TELL, None),
        proof(Seen.PRESENT, Seen.CANNOT_TELL),
    ],
)
def test_a_proof_that_cannot_tell_changes_no_state(inconclusive: ProofResult) -> None:
    assert one(RAW, proof=inconclusive).state is AdvisoryState.LIVE
    assert one(PART, fix("f"), inconclusive).state is AdvisoryState.LIVE
    assert one(PART, fix("other"), inconclusive).state is AdvisoryState.NEEDS_RESTART
    verdict = one(PART, proof=inconclusive)
    assert verdict.state is AdvisoryState.UNKNOWN
    assert inconclusive.because in verdict.because


def test_patches_that_touch_only_carried_functions_make_a_part_live() -> None:
    verdict = one(PART, fix("f", "g"))
    assert (verdict.state, verdict.ground) == (AdvisoryState.LIVE, Ground.SOURCE)
    assert "f, g" in verdict.because


def test_a_touched_function_that_is_left_needs_a_restart_and_says_why() -> None:
    verdict = one(PART, fix("f", "other"))
    assert (verdict.state, verdict.ground) == (AdvisoryState.NEEDS_RESTART, Ground.SOURCE)
    assert "other" in verdict.because
    assert "data-layout-changed" in verdict.because


def test_a_function_compiled_to_the_same_code_is_no_hindrance_but_no_evidence_either() -> None:
    assert one(PART, fix("f", "same")).state is AdvisoryState.LIVE
    verdict = one(PART, fix("same"))
    assert verdict.state is AdvisoryState.UNKNOWN
    assert "no trace" in verdict.because


@pytest.mark.parametrize(
    ("doubtful", "what"),
    [
        (fix("f", "nameless"), "nameless, which has no name"),
        (replace(fix(), functions=(function("f", static=True),)), "f, which has no name"),
        (replace(fix("f"), outside=(OutsideHunk("a.h", 3, "macro"),)), "macro in a.h"),
        (replace(fix("f"), doubts=("the upstream version changes",)), "upstream version"),
        (fix(), "no compiled function"),
        (replace(fix("f"), hosts=(function("other"),)), "other, which is left"),
    ],
)
def test_whatever_patches_leave_open_is_unknown_and_named(doubtful: SourceFix, what: str) -> None:
    verdict = one(PART, doubtful)
    assert (verdict.state, verdict.ground) == (AdvisoryState.UNKNOWN, Ground.NOTHING)
    assert what in verdict.because


def test_a_nameless_function_that_is_left_may_hold_an_inlined_copy() -> None:
    nameless = replace(RAW, left=(LeftFunction("", NO),))
    hosted = replace(fix("f"), hosts=(function("helper", static=True),))
    assert one(nameless, fix("f")).state is AdvisoryState.LIVE
    assert one(nameless, hosted).state is AdvisoryState.UNKNOWN
    assert one(PART, hosted).state is AdvisoryState.LIVE
    assert one(nameless, replace(hosted, hosts=(function("g"),))).state is AdvisoryState.LIVE


def test_an_advisory_that_no_patch_names_is_unknown() -> None:
    (verdict,) = judge([CVE], PART, {})
    assert verdict.state is AdvisoryState.UNKNOWN
    assert "no source patch names it" in verdict.because


# --- properties: hypothesis prints the failing example and its seed ---------------------------

NAMES = st.sampled_from(["", "f", "g", "h", "same", "other"])
NAMED = st.sampled_from(["f", "g", "h", "same", "other"])
LEFT = st.builds(LeftFunction, NAMES, st.just(NO), st.booleans())
COVERAGES = st.builds(
    Coverage,
    st.integers(0, 3),
    st.frozensets(NAMED),
    st.frozensets(NAMED),
    st.lists(LEFT, max_size=4).map(tuple),
    st.lists(st.just("a sentence"), max_size=1).map(tuple),
)
FUNCTIONS = st.lists(st.builds(SourceFunction, NAMED, st.just("a.c"), st.booleans()), max_size=3)
HUNKS = st.lists(st.just(OutsideHunk("a.h", 1, "macro")), max_size=1)
FIXES = st.none() | st.builds(
    SourceFix,
    st.just(CVE),
    st.just(("p",)),
    st.just(()),
    FUNCTIONS.map(tuple),
    FUNCTIONS.map(tuple),
    HUNKS.map(tuple),
    st.lists(st.just("a doubt"), max_size=1).map(tuple),
)
PROOFS = st.none() | st.builds(proof, st.sampled_from(Seen), st.none() | st.sampled_from(Seen))
LIVE = AdvisoryState.LIVE


patient = settings(deadline=None)


@patient
@given(COVERAGES, FIXES, PROOFS, LEFT)
def test_one_more_refusal_never_makes_an_advisory_live(
    coverage: Coverage, fix: SourceFix | None, proof: ProofResult | None, more: LeftFunction
) -> None:
    worse = replace(coverage, left=(*coverage.left, more))
    if one(worse, fix, proof).state is LIVE:
        assert one(coverage, fix, proof).state is LIVE


@patient
@given(COVERAGES, FIXES, PROOFS, NAMED)
def test_one_function_carried_less_never_makes_an_advisory_live(
    coverage: Coverage, fix: SourceFix | None, proof: ProofResult | None, name: str
) -> None:
    worse = replace(
        coverage,
        carried_names=coverage.carried_names - {name},
        left=(*coverage.left, LeftFunction(name, NO)),
    )
    if one(worse, fix, proof).state is LIVE:
        assert one(coverage, fix, proof).state is LIVE


@patient
@given(COVERAGES, FIXES, PROOFS, FUNCTIONS, FUNCTIONS, HUNKS)
def test_patches_that_touch_more_never_make_an_advisory_live(
    coverage: Coverage,
    fix: SourceFix | None,
    proof: ProofResult | None,
    functions: list[SourceFunction],
    hosts: list[SourceFunction],
    hunks: list[OutsideHunk],
) -> None:
    if fix is None:
        return
    worse = replace(
        fix,
        functions=fix.functions + tuple(functions),
        hosts=fix.hosts + tuple(hosts),
        outside=fix.outside + tuple(hunks),
    )
    evidence = any(f.name in coverage.carried_names for f in fix.functions)
    if evidence and one(coverage, worse, proof).state is LIVE:
        assert one(coverage, fix, proof).state is LIVE


@patient
@given(COVERAGES, FIXES, PROOFS)
def test_live_always_rests_on_one_of_the_three_grounds(
    coverage: Coverage, fix: SourceFix | None, proof: ProofResult | None
) -> None:
    verdict = one(coverage, fix, proof)
    if verdict.state is LIVE and verdict.ground is Ground.SOURCE:
        assert fix is not None
        touched = {f.name for f in fix.functions}
        assert touched & coverage.carried_names
        assert not touched & {left.name for left in coverage.left}
        assert not fix.outside
    elif verdict.state is LIVE and verdict.ground is Ground.WHOLE_SET:
        assert all(left.noise for left in coverage.left)
    elif verdict.state is LIVE:
        assert proof is not None
        assert proof.after is not None
        assert proof.after.seen is Seen.ABSENT
    assert verdict.because
