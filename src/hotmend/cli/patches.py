"""``hotmend patches MACHINE``: what a machine could install."""

from __future__ import annotations

import click
from rich.table import Table

from hotmend.cli import exit_codes
from hotmend.cli.fleet import (
    as_object_option,
    exit_code_of,
    fleet,
    leave,
    print_object,
    print_table,
    when,
)


@click.command("patches")
@click.argument("machine")
@as_object_option
def command(machine: str, as_object: bool) -> None:
    """Show what the last assessment of MACHINE found."""
    known = fleet()
    resource = known.resource(machine)
    found = known.patches(resource)
    pending = bool(found.get("rebootPending"))
    if as_object:
        print_object(
            machine=resource, **{"patches" if k == "value" else k: v for k, v in found.items()}
        )
    elif found["assessed"] is None:
        click.echo(f"⧗ {machine} was never assessed → hotmend assess {machine}")
    else:
        table = Table("patch", "class", "into", "restart", "processes with old code", "advisories")
        for patch in found["value"]:
            table.add_row(
                patch["article"],
                patch["classification"],
                "memory" if patch["hotpatch"] else "disk",
                patch["rebootBehavior"],
                str(len(patch["outdatedProcesses"])),
                ", ".join(patch["advisories"]),
            )
        print_table(table)
        said = f"assessed {when(found['assessed'])}"
        if found["processesNotExamined"]:
            said += f", {found['processesNotExamined']} processes could not be examined"
        if pending:
            said += ", a restart is pending"
        click.echo(said, err=True)
        for name in found["releasesNotRead"]:
            click.echo(f"✗ {name} could not be read whole; it may bring more", err=True)
    code = exit_code_of(found["value"], reboot_pending=pending)
    leave(exit_codes.FAILED if code == exit_codes.DONE and found.get("releasesNotRead") else code)
