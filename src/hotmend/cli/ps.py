"""``hotmend ps``: processes that run outdated code, and those that are hotpatched."""

from __future__ import annotations

import json

import click

from hotmend.surgery.ledger import Ledger, LedgerEntry, State
from hotmend.surgery.outdated import ProcessFiles, scan
from hotmend.surgery.procfs import lives


@click.command("ps")
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout.")
def command(as_object: bool) -> None:
    """List the processes that run code which the disk no longer has, and what is hotpatched."""
    processes, hidden = scan()
    patched = _patched()
    shown = [p for p in processes if p.outdated or p.pid in patched]
    if as_object:
        click.echo(
            json.dumps(
                {
                    "version": 1,
                    "processes": [
                        {
                            "pid": p.pid,
                            "command": p.command,
                            "outdated": [{"path": f.path, "reason": f.reason} for f in p.outdated],
                            "hotpatched": [
                                {"package": e.package, "version": e.version}
                                for e in patched.get(p.pid, [])
                            ],
                        }
                        for p in shown
                    ],
                    "examined": len(processes),
                    "not_examined": hidden,
                },
                ensure_ascii=False,
            )
        )
        return
    for process in shown:
        for line in _lines(process, patched.get(process.pid, [])):
            click.echo(line)
    if not shown:
        click.echo(f"✓ none of {len(processes)} processes runs outdated code")
    if hidden:
        click.echo(f"{hidden} processes could not be examined; run as root (sudo)", err=True)


def _patched() -> dict[int, list[LedgerEntry]]:
    found: dict[int, list[LedgerEntry]] = {}
    for entry in Ledger().entries()[0]:
        if entry.state is State.APPLIED and lives(entry.identity):
            found.setdefault(entry.identity.pid, []).append(entry)
    return found


def _lines(process: ProcessFiles, entries: list[LedgerEntry]) -> list[str]:
    lines = []
    for entry in entries:
        names = ", ".join(image.name for image in entry.images)
        lines.append(f"✓ {process.command}  {process.pid}  {names}  hotpatched to {entry.version}")
    for file in process.outdated:
        lines.append(f"✗ {process.command}  {process.pid}  {file.path}  {file.reason}")
    return lines
