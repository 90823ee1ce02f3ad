"""``hotmend calendar``: which month brings what, and when a restart is needed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hotmend.cli.errors import CommandError
from hotmend.cli.files import read_text
from hotmend.release import history
from hotmend.release.calendar import Entry, calendar, restart_needed_by
from hotmend.release.ics import ics
from hotmend.release.release import Kind, Month


@click.command("calendar")
@click.option("--product", help="Part of its name is enough.  [default: all of them]")
@click.option("--year", type=click.IntRange(2000, 2100), help="[default: this year]")
@click.option(
    "--table",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Releases of your own, in the columns of the shipped table.",
)
@click.option("--ics", "as_ics", is_flag=True, help="iCalendar on stdout; needs --product.")
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout.")
def command(
    product: str | None, year: int | None, table: Path | None, as_ics: bool, as_object: bool
) -> None:
    """Show planned baselines and hotpatches, and what was released for them."""
    now = datetime.now(UTC)
    year = year or now.year
    releases = history.shipped()
    if table is not None:
        releases += history.parse(read_text(table), table.name)
    names = history.products(releases)
    if product is not None:
        names = history.products(history.of_product(releases, product))
    if as_ics and len(names) != 1:
        raise CommandError("an iCalendar file is for one product: add --product")
    shown = {
        name: calendar(history.of_product(releases, name), Month(year, 1), Month(year, 12))
        for name in names
    }
    if as_ics:
        click.echo(ics(names[0], shown[names[0]], now), nl=False)
    elif as_object:
        content = {
            "version": 1,
            "products": [
                {"product": name, "months": [_as_json(entry) for entry in entries]}
                for name, entries in shown.items()
            ],
        }
        click.echo(json.dumps(content, ensure_ascii=False))
    else:
        for name, entries in shown.items():
            _print(name, entries, now)


def _print(name: str, entries: list[Entry], now: datetime) -> None:
    click.echo(name)
    for entry in entries:
        mark = "●" if entry.kind is Kind.BASELINE else "○"
        article = entry.release.article if entry.release is not None else ""
        restart = "restart" if entry.kind is not Kind.HOTPATCH else ""
        click.echo(
            f"  {mark} {entry.slot.month}  {entry.kind:<9} {entry.day}  {article:<10} {restart}"
            + (f"  {entry.differs}" if entry.differs else "")
        )
    due = restart_needed_by(entries, now.date())
    if due is not None:
        click.echo(f"  next restart needed by {due}")


def _as_json(entry: Entry) -> dict[str, Any]:
    release = entry.release
    return {
        "month": str(entry.slot.month),
        "planned": entry.slot.kind.value,
        "kind": entry.kind.value,
        "day": entry.day.isoformat(),
        "restart": entry.kind is not Kind.HOTPATCH,
        "article": release.article if release is not None else None,
        "build": release.build if release is not None else None,
        "released": release is not None and release.released is not None,
        "differs": entry.differs or None,
        "out_of_band": [r.article for r in entry.out_of_band],
    }
