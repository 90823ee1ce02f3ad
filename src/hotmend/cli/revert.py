"""``hotmend revert``: a hotpatch out of running processes again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click

from hotmend.cli.files import read_hotpatch
from hotmend.cli.outcomes import as_json, exit_code, lines
from hotmend.hotpatch.codec import decode
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.order import Order, Verb, collected
from hotmend.surgery.surgeon import hire


@click.command("revert")
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option("--package", help="Every hotpatch of this package.")
@click.option("--pid", "chosen", type=click.IntRange(min=1), multiple=True, metavar="N")
@click.option("--all", "everywhere", is_flag=True, help="Every patched process.")
@click.option("--budget-ms", type=click.FloatRange(min=0.1, max=10_000), default=50.0)
@click.option("--patience", type=click.FloatRange(min=0, max=3600), default=5.0)
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout.")
def command(
    file: Path | None,
    package: str | None,
    chosen: tuple[int, ...],
    everywhere: bool,
    budget_ms: float,
    patience: float,
    as_object: bool,
) -> None:
    """Write the saved bytes back: of the hotpatch FILE, of a package, or of everything."""
    if bool(chosen) == everywhere:
        raise click.UsageError("say which processes: --pid N (as often as needed) or --all")
    data = read_hotpatch(file) if file is not None else b""
    builds: tuple[str, ...] = ()
    if file is not None:
        builds = tuple(image.old_build_id.hex for image in decode(data).images)
    order = Order(
        Verb.REVERT,
        tuple(dict.fromkeys(chosen)),
        hashlib.sha256(data).hexdigest() if file is not None else "",
        builds,
        package=package or "",
        budget_ms=budget_ms,
        patience_s=patience,
    )
    with hire(Ledger()) as surgeon:
        outcomes, summary = collected(surgeon.perform(order, data))
    for sentence in summary.damaged:
        click.echo(f"hotmend: {sentence}", err=True)
    if as_object:
        content = {"version": 1, "outcomes": [as_json(outcome) for outcome in outcomes]}
        click.echo(json.dumps(content, ensure_ascii=False))
    else:
        for line in lines(outcomes):
            click.echo(line)
        if not outcomes:
            click.echo("no hotpatch is applied there; nothing to do")
    raise SystemExit(exit_code(outcomes))
