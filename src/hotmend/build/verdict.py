"""What one advisory gets from the hotpatch, and by what that is known. Pure: values in, values out.

``live`` must never be wrong, so everything that is not known counts against it. In this order:

1. a proof that still shows the flaw in a patched process: needs-restart, whatever else is said;
2. the whole change set is carried: live;
3. a proof that shows the flaw and its absence: live;
4. the source package's patches touch a function that is left: needs-restart;
   they touch only functions that are known by name and carried (some may have compiled to the
   same code), and no copy of them can hide in code that is left: live;
5. nothing tells: unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hotmend.build.proof import ProofOutcome, ProofResult
from hotmend.build.source_fix import SourceFix, SourceFunction
from hotmend.model.advisory import AdvisoryState, AdvisoryVerdict, Ground
from hotmend.model.refusal import Refusal


@dataclass(frozen=True)
class LeftFunction:
    """A changed function that the hotpatch does not carry. ``name``: from .dynsym, "" where it has
    none. ``noise``: it differs in line numbers or version strings only."""

    name: str
    refusal: Refusal
    noise: bool = False


@dataclass(frozen=True)
class Coverage:
    """What the hotpatch carries of the change set, all images of the package together.

    ``carried``: number of carried functions. ``carried_names``, ``identical_names``: those with a
    name in .dynsym. ``left``: every changed function that is not carried. ``uncovered``: sentences
    on further differences between the releases that no function stands for, such as an image that
    only one of them has.
    """

    carried: int
    carried_names: frozenset[str]
    identical_names: frozenset[str]
    left: tuple[LeftFunction, ...]
    uncovered: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Nothing of the change set is left, and there was one."""
        return self.carried > 0 and not self.uncovered and all(one.noise for one in self.left)


def judge(
    ids: Iterable[str],
    coverage: Coverage,
    fixes: Mapping[str, SourceFix] | None = None,
    proofs: Mapping[str, ProofResult] | None = None,
) -> tuple[AdvisoryVerdict, ...]:
    """One verdict for each id, in order. ``fixes``: None where no sources were given."""
    return tuple(
        _judge_one(
            name,
            coverage,
            None if fixes is None else fixes.get(name),
            (proofs or {}).get(name),
            sources_given=fixes is not None,
        )
        for name in ids
    )


def _judge_one(
    name: str,
    coverage: Coverage,
    fix: SourceFix | None,
    proof: ProofResult | None,
    *,
    sources_given: bool,
) -> AdvisoryVerdict:
    outcome = None if proof is None else proof.outcome
    if proof is not None and outcome is ProofOutcome.STILL_THERE:
        return AdvisoryVerdict(name, AdvisoryState.NEEDS_RESTART, Ground.PROOF, proof.because)
    if coverage.whole:
        return AdvisoryVerdict(name, AdvisoryState.LIVE, Ground.WHOLE_SET, _whole(coverage))
    if proof is not None and outcome is ProofOutcome.FIXED:
        return AdvisoryVerdict(name, AdvisoryState.LIVE, Ground.PROOF, proof.because)
    if fix is not None:
        verdict = _judge_by_source(name, coverage, fix)
    elif sources_given:
        verdict = _unknown(name, "the update is carried in part, and no source patch names it")
    else:
        verdict = _unknown(
            name, "the update is carried in part, and no sources or proof were given"
        )
    if proof is not None and verdict.state is AdvisoryState.UNKNOWN:
        return _unknown(name, f"{verdict.because}; {proof.because}")
    return verdict


def _judge_by_source(name: str, coverage: Coverage, fix: SourceFix) -> AdvisoryVerdict:
    left = {one.name: one.refusal for one in coverage.left if one.name}
    for function in fix.functions:
        if not function.static and function.name in left:
            because = f"its patch touches {function.name}, which is left: {left[function.name]}"
            return AdvisoryVerdict(name, AdvisoryState.NEEDS_RESTART, Ground.SOURCE, because)
    missing = _missing(coverage, fix)
    if missing:
        return _unknown(name, missing)
    touched = ", ".join(sorted({function.name for function in fix.functions}))
    because = f"its patches touch only functions that are carried: {touched}"
    return AdvisoryVerdict(name, AdvisoryState.LIVE, Ground.SOURCE, because)


def _missing(coverage: Coverage, fix: SourceFix) -> str:
    """What keeps the patches from telling, or ""."""
    if fix.doubts:
        return fix.doubts[0]
    if fix.outside:
        first = fix.outside[0]
        more = f" and {len(fix.outside) - 1} more" if len(fix.outside) > 1 else ""
        return f"its patches change more than functions: {first.what} in {first.file}{more}"
    if not fix.functions:
        return "its patches touch no compiled function"
    known = coverage.carried_names | coverage.identical_names
    for function in fix.functions:
        if function.static or function.name not in known:
            return f"its patches touch {function.name}, which has no name in the stripped binary"
    if not any(function.name in coverage.carried_names for function in fix.functions):
        # The fix must then be in data, in another program, or not compiled in at all.
        return "its patches left no trace in the machine code of the functions they touch"
    return _hidden_copy(coverage, fix.hosts)


def _hidden_copy(coverage: Coverage, hosts: Iterable[SourceFunction]) -> str:
    """A function that mentions a touched one may hold an inlined copy, so none may be left."""
    left = [one for one in coverage.left if not one.noise]
    names = {one.name for one in left}
    known = coverage.carried_names | coverage.identical_names
    for host in hosts:
        if host.name in names:
            return f"{host.name}, which is left, may hold a copy of a function its patches touch"
        if "" in names and (host.static or host.name not in known):
            return (
                f"{host.name} may hold a copy of a function its patches touch, and it may be one "
                "of the nameless functions that are left"
            )
    return ""


def _whole(coverage: Coverage) -> str:
    noise = len(coverage.left)
    carried = f"every changed function of the update is carried ({coverage.carried})"
    return f"{carried}; {noise} left out differ only in noise" if noise else carried


def _unknown(name: str, because: str) -> AdvisoryVerdict:
    return AdvisoryVerdict(name, AdvisoryState.UNKNOWN, Ground.NOTHING, because)
