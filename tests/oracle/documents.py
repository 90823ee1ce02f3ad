"""The oracle's documents, in a folder of their own.

Debian's source package leaves out most of libxml2's test inputs (their licences are unclear), so
those in inputs/ are ours: small, and chosen for the functions that change.
"""

from __future__ import annotations

import shutil
from pathlib import Path

INPUTS = Path(__file__).parent / "inputs"
CHAIN = 1200
_GRAMMAR = '<grammar xmlns="http://relaxng.org/ns/structure/1.0">{}</grammar>'
_END = '<start><element name="r"><empty/></element></start>'


def write(folder: Path) -> None:
    """Make ``folder`` anew: all inputs, and chain/, grammars that include one another."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(INPUTS, folder)
    (folder / "chain").mkdir()
    for level in range(CHAIN):
        text = _GRAMMAR.format(f'<include href="{level + 1}.rng"/>')
        (folder / "chain" / f"{level}.rng").write_text(text)
    (folder / "chain" / f"{CHAIN}.rng").write_text(_GRAMMAR.format(_END))
