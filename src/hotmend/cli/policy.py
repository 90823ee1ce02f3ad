"""``hotmend policy``: what an agent goes by on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from hotmend.agent import settings
from hotmend.agent.probe import CommandProbe, HttpProbe, Probe, TcpProbe
from hotmend.agent.settings import Settings


@click.group("policy")
def command() -> None:
    """What an agent goes by on this machine."""


@command.command("show")
@click.option(
    "--settings",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=settings.FILE,
    show_default=True,
)
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout.")
def show(file: Path, as_object: bool) -> None:
    """Show the effective settings, and where each comes from."""
    chosen = settings.load(file)
    if as_object:
        rows = {name: _row(chosen, name) for name in settings.NAMES}
        click.echo(json.dumps({"version": 1, "settings": rows}, ensure_ascii=False))
        return
    width = max(map(len, settings.NAMES))
    for name in settings.NAMES:
        click.echo(f"{name:{width}}  {_shown(getattr(chosen, name)):7}  {chosen.source(name)}")
    for probe in chosen.probes:
        click.echo(f"  {probe.name}: {_asks(probe)} every {probe.every_s:g} s")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g} s" if isinstance(value, float) else str(len(value))


def _row(chosen: Settings, name: str) -> dict[str, Any]:
    value = getattr(chosen, name)
    if name == "probes":
        value = [asdict(probe) for probe in value]
    return {"value": value, "from": chosen.source(name)}


def _asks(probe: Probe) -> str:
    match probe.asks:
        case HttpProbe(url, status):
            return f"GET {url} → {status}"
        case TcpProbe(host, port):
            return f"connect to {host} port {port}"
        case CommandProbe(words):
            return " ".join(words)
