"""OLD and NEW to a hotpatch: the publisher's whole way, without the proofs.

``build`` takes bundles, which somebody has read, and returns a value; nothing here touches a
process. Proofs need a finished file to apply, so ``judged`` puts the verdicts in afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hotmend import __version__
from hotmend.binary.bundle import Bundle, BundleImage, pair
from hotmend.binary.elf import load
from hotmend.binary.errors import BinaryError
from hotmend.build.changelog import read_span
from hotmend.build.payload import patched_image
from hotmend.build.proof import ProofResult
from hotmend.build.source_fix import SourceFix
from hotmend.build.verdict import Coverage, LeftFunction, judge
from hotmend.diff.changeset import ChangeSet
from hotmend.diff.differ import diff
from hotmend.hotpatch.hotpatch import Hotpatch, Made
from hotmend.model.refusal import Refusal, RefusalCode


@dataclass(frozen=True)
class ImageResult:
    """One pair of images, and what the differ said of it."""

    old: BundleImage
    new: BundleImage
    changes: ChangeSet


@dataclass(frozen=True)
class Build:
    """``hotpatch`` is None when nothing can be carried; ``left`` says why. ``advisories``: ids
    that the changelog says are fixed between the two releases, oldest first."""

    old: Bundle
    new: Bundle
    results: tuple[ImageResult, ...]
    hotpatch: Hotpatch | None
    left: tuple[Refusal, ...]
    advisories: tuple[str, ...]
    coverage: Coverage


def build(old: Bundle, new: Bundle) -> Build:
    """Diff every changed image, carry what can be carried.

    Raises BinaryError: images that cannot be read, swapped or equal builds; BuildError: a
    changelog that cannot be read.
    """
    pairing = pair(old, new)
    results = []
    left: list[Refusal] = []
    for first, second in pairing.changed:
        try:
            images = load(first.data, first.name), load(second.data, second.name)
        except BinaryError as error:
            if len(pairing.changed) == 1:
                raise
            left.append(_unreadable(first.name, str(error)))
            continue
        results.append(ImageResult(first, second, diff(*images)))
    one_sided = [
        *((image, "the fixed release no longer has") for image in pairing.only_old),
        *((image, "only the fixed release has") for image in pairing.only_new),
    ]
    left += [_unreadable(image.name, f"{what} this image") for image, what in one_sided]
    left += [refusal for result in results for refusal in result.changes.left]
    span = (
        read_span(new.changelog, old.source_version, new.source_version)
        if new.changelog and old.source_version and new.source_version
        else None
    )
    coverage = _coverage(results, left)
    carrying = [result for result in results if result.changes.replacements]
    made = Made(
        tool=f"hotmend {__version__}",
        inputs=(("old", old.label, old.sha256), ("new", new.label, new.sha256)),
    )
    hotpatch = (
        Hotpatch(
            package=old.package or old.label,
            architecture=old.architecture or "amd64",
            old_version=old.version,
            new_version=new.version,
            images=tuple(patched_image(result.changes) for result in carrying),
            advisories=(),
            left=tuple(left),
            made=made,
        )
        if carrying
        else None
    )
    ids = tuple(advisory.id for advisory in span.advisories) if span is not None else ()
    result = Build(old, new, tuple(results), hotpatch, tuple(left), ids, coverage)
    return judged(result, None, {})


def judged(
    result: Build, fixes: Mapping[str, SourceFix] | None, proofs: Mapping[str, ProofResult]
) -> Build:
    """The build with one verdict for each advisory (those of the changelog, then those that only
    a proof names), and with the proofs among what it was made from."""
    if result.hotpatch is None:
        return result
    ids = (*result.advisories, *(name for name in proofs if name not in result.advisories))
    inputs = result.hotpatch.made.inputs
    proved = tuple(("proof", name, proof.sha256) for name, proof in proofs.items())
    return replace(
        result,
        hotpatch=replace(
            result.hotpatch,
            advisories=judge(ids, result.coverage, fixes, proofs),
            made=replace(result.hotpatch.made, inputs=(*inputs, *proved)),
        ),
    )


def _coverage(results: list[ImageResult], left: list[Refusal]) -> Coverage:
    """What the verdicts count by, all images together."""
    carried_names, identical_names = set(), set()
    carried = 0
    left_functions = []
    about_functions: set[str] = set()
    for result in results:
        changes = result.changes
        carried += len(changes.replacements)
        replaced = {r.old.index for r in changes.replacements}
        changed = {old.index for old, _ in changes.changed}
        by_subject = {refusal.subject: refusal for refusal in changes.left}
        carried_names |= {name for r in changes.replacements for name, _ in r.old.symbols}
        for old, _ in changes.matching.pairs():
            if old.index not in changed:
                identical_names |= {name for name, _ in old.symbols}
        notes = {note.subject: note for note in changes.notes}
        for old, new in changes.changed:
            if old.index in replaced:
                continue
            refusal = by_subject.get(old.name) or by_subject.get(new.name)
            about_functions |= {old.name, new.name}
            note = notes.get(old.name)
            left_functions.append(
                LeftFunction(
                    name=old.symbols[0][0] if old.symbols else "",
                    refusal=note or refusal or changes.left[0],
                    noise=note is not None,
                )
            )
    uncovered = [r.sentence for r in left if r.subject not in about_functions]
    return Coverage(
        carried=carried,
        carried_names=frozenset(carried_names),
        identical_names=frozenset(identical_names),
        left=tuple(left_functions),
        uncovered=tuple(uncovered),
    )


def _unreadable(name: str, why: str) -> Refusal:
    return Refusal(RefusalCode.UNREDIRECTED_FUNCTION, f"{name}: {why}", name)
