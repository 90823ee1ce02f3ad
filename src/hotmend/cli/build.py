"""``hotmend build OLD NEW -o FILE``: a hotpatch from two released builds."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

from hotmend.build.bench import make
from hotmend.build.builder import Build
from hotmend.build.proof import parse_proof
from hotmend.cli import exit_codes
from hotmend.cli.describe import advisory_lines, plural
from hotmend.cli.output import write_atomically
from hotmend.hotpatch.codec import encode


@click.command("build")
@click.argument("old", type=click.Path(exists=True, path_type=Path))
@click.argument("new", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE")
@click.option(
    "--source",
    nargs=2,
    type=click.Path(exists=True, path_type=Path),
    metavar="OLDTREE NEWTREE",
    help="Source packages (.dsc files or unpacked trees): say which functions each CVE touches.",
)
@click.option(
    "--proof",
    "proofs",
    multiple=True,
    metavar="CVE=SCRIPT",
    help="A script that shows the flaw, and its absence in a process that runs the hotpatch.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(
    old: Path,
    new: Path,
    output: Path,
    source: tuple[Path, Path] | None,
    proofs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Build a hotpatch that turns OLD into NEW in memory.

    OLD and NEW are .deb files, ELF files or folders. No source is needed. What cannot be carried
    safely is left out and named, with the evidence.
    """
    asked = [parse_proof(option) for option in proofs]
    began = time.monotonic()
    result, shown = make(old, new, source, asked)
    for proof in shown:
        click.echo(f"proof {proof.id}: {proof.because}", err=True)
    seconds = time.monotonic() - began
    size = 0
    if result.hotpatch is not None:
        data = encode(result.hotpatch)
        size = len(data)
        write_atomically(output, data)
    if as_json:
        click.echo(json.dumps(_as_json(result, output, size, seconds), ensure_ascii=False))
    else:
        _print(result, output, size, seconds)
    if result.hotpatch is None:
        click.echo(
            "✗ nothing of this update can be carried safely; nothing was written → "
            "install the update and restart what uses it",
            err=True,
        )
        raise SystemExit(exit_codes.NEEDS_RESTART)


def _print(result: Build, output: Path, size: int, seconds: float) -> None:
    click.echo(f"{result.old.title} → {result.new.title}")
    for image in result.results:
        changes = image.changes
        functions = changes.identical + len(changes.noise) + len(changes.changed)
        click.echo(
            f"  {image.old.name}: {plural(functions, 'function')} matched, "
            f"{changes.identical} identical, {len(changes.noise)} differ in line numbers only, "
            f"{len(changes.changed)} changed, {len(changes.replacements)} carried"
        )
        for note in changes.notes:
            click.echo(f"    · {note.sentence} (only words differ)")
    if result.hotpatch is not None:
        for line in advisory_lines(result.hotpatch.advisories):
            click.echo(f"  {line}")
    if result.left:
        counts = Counter(refusal.code.value for refusal in result.left)
        reasons = ", ".join(f"{count} {code}" for code, count in counts.most_common())
        click.echo(f"  ✗ left out: {reasons}")
        for code in counts:
            first = next(r for r in result.left if r.code.value == code)
            click.echo(f"      {first}")
    if result.hotpatch is not None:
        click.echo(f"✓ {output} ({size:,} bytes, {seconds:.1f} s) → hotmend inspect {output}")


def _as_json(result: Build, output: Path, size: int, seconds: float) -> dict[str, Any]:
    hotpatch = result.hotpatch
    return {
        "version": 1,
        "output": str(output) if hotpatch is not None else None,
        "bytes": size,
        "seconds": round(seconds, 3),
        "old": result.old.title,
        "new": result.new.title,
        "images": [
            {
                "name": image.old.name,
                "functions_old": len(image.changes.matching.old.units),
                "functions_new": len(image.changes.matching.new.units),
                "matched": len(image.changes.matching.to_old),
                "identical": image.changes.identical,
                "noise": len(image.changes.noise),
                "changed": len(image.changes.changed),
                "carried": len(image.changes.replacements),
                "added": len(image.changes.added),
                "detours": sum(len(r.detours) for r in image.changes.replacements),
                "references": sum(len(r) for r in image.changes.resolutions.values()),
                "whole": image.changes.whole,
                "independent": image.changes.independent,
            }
            for image in result.results
        ],
        "advisories": [
            {"id": v.id, "state": v.state.value, "by": v.ground.value, "because": v.because}
            for v in (hotpatch.advisories if hotpatch is not None else ())
        ],
        "left": [
            {
                "code": refusal.code.value,
                "sentence": refusal.sentence,
                "subject": refusal.subject,
                "evidence": dict(refusal.evidence),
            }
            for refusal in result.left
        ],
    }
