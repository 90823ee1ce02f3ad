from __future__ import annotations

from pathlib import Path

import pytest

from hotmend.model.refusal import RefusalCode

PAGES = Path(__file__).parents[1] / "docs" / "refusals"
SECTIONS = ("## What it means", "## Why Hotmend says no", "## Evidence", "## What to do")


@pytest.mark.parametrize("code", [code.value for code in RefusalCode])
def test_every_code_has_a_page_that_answers_four_questions(code: str) -> None:
    text = (PAGES / f"{code}.md").read_text()
    assert text.startswith(f"# {code}\n")
    for section in SECTIONS:
        after = text.partition(f"{section}\n")[2].partition("\n## ")[0]
        assert len(after.strip()) >= 20, f"{code}: {section!r} says too little"


def test_no_page_stands_for_a_code_that_does_not_exist() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")}
    assert pages - {"index"} == {code.value for code in RefusalCode}


def test_the_index_lists_every_code() -> None:
    index = (PAGES / "index.md").read_text()
    for code in RefusalCode:
        assert f"({code.value}.md)" in index
