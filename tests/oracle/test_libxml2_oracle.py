"""libxml2's own programs in processes that were patched before main().

Each case runs on the old build, on the fixed build, and on the old build patched. A patched
process must do exactly what the fixed build does: exit status, output, number of allocations,
blocks never freed. Both extremes of the measure are tested too: broken hotpatches must be seen.

HOTMEND_FULL=1 runs every program and input (minutes); without it, a slice that takes a minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from hotmend.hotpatch.codec import decode, encode
from hotmend.hotpatch.hotpatch import Function, Hotpatch, PatchedImage
from oracle.cases import Case, all_cases, slice_of_cases
from oracle.server import build_shim
from oracle.trial import Bench, Build, Trial, describe, differing
from real_packages import XML2, real
from truth import libxml2_source

FULL = os.environ.get("HOTMEND_FULL") == "1"
HOTMEND = (sys.executable, "-m", "hotmend.cli.main")


@dataclass(frozen=True)
class Oracle:
    bench: Bench
    cases: Sequence[Case]
    old: Build
    fixed: Build
    hotpatch: Hotpatch
    folder: Path
    on_old: Trial
    on_fixed: Trial

    @property
    def image(self) -> PatchedImage:
        return self.hotpatch.images[0]

    @property
    def telling(self) -> list[Case]:
        """The cases in which old and fixed build differ."""
        return differing(self.on_old, self.on_fixed)

    def patched(self, hotpatch: Hotpatch, name: str) -> Build:
        """The old build, hotpatched with this before main()."""
        file = self.folder / f"{name}.hotpatch"
        file.write_bytes(encode(hotpatch))
        return Build(self.old.library, partial(_apply, file))


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    if os.geteuid() != 0:
        pytest.skip("hotpatching other processes takes root")
    if missing := libxml2_source.missing_tools():
        pytest.skip(f"libxml2's programs cannot be built here: no {', '.join(missing)}")
    debs = [real(name) for name in XML2]
    pairs = debs[0].parent
    real(f"source/libxml2_{libxml2_source.FIXED}.dsc")
    folder = tmp_path_factory.mktemp("oracle")
    file = folder / "libxml2.hotpatch"
    build = [*HOTMEND, "build", *map(str, debs), "-o", str(file)]
    subprocess.run(build, check=True, capture_output=True)
    made = libxml2_source.source(pairs, libxml2_source.FIXED)
    cases = all_cases(made.tree) if FULL else slice_of_cases()
    bench = Bench(_programs(pairs, made, cases), build_shim(folder), folder)
    old = Build(libxml2_source.shipped(pairs, libxml2_source.OLD))
    fixed = Build(libxml2_source.shipped(pairs, libxml2_source.FIXED))
    hotpatch = decode(file.read_bytes())
    on_old, on_fixed = bench.run(cases, old), bench.run(cases, fixed)
    return Oracle(bench, cases, old, fixed, hotpatch, folder, on_old, on_fixed)


def test_the_cases_tell_the_old_build_from_the_fixed_one(oracle: Oracle) -> None:
    """The control without any patch: were this empty, the oracle would prove nothing."""
    assert len(oracle.telling) >= 25, describe(oracle.telling, oracle.on_old, oracle.on_fixed)


def test_the_fixed_build_does_the_same_twice(oracle: Oracle) -> None:
    again = oracle.bench.run(oracle.cases, oracle.fixed)
    unstable = differing(oracle.on_fixed, again)
    assert not unstable, describe(unstable, oracle.on_fixed, again)


def test_a_patched_process_does_what_the_fixed_build_does(oracle: Oracle) -> None:
    patched = oracle.bench.run(oracle.cases, oracle.patched(oracle.hotpatch, "whole"))
    different = differing(oracle.on_fixed, patched)
    assert not different, describe(different, oracle.on_fixed, patched)
    still_old = [case for case in oracle.telling if case not in differing(oracle.on_old, patched)]
    assert not still_old, describe(still_old, oracle.on_old, patched)


def test_nearly_every_replacement_is_entered(oracle: Oracle) -> None:
    """A function that never ran proves nothing."""
    build = oracle.patched(oracle.hotpatch, "counted")
    counted = oracle.bench.run(oracle.cases, build, counted=oracle.image)
    assert not differing(oracle.on_fixed, counted)
    names = [function.name for function in oracle.image.functions]
    never = [name for number, name in enumerate(names) if number not in counted.entered]
    print(f"{len(oracle.cases)} cases, {len(oracle.telling)} tell the old build from the fixed one")
    print(f"{len(counted.entered)} of {len(names)} replacements entered; never: {never}")
    assert len(counted.entered) >= 0.95 * len(names), never


@pytest.mark.parametrize("half", [0, 1])
def test_a_patch_with_half_its_entries_dropped_is_seen(oracle: Oracle, half: int) -> None:
    detoured = [f for f in oracle.image.functions if f.entry is not None]
    dropped = {function.name for function in detoured[half::2]}
    functions = tuple(
        replace(f, entry=None, short=None) if f.name in dropped else f
        for f in oracle.image.functions
    )
    assert _is_seen(oracle, functions, f"half-{half}")


@pytest.mark.parametrize(
    "names",
    [
        ("xmlIsID", "xmlIsRef"),
        ("xmlParseDTD", "xmlSAXParseDTD"),
        ("xmlXPathEval", "xmlLoadCatalog"),
    ],
    ids="-".join,
)
def test_two_entries_swapped_are_seen(oracle: Oracle, names: tuple[str, str]) -> None:
    by_name = {function.name: function for function in oracle.image.functions}
    one, other = (by_name[name] for name in names)
    swapped = {one.name: _leading_to(one, other), other.name: _leading_to(other, one)}
    functions = tuple(swapped.get(f.name, f) for f in oracle.image.functions)
    assert _is_seen(oracle, functions, f"swapped-{one.name}")


def _is_seen(oracle: Oracle, functions: tuple[Function, ...], name: str) -> bool:
    """Whether a hotpatch with these functions is told from the fixed build."""
    image = replace(oracle.image, functions=functions)
    hotpatch = replace(oracle.hotpatch, images=(image,))
    cases = [case for case in slice_of_cases() if case.program in ("drive", "xmllint")]
    trial = oracle.bench.run(cases, oracle.patched(hotpatch, name))
    return bool(differing(trial, oracle.on_fixed))


def _leading_to(function: Function, other: Function) -> Function:
    return replace(function, payload_ranges=other.payload_ranges, new_entry=other.new_entry)


def _apply(file: Path, pid: int) -> None:
    subprocess.run(
        [*HOTMEND, "apply", str(file), "--pid", str(pid)], check=True, capture_output=True
    )


def _programs(pairs: Path, made: libxml2_source.Source, cases: Sequence[Case]) -> dict[str, Path]:
    """Linked with the old library; runtest, which calls what only the fixed one exports, with
    that one (and run with either)."""
    here = {"drive": Path(__file__).parent / "drive.c"}
    programs = {}
    for name in sorted({case.program for case in cases}):
        version = libxml2_source.FIXED if name == "runtest" else libxml2_source.OLD
        code = here.get(name, made.tree / f"{name}.c")
        against = libxml2_source.shipped(pairs, version)
        programs[name] = libxml2_source.program(made, code, against)
    return programs
