"""``--source OLD NEW``: which functions each advisory's patches touch between two source packages.

A patch of debian/patches counts when it is new in NEW, gone from OLD or changed (not merely
refreshed), and belongs to the advisories that its file name or its header names. The series are
applied in memory, so that every hunk is seen in the file that it really changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

from unidiff.patch import PatchedFile

from hotmend.build.c_source import c_source
from hotmend.build.patch_step import (
    Changes,
    Step,
    apply_step,
    changes_of,
    parse_patch,
    paths_of,
)
from hotmend.build.source_fix import SourceFix, SourceFunction
from hotmend.build.source_tree import SourceTree, open_source

_ID = re.compile(r"\bCVE-\d{4}-\d{4,}|\bDSA-\d{3,5}(?:-\d+)?", re.IGNORECASE)
_BODY = re.compile(r"^(?:--- \S|diff -|Index: )", re.MULTILINE)
# Files under debian/ that do not decide how the code is built.
_NO_MATTER = re.compile(
    r"^(?:patches/|tests/|po/|source/|upstream/|changelog|control$|copyright|watch|gbp\.conf|\.git"
    r"|salsa-ci|README|NEWS|.*\.(?:symbols|docs|examples|lintian-overrides|manpages|NEWS|README)$)"
)


@dataclass(frozen=True)
class _Patch:
    name: str
    ids: frozenset[str]
    files: list[PatchedFile] = field(repr=False)
    changes: Changes = field(repr=False)


def read_fixes(old: Path, new: Path) -> dict[str, SourceFix]:
    """Advisory -> what its patches touch. ``old`` and ``new``: .dsc files or unpacked trees.

    Raises BuildError: not a source package, a patch that cannot be parsed or does not apply.
    """
    before, after = open_source(old), open_source(new)
    old_series, new_series = _parse(before), _parse(after)
    paths = {
        path
        for patch in (*old_series, *new_series)
        for file in patch.files
        for path in paths_of(file)
        if path
    }
    old_state, new_state = before.read(paths), after.read(paths)
    doubts = _doubts(before, after, same_upstream=old_state == new_state)
    steps = {
        label: (patch.ids, step)
        for label, patch, step in (
            *_walk(old_series, new_series, old_state, " (as it was)"),
            *_walk(new_series, old_series, new_state),
        )
    }
    advisories = sorted({one for ids, _ in steps.values() for one in ids})
    states = (old_state, new_state)
    return {one: _fix(one, steps, states, doubts) for one in advisories}


def _parse(tree: SourceTree) -> list[_Patch]:
    patches = []
    for name, text in tree.series():
        body = _BODY.search(text)
        header = f"{name}\n{text[: body.start()] if body else text}"
        ids = frozenset(match.upper() for match in _ID.findall(header))
        files = parse_patch(name, text)
        patches.append(_Patch(name, ids, files, changes_of(files)))
    return patches


def _walk(
    series: Sequence[_Patch], others: Sequence[_Patch], state: dict[str, str], suffix: str = ""
) -> list[tuple[str, _Patch, Step]]:
    """Apply all of ``series``; what its patches touch that those of the other series do not."""
    same = {patch.changes for patch in others}
    by_name = {patch.name: patch.changes for patch in others}
    steps = []
    for patch in series:
        look: Set[int] = frozenset()
        if patch.changes not in same:
            look = _only_here(patch.changes, by_name.get(patch.name, ()))
        step = apply_step(patch.name, patch.files, state, look)
        if look:
            steps.append((patch.name + suffix, patch, step))
    return steps


def _only_here(ours: Changes, theirs: Changes) -> Set[int]:
    """Places of the lines that an amended patch does not share with its other version."""
    shared = SequenceMatcher(None, theirs, ours, autojunk=False).get_matching_blocks()
    return set(range(len(ours))).difference(
        *(range(block.b, block.b + block.size) for block in shared)
    )


def _doubts(old: SourceTree, new: SourceTree, *, same_upstream: bool) -> tuple[str, ...]:
    doubts = []
    if old.upstream_version != new.upstream_version:
        doubts.append(
            f"the upstream version changes from {old.upstream_version} to {new.upstream_version}, "
            "so the patches are not all that changed"
        )
    elif not same_upstream:
        doubts.append("upstream's own files differ, so the patches are not all that changed")
    for path in sorted(old.debian.keys() | new.debian.keys()):
        if not _NO_MATTER.match(path) and old.debian.get(path) != new.debian.get(path):
            doubts.append(f"debian/{path} changes, so the patches are not all that changed")
    return tuple(doubts)


_Steps = Mapping[str, tuple[frozenset[str], Step]]


def _fix(
    advisory: str, steps: _Steps, states: Iterable[Mapping[str, str]], doubts: tuple[str, ...]
) -> SourceFix:
    patches = [name for name, (ids, _) in steps.items() if advisory in ids]
    builds_on = _builds_on(patches, steps)
    counted = [steps[name][1] for name in (*patches, *builds_on)]
    functions = sorted({function for step in counted for function in step.functions})
    return SourceFix(
        id=advisory,
        patches=tuple(patches),
        builds_on=tuple(builds_on),
        functions=tuple(functions),
        hosts=_hosts(functions, states),
        outside=tuple(dict.fromkeys(hunk for step in counted for hunk in step.outside)),
        doubts=doubts,
    )


def _builds_on(patches: list[str], steps: _Steps) -> list[str]:
    """Patches that define what these use, and patches of the same files that name no advisory:
    they may be a part of the fix that nobody labelled."""
    found = list(patches)
    for name in found:
        mine = steps[name][1]
        for other, (ids, step) in steps.items():
            unlabelled = not ids and step.files & mine.files
            if other not in found and (unlabelled or step.defines & mine.uses):
                found.append(other)
    return found[len(patches) :]


def _hosts(
    functions: Sequence[SourceFunction], states: Iterable[Mapping[str, str]]
) -> tuple[SourceFunction, ...]:
    """Functions of the same files, in either release, that mention a touched one in any way."""
    found: set[SourceFunction] = set()
    for path in {function.file for function in functions}:
        names = {function.name for function in functions if function.file == path}
        for state in states:
            found |= _mentioning(path, state.get(path, ""), names)
    return tuple(sorted(found - set(functions)))


def _mentioning(path: str, text: str, names: set[str]) -> set[SourceFunction]:
    source = c_source(text)
    reached = set(names)
    hosts: set[SourceFunction] = set()
    grown = True
    while grown:
        before = len(reached)
        reached |= {name for name, words in source.macros.items() if words & reached}
        for function in source.functions:
            if function.mentions & reached:
                hosts.add(SourceFunction(function.name or "?", path, function.static))
                reached.add(function.name or "?")
        grown = len(reached) > before
    return hosts
