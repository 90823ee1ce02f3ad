"""For every test: real packages kept beside the checkout are used when nobody names a folder; and
which tests may run beside each other."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_BESIDE = _HERE.parents[1] / "shared" / "pairs"
# Rooms whose tests patch processes wherever on the machine they run, or run such processes.
_OF_THE_MACHINE = {"agent", "build", "cli", "live", "oracle", "release", "surgery"}

if not os.environ.get("HOTMEND_PAIRS") and _BESIDE.is_dir():
    os.environ["HOTMEND_PAIRS"] = str(_BESIDE)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """For pytest-xdist: what has one group runs one after the other; else that is a file."""
    for item in items:
        place = item.path.relative_to(_HERE)
        group = "the machine" if place.parts[0] in _OF_THE_MACHINE else str(place)
        item.add_marker(pytest.mark.xdist_group(group))
