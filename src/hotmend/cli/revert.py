"""``hotmend revert``: a hotpatch out of running processes again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click

from hotmend.cli.files import read_hotpatch
from hotmend.cli.outcomes import as_json, exit_code, lines
from hotmend.hotpatch.codec import decode
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.surgery.errors import ProcessGone, Refused
from hotmend.surgery.ledger import Ledger, LedgerEntry, State
from hotmend.surgery.linux import LinuxProcess, identify
from hotmend.surgery.publishing import Terms
from hotmend.surgery.revert import revert
from hotmend.surgery.standing import inherited
from hotmend.surgery.targets import Finder


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
    wanted = hashlib.sha256(read_hotpatch(file)).hexdigest() if file is not None else None
    if file is not None:
        decode(read_hotpatch(file))
    ledger = Ledger()
    terms = Terms(budget_ms=budget_ms, patience_s=patience)
    outcomes: list[Outcome] = []
    with ledger.locked():
        known, damaged = ledger.entries()
        for sentence in damaged:
            click.echo(f"hotmend: {sentence}", err=True)
        candidates = [
            entry
            for entry in known
            if (wanted is None or entry.sha256 == wanted)
            and (package is None or entry.package == package)
        ]
        pids = chosen if chosen else tuple(_everywhere(candidates, ledger))
        for pid in pids:
            outcomes += _one(pid, candidates, ledger, terms)
    if as_object:
        content = {"version": 1, "outcomes": [as_json(outcome) for outcome in outcomes]}
        click.echo(json.dumps(content, ensure_ascii=False))
    else:
        for line in lines(outcomes):
            click.echo(line)
        if not outcomes:
            click.echo("nothing that the ledger knows of is applied; nothing to do")
    raise SystemExit(exit_code(outcomes))


def _everywhere(candidates: list[LedgerEntry], ledger: Ledger) -> list[int]:
    """Patched processes that still run, and children that inherited a hotpatch from them."""
    if not candidates:
        return []
    ids = {
        image.old_build_id for entry in candidates for image in ledger.hotpatch(entry.sha256).images
    }
    return Finder(ids).everywhere()[0]


def _one(pid: int, candidates: list[LedgerEntry], ledger: Ledger, terms: Terms) -> list[Outcome]:
    try:
        identity = identify(pid)
        with LinuxProcess(pid) as process:
            mine = [e for e in candidates if e.identity == identity]
            if not mine:
                mine = inherited(process, candidates)
            return [
                revert(process, entry, ledger, terms)
                for entry in reversed(mine)
                if entry.state is not State.REVERTED
            ]
    except ProcessGone:
        return [Outcome(pid, "?", OutcomeKind.GONE)]
    except Refused as no:
        return [Outcome(pid, "?", OutcomeKind.REFUSED, refusal=no.refusal)]
