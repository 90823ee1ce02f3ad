"""The watched process of test_expat_live: Debian's Python with the old libexpat.

Argument: the proof. A line "begin" starts parsers that stay in the middle of a document; any
other line is a look, which also ends those.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path


def main(script: Path) -> None:
    """Answer until stdin ends."""
    spec = importlib.util.spec_from_file_location("proof", script)
    assert spec is not None and spec.loader is not None
    proof = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(proof)
    begun = []
    for line in sys.stdin:
        if line.strip() == "begin":
            begun = proof.half_fed()
            print(len(begun), flush=True)
        else:
            print(json.dumps(proof.look(begun)), flush=True)
            begun = []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
