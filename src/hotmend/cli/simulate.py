"""``hotmend simulate``: agents of machines that are not there, over the real wire; with ``rollout``
a whole world that is not there, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from hotmend.agent.errors import RefusedByServer
from hotmend.cli import simulate_rollout
from hotmend.cli.errors import CommandError
from hotmend.cli.fleet import api, print_object
from hotmend.simulation import shape
from hotmend.simulation.behaviour import Behaviour
from hotmend.simulation.machine import Simulated, made_up
from hotmend.simulation.population import Layout, Place, alone, population
from hotmend.simulation.run import HEALTH_S, Fleet

_REGIONS = ("westeurope", "northeurope", "eastus")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SHARE = click.FloatRange(0, 1)


@click.group("simulate", invoke_without_command=True)
@click.option("--machines", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.option("--region", "regions", multiple=True, help=f"[default: {', '.join(_REGIONS)}]")
@click.option("--group", default="simulated", show_default=True, help="Their resource group.")
@click.option(
    "--in-sets", type=_SHARE, default=0.3, show_default=True, help="In availability sets."
)
@click.option("--set-size", type=click.IntRange(1, 200), default=5, show_default=True)
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE")
@click.option("--install-s", type=click.FloatRange(0), default=5.0, show_default=True)
@click.option(
    "--health-s",
    type=click.FloatRange(0.1),
    default=HEALTH_S,
    show_default=True,
    help="How often each says how it is.",
)
@click.option("--fails", type=_SHARE, default=0.0, help="Share of installations that fail.")
@click.option("--lies", type=_SHARE, default=0.0, help="Share of machines that say all went well.")
@click.option("--off", type=_SHARE, default=0.0, help="Share of the time that each is powered off.")
@click.option("--off-period-s", type=click.FloatRange(1), default=3600.0, show_default=True)
@click.option("--seed", type=int, help="[default: another each time; it is printed]")
@click.option("--for", "seconds", type=click.FloatRange(0), help="[default: until Ctrl-C]")
@click.option("--codes", type=_FILE, help="Made at the server: lines of NAME REGION CODE.")
@click.option("--url", help="Of the server that made them.")
@click.option("--ca", type=_FILE, help="Its ca.pem.")
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout, at the end.")
@click.pass_context
def command(
    context: click.Context,
    machines: int,
    regions: tuple[str, ...],
    group: str,
    in_sets: float,
    set_size: int,
    tags: tuple[str, ...],
    install_s: float,
    health_s: float,
    fails: float,
    lies: float,
    off: float,
    off_period_s: float,
    seed: int | None,
    seconds: float | None,
    codes: Path | None,
    url: str | None,
    ca: Path | None,
    as_object: bool,
) -> None:
    """Add simulated machines to the fleet that you are logged in to, and be their agents.

    They are marked simulated wherever they are shown. With codes nobody has to be logged in: the
    machines are those of the codes.
    """
    if context.invoked_subcommand is not None:
        return
    if any("=" not in tag for tag in tags):
        raise click.UsageError("--tag NAME=VALUE")
    seed = random.randrange(1 << 32) if seed is None else seed
    click.echo(f"seed {seed}", err=True)
    if codes is not None:
        if url is None or ca is None:
            raise click.UsageError("--codes needs --url and --ca")
        places, given = _of_codes(codes)
        fleet = Fleet(url, ca.read_text(encoding="ascii"), health_s)
        _run(fleet, places, given, Behaviour(install_s, fails=fails), seed, seconds, as_object)
        return
    layout = Layout(
        group,
        regions or _REGIONS,
        in_sets,
        set_size,
        tags=dict(tag.split("=", 1) for tag in tags),
    )
    manner = Behaviour(install_s, fails=fails, lies=lies, off=off, off_period_s=off_period_s)
    places = population(layout, machines, seed)
    control = api()
    given = shape.make(control, layout, places)
    click.echo(f"{machines} simulated machines in {group}", err=True)
    fleet = Fleet(control.login.url, control.login.authority, health_s)
    _run(fleet, places, given, manner, seed, seconds, as_object)


def _of_codes(file: Path) -> tuple[tuple[Place, ...], list[str]]:
    lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
    if not all(len(words) == 3 for words in lines):
        raise CommandError(f"{file} has a line that is not NAME REGION CODE")
    return tuple(alone(name, region) for name, region, _ in lines), [code for *_, code in lines]


def _run(
    fleet: Fleet,
    places: Sequence[Place],
    codes: Sequence[str],
    manner: Behaviour,
    seed: int,
    seconds: float | None,
    as_object: bool,
) -> None:
    updates = made_up()
    with suppress(KeyboardInterrupt, TimeoutError):
        try:
            asyncio.run(
                asyncio.wait_for(
                    fleet.run([Simulated(p, manner, seed, updates) for p in places], codes, _say),
                    seconds,
                )
            )
        except* RefusedByServer as refused:
            raise CommandError(str(refused.exceptions[0])) from None
    tally = fleet.tally
    if as_object:
        print_object(simulated=True, seed=seed, machines=len(places), **vars(tally))
    else:
        click.echo(
            f"simulated: {tally.enrolled} of {len(places)} machines enrolled, "
            f"{tally.orders} orders, {tally.reports} reports, {tally.troubles} troubles"
        )


command.add_command(simulate_rollout.command)


def _say(line: str) -> None:
    click.echo(line, err=True)
