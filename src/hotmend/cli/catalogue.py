"""``hotmend catalogue``: what there is to install, and how it stands to one machine."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from hotmend.cli.errors import CommandError
from hotmend.cli.files import read_text
from hotmend.release import archive, catalogue_table, draft, history
from hotmend.release.catalogue import Offer, Patch, State, from_history, offers, undo
from hotmend.release.debian_catalogue import HOTPATCH, from_draft
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.ledger import State as LedgerState
from hotmend.surgery.procfs import lives

_MARKS = {
    State.INSTALLED: "✓",
    State.AVAILABLE: "●",
    State.SUPERSEDED: "·",
    State.BASELINE_FIRST: "✗",
    State.OFF_TRACK: "✗",
    State.OTHER_CHANNEL: "·",
}
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("catalogue")
@click.option("--product", help="Of the shipped history; part of its name is enough.")
@click.option("--draft", "drafts", type=_FILE, multiple=True, help="What release plan has written.")
@click.option("--table", "tables", type=_FILE, multiple=True, help="A catalogue of your own, CSV.")
@click.option(
    "--installed", multiple=True, metavar="ARTICLE", help="A KB number, or package=version."
)
@click.option("--here", is_flag=True, help="What is installed and hotpatched on this machine.")
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout.")
def command(
    product: str | None,
    drafts: tuple[Path, ...],
    tables: tuple[Path, ...],
    installed: tuple[str, ...],
    here: bool,
    as_object: bool,
) -> None:
    """List what there is to install, and how each stands to a machine: which supersedes which,
    what needs a baseline first, what restarts, and how it is undone."""
    patches = _patches(product, drafts, tables)
    articles = {_article(article) for article in installed} | (_here() if here else set())
    found = offers(patches, articles)
    if as_object:
        rows = [_as_json(offer) for offer in found]
        click.echo(json.dumps({"version": 1, "patches": rows}, ensure_ascii=False))
        return
    for offer in found:
        _print(offer)
    counts = Counter(offer.state for offer in found)
    click.echo(", ".join(f"{counts[state]} {state}" for state in State if counts[state]))


def _patches(
    product: str | None, drafts: tuple[Path, ...], tables: tuple[Path, ...]
) -> list[Patch]:
    patches = []
    if product is not None:
        patches += from_history(history.of_product(history.shipped(), product))
    for path in drafts:
        patches += from_draft(draft.decode(read_text(path), path.name))
    for path in tables:
        patches += catalogue_table.parse(read_text(path), path.name)
    twice = [name for name, n in Counter(patch.article for patch in patches).items() if n > 1]
    if twice:
        raise CommandError(f"{', '.join(twice)} is in more than one catalogue")
    if not patches:
        raise click.UsageError("say what to list: --product, --draft or --table")
    return patches


def _article(text: str) -> str:
    return f"KB{text}" if text.isdigit() else text


def _here() -> set[str]:
    entries, _ = Ledger().entries()
    live = {
        f"{e.package}={e.version}{HOTPATCH}"
        for e in entries
        if e.state is LedgerState.APPLIED and lives(e.identity)
    }
    return live | {f"{name}={version}" for name, version in archive.installed().items()}


def _print(offer: Offer) -> None:
    patch = offer.patch
    click.echo(
        f"{_MARKS[offer.state]} {patch.article}  {patch.title}  "
        f"[{patch.classification}, {patch.reboot}]  {offer.state}"
        + (f": {offer.because}" if offer.because else "")
    )
    if offer.state is State.INSTALLED:
        click.echo(f"    to undo it: {undo(patch)}")


def _as_json(offer: Offer) -> dict[str, Any]:
    patch = asdict(offer.patch)
    patch["released"] = patch["released"] and patch["released"].isoformat()
    return patch | {
        "state": offer.state.value,
        "because": offer.because,
        "undo": undo(offer.patch),
    }
