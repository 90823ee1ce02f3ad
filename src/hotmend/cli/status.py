"""``hotmend status``: one sentence about this machine."""

from __future__ import annotations

import json

import click

from hotmend.cli import exit_codes
from hotmend.surgery.ledger import Ledger, State
from hotmend.surgery.outdated import scan
from hotmend.surgery.procfs import lives


@click.command("status")
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout.")
def command(as_object: bool) -> None:
    """Say in one sentence how this machine stands."""
    processes, hidden = scan()
    outdated = [p for p in processes if p.outdated]
    entries, damaged = Ledger().entries()
    live = {
        entry.identity.pid
        for entry in entries
        if entry.state is State.APPLIED and lives(entry.identity)
    }
    if as_object:
        content = {
            "version": 1,
            "processes": len(processes),
            "outdated": len(outdated),
            "hotpatched": len(live),
            "not_examined": hidden,
            "ledger_damaged": damaged,
        }
        click.echo(json.dumps(content, ensure_ascii=False))
    elif outdated:
        click.echo(
            f"✗ {len(outdated)} of {len(processes)} processes run outdated code; "
            f"{len(live)} hotpatched → hotmend ps"
        )
    else:
        click.echo(
            f"✓ none of {len(processes)} processes runs outdated code; {len(live)} hotpatched"
        )
    if hidden:
        click.echo(
            f"{hidden} processes could not be examined and are unknown; run as root (sudo)",
            err=True,
        )
    raise SystemExit(exit_codes.NEEDS_RESTART if outdated else exit_codes.DONE)
