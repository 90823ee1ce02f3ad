"""For every test: real packages kept beside the checkout are used when nobody names a folder."""

from __future__ import annotations

import os
from pathlib import Path

_BESIDE = Path(__file__).parents[2] / "shared" / "pairs"

if not os.environ.get("HOTMEND_PAIRS") and _BESIDE.is_dir():
    os.environ["HOTMEND_PAIRS"] = str(_BESIDE)
