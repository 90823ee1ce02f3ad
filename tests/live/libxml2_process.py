"""The watched process of test_libxml2_live: one libxml2, looked at by the proofs on demand.

Arguments: the proofs' folder, then their file names. Every line read is one look by all of them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType


def load(script: Path) -> ModuleType:
    """A proof as a module; its name on disk is not one that import would take."""
    spec = importlib.util.spec_from_file_location(script.stem.replace("-", "_"), script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(folder: Path, names: list[str]) -> None:
    """Answer until stdin ends."""
    sys.path.insert(0, str(folder))
    library = load(folder / "libxml2.py").load(Path(os.environ["HOTMEND_TREE"]))
    proofs = {name.removesuffix(".py"): load(folder / name) for name in names}
    for _ in sys.stdin:
        answers = {}
        for name, proof in proofs.items():
            with tempfile.TemporaryDirectory() as scratch:
                answers[name] = proof.look(library, Path(scratch))
        print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
