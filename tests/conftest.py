"""For every test: real packages kept beside the checkout are used when nobody names a folder; and
which tests may run beside each other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

_BESIDE = Path(__file__).parents[2] / "shared" / "pairs"
# Rooms whose tests patch processes wherever on the machine they run, or run such processes.
_OF_THE_MACHINE = {"agent", "build", "cli", "live", "oracle", "release", "surgery"}

if not os.environ.get("HOTMEND_PAIRS") and _BESIDE.is_dir():
    os.environ["HOTMEND_PAIRS"] = str(_BESIDE)


class ByRoom(LoadScopeScheduling):
    """What must not run beside each other goes to one worker; else that is a file."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.partition("::")[0])
        return "the machine" if _OF_THE_MACHINE.intersection(file.parts) else str(file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByRoom:
    return ByRoom(config, log)
