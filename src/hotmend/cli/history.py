"""``hotmend history MACHINE``: what was done on a machine."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from hotmend.cli.fleet import as_object_option, fleet, print_object, print_table, when


@click.command("history")
@click.argument("machine")
@click.option("--days", type=click.IntRange(1, 30), default=30, show_default=True)
@as_object_option
def command(machine: str, days: int, as_object: bool) -> None:
    """Show the assessments, installations and restarts of MACHINE, the newest first."""
    known = fleet()
    resource = known.resource(machine)
    found = known.history(resource, days)
    if as_object:
        print_object(machine=resource, history=found)
        return
    table = Table("started", "ended", "operation", "by", "status", "what came of it")
    for run in found:
        table.add_row(
            when(run["started"]),
            when(run["ended"]) if run["ended"] else "⧗ not yet",
            run["operation"],
            run["startedBy"],
            run["status"],
            "\n".join(_lines(run)),
        )
    print_table(table)


def _lines(run: dict[str, Any]) -> list[str]:
    lines = [run["problem"]] if run["problem"] else []
    for patch in run.get("patches", []):
        because = f": {patch['because']}" if patch["because"] else ""
        lines.append(f"{patch['article']} {patch['state']}{because}")
    return lines
