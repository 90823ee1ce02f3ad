"""``hotmend enroll URL``: this machine becomes one of a fleet."""

from __future__ import annotations

from pathlib import Path

import click

from hotmend.agent.enrol import enrol
from hotmend.agent.folder import DEFAULT, AgentFolder

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("enroll")
@click.argument("url")
@click.option("--code", required=True, help="The one-time code (hotmend server code).")
@click.option("--ca", "authority", type=_FILE, required=True, help="The server's ca.pem.")
@click.option(
    "--root",
    type=_FILE,
    help="The publishers' root.json, received from them. Without it nothing is hotpatched.",
)
@click.option("--ring", default="", help="Of the signed rollout policy.  [default: by a hash]")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT,
    show_default=True,
    help="Where the agent keeps what it knows.",
)
def command(
    url: str, code: str, authority: Path, root: Path | None, ring: str, folder: Path
) -> None:
    """Enrol this machine at the control plane URL."""
    place = AgentFolder(folder)
    click.echo(f"enrolled as {enrol(place, url, code, authority, root)}")
    place.put_into(ring)
    if not place.trusts_a_root:
        click.echo("no publishers are trusted yet: enrol again with --root root.json", err=True)
    click.echo("→ hotmend agent")
