"""``hotmend release prove``: a hotpatch is tried on the real old build, and then says so."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import click

from hotmend.binary.deb import unpack
from hotmend.build.proof import (
    ProofOutcome,
    Seen,
    apply_command,
    parse_proof,
    run_proof,
    run_workload,
)
from hotmend.cli.errors import CommandError
from hotmend.cli.files import read_hotpatch
from hotmend.cli.output import write_atomically
from hotmend.hotpatch.codec import decode, encode
from hotmend.release.attestation import Shown, attested

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("prove")
@click.argument("file", type=_FILE)
@click.argument("old", type=click.Path(exists=True, path_type=Path))
@click.option("--proof", "proofs", multiple=True, metavar="CVE=SCRIPT")
@click.option(
    "--workload",
    "workloads",
    type=_FILE,
    multiple=True,
    metavar="SCRIPT",
    help="Exits with 0 when the software works: the package's own tests, or a smoke test.",
)
@click.option("-o", "output", type=click.Path(path_type=Path), required=True, metavar="PROVEN")
def command(
    file: Path, old: Path, proofs: tuple[str, ...], workloads: tuple[Path, ...], output: Path
) -> None:
    """Apply the hotpatch FILE to the real OLD build and run it: flaws shown before must be gone,
    and work done before must be done after. PROVEN is FILE with a statement of all this."""
    if not proofs and not workloads:
        raise click.UsageError("nothing to prove it by: add --proof or --workload")
    hotpatch = decode(read_hotpatch(file))
    tests = []
    with tempfile.TemporaryDirectory(prefix="hotmend-prove-") as folder:
        tree = Path(folder) / "old"
        unpack(old, tree)
        apply = apply_command(file)
        for proof in map(parse_proof, proofs):
            shown = run_proof(proof, tree, apply)
            passed = shown.outcome is ProofOutcome.FIXED
            tests.append(Shown(proof.id, passed, proof.sha256, shown.because))
        for script in workloads:
            before, after = run_workload(script, tree, apply)
            passed = before.seen is after.seen is Seen.ABSENT
            saw = f"old build: {before.sentence}; with the hotpatch: {after.sentence}"
            digest = hashlib.sha256(script.read_bytes()).hexdigest()
            tests.append(Shown(f"workload {script.name}", passed, digest, saw))
    for test in tests:
        click.echo(f"{'✓' if test.passed else '✗'} {test.name}: {test.saw}")
    if not all(test.passed for test in tests):
        raise CommandError("not proven; nothing was written")
    write_atomically(output, encode(attested(hotpatch, tests)))
    click.echo(f"✓ {output} → hotmend repo add")
