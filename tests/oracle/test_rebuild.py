"""The differ against libxml2 rebuilt with symbols; with controls that a wrong answer is seen.

Compiling the library twice takes two minutes the first time: HOTMEND_FULL=1 only.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from real_packages import XML2, real
from rebuild import Answer, ask, examine, table
from truth import libxml2_source

pytestmark = pytest.mark.skipif(
    os.environ.get("HOTMEND_FULL") != "1", reason="compiles libxml2 twice: set HOTMEND_FULL=1"
)


@pytest.fixture(scope="module")
def pairs() -> Path:
    if missing := libxml2_source.missing_tools():
        pytest.skip(f"libxml2 cannot be built here: no {', '.join(missing)}")
    real(f"source/libxml2_{libxml2_source.FIXED}.dsc")
    return real(XML2[0]).parent


@pytest.fixture(scope="module")
def answer(pairs: Path) -> Answer:
    return ask(pairs)


def test_the_differ_names_and_judges_every_function_as_the_compiler_did(
    pairs: Path, answer: Answer
) -> None:
    report = examine(pairs, answer)
    print(table(report))
    assert report.holds
    assert report.right > 2400
    assert len(report.touched) > 35


def test_two_functions_taken_for_each_other_are_seen(pairs: Path, answer: Answer) -> None:
    (one, its), (other, others) = sorted(answer.pairs.items())[100:102]
    report = examine(pairs, replace(answer, pairs=answer.pairs | {one: others, other: its}))
    assert len(report.wrong) == 2
    assert not report.holds


def test_a_change_that_was_missed_is_seen(pairs: Path, answer: Answer) -> None:
    missed = min(answer.changed)
    report = examine(
        pairs,
        replace(answer, changed=answer.changed - {missed}, replaced=answer.replaced - {missed}),
    )
    assert len(report.missed) == 1
    assert not report.holds


def test_an_unchanged_function_taken_for_changed_is_seen(pairs: Path, answer: Answer) -> None:
    same = min(answer.pairs.keys() - answer.changed - answer.only_line_numbers)
    report = examine(pairs, replace(answer, changed=answer.changed | {same}))
    assert len(report.spurious) == 1
    assert not report.holds


def test_a_patched_function_of_the_source_that_is_not_replaced_is_seen(
    pairs: Path, answer: Answer
) -> None:
    report = examine(pairs, replace(answer, replaced=frozenset()))
    fates = [fate for fate in report.touched.values() if fate.startswith("UNACCOUNTED")]
    assert len(fates) > 30
    assert not report.holds
