"""``hotmend simulate rollout``: a rollout in a virtual world, with the real control plane in it."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import click
from rich.table import Table

from hotmend.cli.errors import CommandError
from hotmend.cli.fleet import as_object_option, print_object, print_table
from hotmend.cli.output import write_atomically
from hotmend.simulation.virtual.chart import line, progress, svg
from hotmend.simulation.virtual.hotpatch import KINDS
from hotmend.simulation.virtual.scenario import FAULTS, Scenario, drill, varied
from hotmend.simulation.virtual.world import Story, World

_WIDTH = 60


@click.command("rollout")
@click.option("--machines", type=click.IntRange(1, 1_000_000), default=1000, show_default=True)
@click.option("--seed", type=int, help="[default: another each time; it is printed]")
@click.option(
    "--days", type=click.FloatRange(0, 25), default=4.0, show_default=True, help="Faults."
)
@click.option("--faults", type=click.Choice(tuple(FAULTS)), help="[default: as the seed has it]")
@click.option("--hotpatch", type=click.Choice(tuple(KINDS)), default="good", show_default=True)
@click.option("--defaults", is_flag=True, help="The default settings, not those of the seed.")
@click.option("--chart", type=click.Path(dir_okay=False, path_type=Path), help="An SVG file.")
@as_object_option
def command(
    machines: int,
    seed: int | None,
    days: float,
    faults: str | None,
    hotpatch: str,
    defaults: bool,
    chart: Path | None,
    as_object: bool,
) -> None:
    """Roll out to machines that are not there, in virtual time, and check every rule.

    The seed chooses regions, sets, owners, faults and settings; the same seed gives the same trace.
    Nothing of the fleet that you are logged in to is touched.
    """
    seed = random.randrange(1 << 32) if seed is None else seed
    click.echo(f"seed {seed}", err=True)
    story = World(_scenario(machines, seed, days, faults or "", hotpatch, defaults)).run()
    if chart is not None:
        write_atomically(chart, svg(story).encode())
    if as_object:
        print_object(
            simulated=True,
            seed=seed,
            machines=machines,
            trace=story.trace,
            days=round(story.days, 2),
            starts=story.starts,
            crashed=len(story.crashed),
            rollouts=story.states,
            violations=[vars(one) for one in story.violations],
        )
    else:
        _draw(story)
    if story.violations:
        raise CommandError(f"the checker found {len(story.violations)} violations")


def _scenario(
    machines: int, seed: int, days: float, faults: str, hotpatch: str, defaults: bool
) -> Scenario:
    if hotpatch != "good":
        return drill(machines, seed, hotpatch, days)
    chosen = varied(machines, seed, days, faults)
    return replace(chosen, written={}) if defaults else chosen


def _draw(story: Story) -> None:
    table = Table("rollout", "region", f"healthy over {story.days:.1f} days", "turns now")
    last = story.samples[-1].counts
    for (rollout, region), samples in progress(story).items():
        counts = Counter(last.get((rollout, region), {}))
        now = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        table.add_row(rollout, region, line(samples, story.days, _WIDTH), now)
    print_table(table)
    for name, state in story.states.items():
        click.echo(f"{name}: {state}")
    click.echo(
        f"simulated: {story.scenario.machines} machines, {story.starts} starts, {story.ticks} "
        f"ticks, {story.deaths} deaths of replicas, {len(story.crashed)} machines crashed"
    )
    for one in story.violations:
        click.echo(f"violation of {one.rule}: {one.sentence}")
    click.echo("checker: no violations" if not story.violations else "checker: VIOLATIONS")
    click.echo(f"trace {story.trace}")
