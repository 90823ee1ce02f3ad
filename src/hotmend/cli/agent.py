"""``hotmend agent``: the machine's end of the fleet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from hotmend.agent.folder import DEFAULT, AgentFolder
from hotmend.agent.hand import Commands
from hotmend.agent.run import run


@click.command("agent")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT,
    show_default=True,
    help="Where the agent keeps what it knows.",
)
@click.option("--no-restart", is_flag=True, help="Never restart this machine, whoever asks.")
def command(folder: Path, no_restart: bool) -> None:
    """Run the agent of this machine."""
    commands = replace(Commands(), restart=()) if no_restart else Commands()
    run(AgentFolder(folder), commands, lambda line: click.echo(line, err=True))
