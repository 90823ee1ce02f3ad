"""``hotmend rollouts``: releases on their way to their machines, watched and steered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import click
from rich.table import Table

from hotmend.cli import exit_codes
from hotmend.cli.errors import CommandError
from hotmend.cli.fleet import api, as_object_option, leave, print_object, print_table, when
from hotmend.client.rollouts import DEEDS, Rollouts

_MARKS = {"running": "⧗", "paused": "⧗", "halted": "✗", "cancelled": "✗", "finished": "✓"}
_OVER = ("finished", "cancelled")
_COUNTS = ("waiting", "inFlight", "healthy", "failed")
_RESTART = "waits for a restart; old code runs until then"
_LOOK_EVERY_S = 1.0

_because = click.option("--because", default="", help="Why, for the audit log.")


@click.group("rollouts", invoke_without_command=True)
@as_object_option
@click.pass_context
def command(context: click.Context, as_object: bool) -> None:
    """List the rollouts; with a command, look at one or steer it."""
    if context.invoked_subcommand is not None:
        return
    found = _known().all()
    if as_object:
        print_object(rollouts=found)
        return
    table = Table("rollout", "state", "phase", "machines", "began", "ended", "id")
    for one in found:
        table.add_row(
            one["name"],
            _state(one),
            f"{one['phase']} of {one['lastPhase']}",
            str(one["machines"]),
            when(one["began"]),
            when(one["ended"]) if one["ended"] else "",
            one["id"],
        )
    print_table(table)


@command.command("show")
@click.argument("rollout")
@as_object_option
def show(rollout: str, as_object: bool) -> None:
    """How ROLLOUT, by its id or the beginning of its name, stands in each phase."""
    one = _known().one(rollout)
    if as_object:
        print_object(rollout=one)
    else:
        _print(one)
    leave(_code(one))


@command.command("watch")
@click.argument("rollout")
@click.option("--seconds", type=click.FloatRange(0), default=7 * 86400.0, help="At most.")
def watch(rollout: str, seconds: float) -> None:
    """A line whenever ROLLOUT stands differently, until it is over."""
    known, deadline, before = _known(), time.monotonic() + seconds, ""
    while True:
        one = known.one(rollout)
        line = _line(one)
        if line != before:
            click.echo(line)
            before = line
        if one["state"] in _OVER or time.monotonic() >= deadline:
            leave(_code(one))
            return
        time.sleep(_LOOK_EVERY_S)


@command.command("machines")
@click.argument("rollout")
@click.option("--state", default="", help="Only those that are waiting, started, failed, …")
@as_object_option
def machines(rollout: str, state: str, as_object: bool) -> None:
    """The machines of ROLLOUT, and how each stands."""
    known = _known()
    turns = list(known.turns(known.one(rollout)["id"], state))
    if as_object:
        print_object(turns=turns)
        return
    table = Table("machine", "state", "phase", "region", "zone", "group", "domain", "because", "id")
    for turn in turns:
        host = turn["host"] or "removed"
        table.add_row(
            f"{host} (simulated)" if turn["simulated"] else host,
            turn["state"],
            str(turn["phase"]),
            turn["region"],
            turn["zone"],
            turn["group"].rpartition("/")[2],
            str(turn["updateDomain"]),
            turn["because"] or (_RESTART if turn["restartRequired"] else ""),
            turn["machine"],
        )
    print_table(table)


def _deed(name: str, help_text: str) -> Callable[..., None]:
    @command.command(name, help=help_text)
    @click.argument("rollout")
    @_because
    @as_object_option
    def act(rollout: str, because: str, as_object: bool) -> None:
        known = _known()
        before = known.one(rollout)
        after = known.act(before["id"], name, because)
        if as_object:
            print_object(rollout=after)
            return
        click.echo(f"{_MARKS[after['state']]} {after['name']}: {after['state']}")
        if name in ("resume", "promote") and _same(before, after):
            click.echo("⧗ one has asked for it; a second person has to say so, too")
            leave(exit_codes.WAITING)

    return act


_HELP = {
    "pause": "Nothing more of ROLLOUT starts; what is in flight ends.",
    "resume": "ROLLOUT goes on; after a halt two people have to say so.",
    "halt": "Stop ROLLOUT as its failures would have.",
    "promote": "Open the next phase of ROLLOUT early; two people have to say so.",
    "cancel": "End ROLLOUT; machines keep what they have.",
}
for _name in DEEDS:
    _deed(_name, _HELP[_name])


@command.command("exclude")
@click.argument("rollout")
@click.argument("machine")
@_because
def exclude(rollout: str, machine: str, because: str) -> None:
    """Take MACHINE, by the id that `rollouts machines` shows, out of ROLLOUT."""
    known = _known()
    known.exclude(known.one(rollout)["id"], machine, because)
    click.echo(f"✓ {machine} has no turn in it any more")


@command.command("settings")
@click.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", help="An empty VALUE resets."
)
@as_object_option
def settings(changes: tuple[str, ...], as_object: bool) -> None:
    """What rollouts that begin from now on go by, where it is not as it comes."""
    known = _known()
    document = known.settings()
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise CommandError(f"{change} is not NAME=VALUE")
        document.pop(name, None)
        if value:
            document[name] = _value(value)
    if changes:
        known.set(document)
    if as_object:
        print_object(settings=document)
        return
    for name, value in sorted(document.items()):
        click.echo(f"{name} = {value}")
    if not document:
        click.echo("all as they come: docs/rollouts.md", err=True)


def _known() -> Rollouts:
    return Rollouts(api())


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _same(before: dict[str, Any], after: dict[str, Any]) -> bool:
    names = ("state", "phase", "frozenSubscriptions")
    return all(before[name] == after[name] for name in names)


def _state(one: dict[str, Any]) -> str:
    return f"{_MARKS[one['state']]} {one['state']}"


def _line(one: dict[str, Any]) -> str:
    waiting, in_flight, healthy, failed, restart = (
        sum(phase[name] for phase in one["phases"]) for name in (*_COUNTS, "restartRequired")
    )
    well = f"{healthy} healthy" + (f" ({restart} wait for a restart)" if restart else "")
    counts = f"{waiting} wait, {in_flight} in flight, {well}, {failed} failed"
    because = one["because"] or one["warning"]
    said = f" · {because}" if because else ""
    return f"{_state(one)} · phase {one['phase']} of {one['lastPhase']} · {counts}{said}"


def _print(one: dict[str, Any]) -> None:
    click.echo(f"{one['name']}  {one['id']}")
    click.echo(_line(one))
    table = Table("phase", "waiting", "in flight", "healthy", "failed", "healthy, to restart")
    for phase in one["phases"]:
        label = "0, canaries" if phase["phase"] == 0 else str(phase["phase"])
        mark = " ←" if phase["phase"] == one["phase"] and one["state"] not in _OVER else ""
        counts = (str(phase[name]) for name in (*_COUNTS, "restartRequired"))
        table.add_row(label + mark, *counts)
    print_table(table)
    if one["frozenSubscriptions"]:
        click.echo(f"✗ frozen: {', '.join(one['frozenSubscriptions'])}")


def _code(one: dict[str, Any]) -> int:
    if one["state"] == "halted" or any(phase["failed"] for phase in one["phases"]):
        return exit_codes.FAILED
    return exit_codes.DONE if one["state"] in _OVER else exit_codes.WAITING
