"""Why a machine of the fleet waits: the other half of ``hotmend why``."""

from __future__ import annotations

import click

from hotmend.cli import exit_codes
from hotmend.cli.fleet import fleet, leave, print_object

_OUTSIDE = ("outside-window", "window-used")


def say(machine: str, *, as_object: bool) -> None:
    """One sentence; the exit status says whether it waits."""
    known = fleet()
    found = known.waiting(known.resource(machine))
    if as_object:
        print_object(machine=machine, **found)
    elif found["code"]:
        click.echo(f"⧗ {machine}: {found['because']}  ({found['code']})")
    else:
        click.echo(f"✓ {machine}: {found['because']}")
    if found["code"]:
        outside = found["code"] in _OUTSIDE
        leave(exit_codes.OUTSIDE_WINDOW if outside else exit_codes.WAITING)
