"""``hotmend demo``: a real hotpatch on a real server, within a minute."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from hotmend.cli.errors import CommandError
from hotmend.demo import fleet_story, portal_story
from hotmend.demo.errors import DemoError
from hotmend.demo.screen import Screen
from hotmend.demo.story import tell


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave the patched server running.")
@click.option("--plain", is_flag=True, help="No colour, also on a terminal.")
@click.option("--fleet", is_flag=True, help="With a control plane, and this machine enrolled.")
@click.option("--portal", is_flag=True, help="Open the portal, with this machine in it.")
def command(keep: bool, plain: bool, fleet: bool, portal: bool) -> None:
    """Patch an old nginx while it serves: the flaw before, after, after undoing, and again.

    Needs Debian's nginx pair (HOTMEND_PAIRS, apt or the snapshot archive). Everything runs on
    loopback and is cleaned up.
    """
    if keep + fleet + portal > 1:
        raise click.UsageError("--keep, --fleet and --portal are demonstrations of their own")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        if portal:
            portal_story.tell(Screen(plain=plain))
        elif fleet:
            fleet_story.tell(Screen(plain=plain))
        else:
            tell(Screen(plain=plain), keep=keep)
    except DemoError as error:
        raise CommandError(f"the demonstration stopped: {error}") from None


def _leave(number: int, _: FrameType | None) -> None:
    """An exception, so that everything is cleaned up on the way out."""
    sys.exit(128 + number)
