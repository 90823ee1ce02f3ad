"""``hotmend machines``: the fleet, a line for each machine."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from hotmend.cli.fleet import as_object_option, fleet, name_of, print_object, print_table, when


@click.command("machines")
@as_object_option
def command(as_object: bool) -> None:
    """List the machines of the fleet."""
    found = fleet().machines()
    if as_object:
        print_object(machines=found)
        return
    table = Table("machine", "agent", "assessed", "critical, security", "other", "restart", "id")
    for machine in found:
        table.add_row(
            name_of(machine),
            _agent(machine),
            when(machine["assessed"]),
            _number(machine, "criticalAndSecurityPatchCount"),
            _number(machine, "otherPatchCount"),
            "⧗ pending" if machine["rebootPending"] else "",
            machine["id"],
        )
    print_table(table)
    click.echo(f"{len(found)} machines", err=True)


def _number(machine: dict[str, Any], name: str) -> str:
    """Who could not read all releases may lack more than it found."""
    if machine[name] is None:
        return "unknown"
    return f"{machine[name]} or more" if machine["releasesNotRead"] else str(machine[name])


def _agent(machine: dict[str, Any]) -> str:
    if machine["connected"]:
        return "✓ connected"
    return f"✗ silent since {when(machine['lastSeen'])}"
