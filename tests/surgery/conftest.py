"""Every stop window and every borrowed thread is tested twice: in C and in Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotmend.surgery import nativewindow
from hotmend.surgery.ledger import Ledger


@pytest.fixture(params=["c", "python"])
def window(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which implementation holds the threads."""
    kind = str(request.param)
    monkeypatch.setenv("HOTMEND_WINDOW", kind)
    if kind == "c" and not nativewindow.chosen():
        pytest.skip("the C extension is not built: pip install -e .")
    return kind


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state")
