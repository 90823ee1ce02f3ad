"""``hotmend assess MACHINE…``: have machines look what they could install."""

from __future__ import annotations

import click

from hotmend.cli import exit_codes
from hotmend.cli.fleet import (
    as_object_option,
    exit_code_of,
    fleet,
    leave,
    most_pressing,
    print_object,
)


@click.command("assess")
@click.argument("machines", nargs=-1, required=True)
@click.option("--wait", "wait_s", type=click.FloatRange(0), default=300.0, show_default=True)
@as_object_option
def command(machines: tuple[str, ...], wait_s: float, as_object: bool) -> None:
    """Assess MACHINES now, and wait for the results."""
    known = fleet()
    begun = [(name, known.assess(known.resource(name))) for name in machines]
    codes, results = [], []
    for name, operation in begun:
        result = known.ended(operation, wait_s)
        results.append({"machine": name, "result": result})
        if result is None:
            codes.append(exit_codes.WAITING)
            said = f"⧗ {name}  has not answered within {wait_s:.0f} s"
        elif result["status"] == "Failed":
            codes.append(exit_codes.FAILED)
            said = f"✗ {name}  {result['error']['message']}"
        else:
            pending = result["rebootPending"]
            code = exit_code_of(result["availablePatches"], reboot_pending=pending)
            nothing = code == exit_codes.DONE and result["status"] != "Succeeded"
            codes.append(exit_codes.FAILED if nothing else code)
            said = (
                f"{'✗' if nothing else '✓'} {name}  "
                f"{result['criticalAndSecurityPatchCount']} critical or security, "
                f"{result['otherPatchCount']} other"
            ) + (", a restart is pending" if pending else "")
            if "error" in result:
                said += f"\n    {result['error']['message']}"
        if not as_object:
            click.echo(said)
    if as_object:
        print_object(assessments=results)
    leave(most_pressing(codes))
