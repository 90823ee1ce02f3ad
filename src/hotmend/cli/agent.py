"""``hotmend agent``: the machine's end of the fleet."""

from __future__ import annotations

from pathlib import Path

import click

from hotmend.agent import settings
from hotmend.agent.folder import DEFAULT, AgentFolder
from hotmend.agent.run import run


@click.command("agent")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT,
    show_default=True,
    help="Where the agent keeps what it knows.",
)
@click.option(
    "--settings",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=settings.FILE,
    show_default=True,
    help="Intervals, probes, whether the machine may be restarted.",
)
@click.option("--no-restart", is_flag=True, help="Never restart this machine, whoever asks.")
def command(folder: Path, file: Path, no_restart: bool) -> None:
    """Run the agent of this machine."""
    chosen = settings.load(file)
    if no_restart:
        chosen = chosen.given(settings.COMMAND_LINE, may_restart=False)
    run(AgentFolder(folder), chosen, lambda line: click.echo(line, err=True))
