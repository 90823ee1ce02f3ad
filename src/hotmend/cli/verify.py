"""``hotmend verify``: is every patched byte still as it was written?"""

from __future__ import annotations

import json
from typing import Any

import click

from hotmend.cli import exit_codes
from hotmend.cli.outcomes import refusal_as_json
from hotmend.model.refusal import Refusal
from hotmend.surgery.errors import ProcessError, ProcessGone, Refused
from hotmend.surgery.ledger import Ledger, LedgerEntry, State
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.procfs import identify
from hotmend.surgery.verify import verify


@click.command("verify")
@click.option("--pid", "chosen", type=click.IntRange(min=1), multiple=True, metavar="N")
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout.")
def command(chosen: tuple[int, ...], as_object: bool) -> None:
    """Read every patched byte of every patched process again and say what differs."""
    entries, damaged = Ledger().entries()
    for sentence in damaged:
        click.echo(f"hotmend: {sentence}", err=True)
    rows: list[tuple[LedgerEntry, list[Refusal] | None]] = []
    for entry in entries:
        if not chosen or entry.identity.pid in chosen:
            rows.append((entry, _verify(entry, entries)))
    rows = [row for row in rows if row[1] is not None or chosen]
    bad = any(differences for _, differences in rows)
    if as_object:
        content = {"version": 1, "processes": [_as_json(*row) for row in rows]}
        click.echo(json.dumps(content, ensure_ascii=False))
    else:
        _print(rows)
    raise SystemExit(exit_codes.FAILED if bad or damaged else exit_codes.DONE)


def _verify(entry: LedgerEntry, entries: list[LedgerEntry]) -> list[Refusal] | None:
    """None: the process is gone."""
    try:
        if identify(entry.identity.pid) != entry.identity:
            return None
        with LinuxProcess(entry.identity.pid, writable=False) as process:
            known = [other for other in entries if other.identity == entry.identity]
            return verify(process, entry, known)
    except (ProcessGone, ProcessError):
        return None
    except Refused as no:
        return [no.refusal]


def _print(rows: list[tuple[LedgerEntry, list[Refusal] | None]]) -> None:
    for entry, differences in rows:
        what = f"{entry.command}  {entry.identity.pid}  {entry.package} {entry.version}"
        writes = sum(len(image.writes) for image in entry.images)
        if differences is None:
            click.echo(f"· {what}  gone")
        elif differences:
            click.echo(f"✗ {what}  {len(differences)} places differ")
            for refusal in differences:
                click.echo(f"    {refusal}")
        elif entry.state is State.REVERTED:
            click.echo(f"✓ {what}  reverted, {writes} entries have their old bytes")
        else:
            click.echo(f"✓ {what}  {writes} detours and their payload as written")
    if not rows:
        click.echo("no running process has been patched")


def _as_json(entry: LedgerEntry, differences: list[Refusal] | None) -> dict[str, Any]:
    return {
        "pid": entry.identity.pid,
        "command": entry.command,
        "package": entry.package,
        "state": "gone" if differences is None else entry.state.value,
        "detours": sum(len(image.writes) for image in entry.images),
        "differences": [refusal_as_json(refusal) for refusal in differences or []],
    }
