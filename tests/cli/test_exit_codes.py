"""The page on exit statuses lists every one, with its number."""

from __future__ import annotations

import re
from pathlib import Path

from hotmend.cli import exit_codes

_PAGE = Path(__file__).parents[2] / "docs" / "exit-codes.md"


def test_the_page_lists_exactly_the_constants() -> None:
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", _PAGE.read_text(), re.MULTILINE)
    constants = {n: v for n, v in vars(exit_codes).items() if n.isupper()}
    assert {name: int(number) for number, name in rows} == constants
