"""``hotmend watch``: what starts with an old build is patched as soon as it runs."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from hotmend.cli.files import read_hotpatch
from hotmend.cli.outcomes import as_json, lines
from hotmend.hotpatch.codec import decode
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.order import Order, Verb, collected
from hotmend.surgery.surgeon import hire
from hotmend.surgery.watch import ProcessConnector, events, watch

_QUIET = (OutcomeKind.ALREADY, OutcomeKind.NOT_MAPPED, OutcomeKind.GONE)
# One that stays busy is asked again at the next look; the others are not to wait for it.
_PATIENCE_S = 0.2


@click.command("watch")
@click.argument(
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    nargs=-1,
    required=True,
)
@click.option("--json", "as_objects", is_flag=True, help="One JSON object a line on stdout.")
def command(files: tuple[Path, ...], as_objects: bool) -> None:
    """Apply the hotpatches FILES to every process that maps an old build, now and from now on."""
    orders = [_order(data) for data in map(read_hotpatch, files)]
    source = events()
    how = "the kernel's events" if isinstance(source, ProcessConnector) else "looking at /proc"
    with hire(Ledger()) as surgeon:

        def attempt(pids: Sequence[int] = ()) -> set[int]:
            answered = set()
            for order, data in orders:
                some = replace(order, pids=tuple(pids))
                for outcome in collected(surgeon.perform(some, data))[0]:
                    _say(outcome, as_object=as_objects)
                    if outcome.kind is not OutcomeKind.BLOCKED:
                        answered.add(outcome.pid)
            return answered

        click.echo(f"watching by {how}; Ctrl-C ends it", err=True)
        for _ in watch(source, attempt, attempt):
            pass


def _order(data: bytes) -> tuple[Order, bytes]:
    builds = tuple(image.old_build_id.hex for image in decode(data).images)
    sha256 = hashlib.sha256(data).hexdigest()
    return Order(Verb.APPLY, (), sha256, builds, True, patience_s=_PATIENCE_S), data


def _say(outcome: Outcome, *, as_object: bool) -> None:
    if outcome.kind in _QUIET:
        return
    if as_object:
        click.echo(json.dumps(as_json(outcome), ensure_ascii=False))
    else:
        for line in lines([outcome]):
            click.echo(line)
    sys.stdout.flush()
