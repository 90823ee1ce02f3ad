"""``hotmend inspect FILE``: what a hotpatch applies to, carries, fixes and leaves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click

from hotmend.cli.describe import advisory_lines, plural
from hotmend.cli.files import read_hotpatch
from hotmend.hotpatch.codec import decode
from hotmend.hotpatch.hotpatch import Hotpatch, Import, PatchedImage


@click.command("inspect")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--functions", is_flag=True, help="List every carried function.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(file: Path, functions: bool, as_json: bool) -> None:
    """Show what the hotpatch FILE applies to, carries, fixes, leaves, and how it was made."""
    data = read_hotpatch(file)
    hotpatch = decode(data)
    if as_json:
        click.echo(json.dumps(_as_json(hotpatch, data), ensure_ascii=False))
        return
    _print(hotpatch, data, functions=functions)


def _print(hotpatch: Hotpatch, data: bytes, *, functions: bool) -> None:
    click.echo(f"{hotpatch.package} {hotpatch.old_version} → {hotpatch.new_version}")
    click.echo(f"  sha256 {hashlib.sha256(data).hexdigest()}, {len(data):,} bytes")
    click.echo("applies to")
    for image in hotpatch.images:
        click.echo(f"  {image.name}  build-id {image.old_build_id}")
    click.echo("carries")
    for image in hotpatch.images:
        _print_image(image, functions=functions)
    click.echo("fixes")
    for line in advisory_lines(hotpatch.advisories) if hotpatch.advisories else ["nothing named"]:
        click.echo(f"  {line}")
    if hotpatch.left:
        click.echo("leaves")
        for refusal in hotpatch.left:
            click.echo(f"  ✗ {refusal}")
            if functions:
                for name, value in refusal.evidence:
                    click.echo(f"      {name}: {value}")
    click.echo("made by")
    click.echo(f"  {hotpatch.made.tool}")
    for role, name, digest in hotpatch.made.inputs:
        click.echo(f"  {role}  {name}  sha256 {digest}")


def _print_image(image: PatchedImage, *, functions: bool) -> None:
    detours = sum(function.entry is not None for function in image.functions)
    size = sum(len(chunk) for _, chunk in image.chunks)
    consistency = "entry" if image.independent else f"strict ({image.dependence})"
    click.echo(
        f"  {image.name}: {plural(len(image.functions), 'function')}, {plural(detours, 'detour')}, "
        f"{size:,} bytes, {plural(len(image.fixups), 'fixup')}; consistency: {consistency}"
    )
    imports = {f.target.symbol for f in image.fixups if isinstance(f.target, Import)}
    if imports:
        click.echo(f"    new imports: {', '.join(sorted(imports))}")
    if functions:
        for function in image.functions:
            where = f"{function.entry:#x}" if function.entry is not None else "inside only"
            click.echo(f"    {function.name}  {where}")


def _as_json(hotpatch: Hotpatch, data: bytes) -> dict[str, Any]:
    return {
        "version": 1,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "package": hotpatch.package,
        "architecture": hotpatch.architecture,
        "old_version": hotpatch.old_version,
        "new_version": hotpatch.new_version,
        "images": [
            {
                "name": image.name,
                "old_build_id": image.old_build_id.hex,
                "new_build_id": image.new_build_id.hex,
                "independent": image.independent,
                "dependence": image.dependence,
                "bytes": sum(len(chunk) for _, chunk in image.chunks),
                "fixups": len(image.fixups),
                "functions": [
                    {"name": f.name, "entry": f.entry, "ranges": f.ranges} for f in image.functions
                ],
            }
            for image in hotpatch.images
        ],
        "advisories": [
            {"id": v.id, "state": v.state.value, "by": v.ground.value, "because": v.because}
            for v in hotpatch.advisories
        ],
        "left": [
            {"code": r.code.value, "sentence": r.sentence, "evidence": dict(r.evidence)}
            for r in hotpatch.left
        ],
        "made": {
            "tool": hotpatch.made.tool,
            "inputs": hotpatch.made.inputs,
            "options": hotpatch.made.options,
        },
    }
