"""``hotmend audit``: who did what, and whether the log of it is whole."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.table import Table

from hotmend.cli import exit_codes
from hotmend.cli.errors import CommandError
from hotmend.cli.fleet import api, as_object_option, leave, print_object, print_table
from hotmend.client.audit import AuditLog, is_signed, problem
from hotmend.model.audit_log import Checkpoint, parsed

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("audit")
def command() -> None:
    """Read the control plane's audit log, and check it."""


@command.command("list")
@click.option("--last", type=click.IntRange(1), default=50, show_default=True)
@as_object_option
def list_entries(last: int, as_object: bool) -> None:
    """Show the last entries."""
    log = AuditLog(api())
    size = log.checkpoint().note.checkpoint.size
    found = deque(log.entries(max(0, size - last)), last)
    if as_object:
        print_object(entries=[asdict(entry) for entry in found])
        return
    table = Table("number", "time", "who", "what", "of what", "details")
    for entry in found:
        time = datetime.fromtimestamp(entry.time, UTC).isoformat(" ", "seconds")[:19]
        details = ", ".join(f"{name} {value}" for name, value in entry.details.items())
        table.add_row(str(entry.number), time, entry.who, entry.what, entry.subject, details)
    print_table(table)


@command.command("export")
def export() -> None:
    """Print every entry as one JSON object on a line of its own."""
    for entry in AuditLog(api()).entries():
        click.echo(json.dumps(asdict(entry), ensure_ascii=False))


@command.command("checkpoint")
def checkpoint() -> None:
    """Print the newest signed checkpoint; keep it where the server's keepers cannot change it."""
    click.echo(AuditLog(api()).checkpoint().text, nl=False)


@command.command("verify")
@click.option("--checkpoint", "file", type=_FILE, help="One that was kept; the log must have it.")
@as_object_option
def verify(file: Path | None, as_object: bool) -> None:
    """Compute the whole log's chain and tree again, and compare them with its checkpoints."""
    log = AuditLog(api())
    newest = log.checkpoint()
    wanted = [newest.note.checkpoint]
    if file is not None:
        wanted.append(_kept(file, newest.key))
    sound, wrong = problem(log.entries(), wanted)
    if as_object:
        print_object(entries=sound, problem=wrong or None)
    elif wrong:
        click.echo(f"✗ {wrong}", err=True)
    else:
        kept = f", also those of {file}" if file is not None else ""
        click.echo(f"✓ {sound} entries, as they were written{kept}")
    leave(exit_codes.FAILED if wrong else exit_codes.DONE)


def _kept(file: Path, key: bytes) -> Checkpoint:
    try:
        note = parsed(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"{file}: {error}") from None
    if not is_signed(note, key):
        raise CommandError(f"{file} is not signed with the key that the server has")
    return note.checkpoint
