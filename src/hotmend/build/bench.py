"""The publisher's bench: two inputs in, a judged build out, sources read and proofs run."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hotmend.binary.deb import load_bundle, unpack
from hotmend.build.builder import Build, build, judged
from hotmend.build.errors import BuildError
from hotmend.build.proof import Proof, ProofResult, apply_command, run_proof
from hotmend.build.source_patches import read_fixes
from hotmend.hotpatch.codec import encode
from hotmend.hotpatch.hotpatch import Hotpatch


def make(
    old: Path, new: Path, sources: tuple[Path, Path] | None, proofs: Sequence[Proof]
) -> tuple[Build, list[ProofResult]]:
    """Build what turns OLD into NEW, and judge every advisory. Raises BinaryError, BuildError."""
    result = build(load_bundle(old), load_bundle(new))
    fixes = read_fixes(*sources) if sources else None
    result = judged(result, fixes, {})
    if result.hotpatch is None or not proofs:
        return result, []
    shown = _prove(proofs, result.hotpatch, old)
    return judged(result, fixes, shown), list(shown.values())


def _prove(proofs: Sequence[Proof], hotpatch: Hotpatch, old: Path) -> dict[str, ProofResult]:
    """Run each proof on the old build and on a process that runs the hotpatch as built so far."""
    if old.is_file() and old.suffix != ".deb":
        raise BuildError(f"--proof needs OLD as a .deb or a folder to run, not {old.name}")
    with tempfile.TemporaryDirectory(prefix="hotmend-proof-") as folder:
        tree = old
        if old.is_file():
            tree = Path(folder) / "old"
            unpack(old, tree)
        file = Path(folder) / "candidate.hotpatch"
        file.write_bytes(encode(hotpatch))
        return {proof.id: run_proof(proof, tree, apply_command(file)) for proof in proofs}
