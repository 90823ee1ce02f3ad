"""``hotmend apply FILE``: the hotpatch into running processes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click

from hotmend.cli import exit_codes
from hotmend.cli.files import read_hotpatch
from hotmend.cli.outcomes import as_json, exit_code, lines
from hotmend.hotpatch.codec import decode
from hotmend.hotpatch.hotpatch import Hotpatch
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import RefusalCode
from hotmend.surgery.apply import planned
from hotmend.surgery.errors import ProcessGone, Refused
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.order import Order, Verb, collected
from hotmend.surgery.publishing import Consistency
from hotmend.surgery.settle import remembered
from hotmend.surgery.surgeon import hire
from hotmend.surgery.targets import INIT, Finder


@click.command("apply")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--pid", "chosen", type=click.IntRange(min=1), multiple=True, metavar="N")
@click.option("--all", "everywhere", is_flag=True, help="Every process that maps an old build.")
@click.option("--dry-run", is_flag=True, help="Print the steps; change nothing.")
@click.option(
    "--consistency",
    type=click.Choice([way.value for way in Consistency]),
    default=Consistency.STRICT.value,
    show_default=True,
    help="strict: no thread in, or returning into, a replaced function. entry: only the bytes "
    "that change must be free. no-stop: threads run on. The last two where the hotpatch's "
    "functions are independent.",
)
@click.option(
    "--budget-ms",
    type=click.FloatRange(min=0.1, max=10_000),
    default=50.0,
    show_default=True,
    help="The longest pause of one attempt.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0, max=3600),
    default=5.0,
    show_default=True,
    help="Seconds to keep trying while a process is blocked.",
)
@click.option("--include-init", is_flag=True, help="Allow --pid 1.")
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout.")
def command(
    file: Path,
    chosen: tuple[int, ...],
    everywhere: bool,
    dry_run: bool,
    consistency: str,
    budget_ms: float,
    patience: float,
    include_init: bool,
    as_object: bool,
) -> None:
    """Apply the hotpatch FILE to running processes."""
    if bool(chosen) == everywhere:
        raise click.UsageError("say which processes: --pid N (as often as needed) or --all")
    data = read_hotpatch(file)
    hotpatch = decode(data)
    ledger = Ledger()
    targets = tuple(dict.fromkeys(chosen))
    if dry_run:
        _dry_run(hotpatch, targets or _everywhere(hotpatch, include_init=include_init), ledger)
        return
    order = Order(
        Verb.APPLY,
        targets,
        hashlib.sha256(data).hexdigest(),
        tuple(image.old_build_id.hex for image in hotpatch.images),
        consistency=Consistency(consistency),
        budget_ms=budget_ms,
        patience_s=patience,
        include_init=include_init,
    )
    with hire(ledger) as surgeon:
        outcomes, summary = collected(surgeon.perform(order, data))
    hidden = summary.hidden
    if as_object:
        content = {
            "version": 1,
            "package": hotpatch.package,
            "outcomes": [as_json(outcome) for outcome in outcomes],
            "not_examined": hidden,
        }
        click.echo(json.dumps(content, ensure_ascii=False))
    else:
        for line in lines(outcomes):
            click.echo(line)
        _closing(hotpatch, outcomes)
    if hidden:
        click.echo(f"{hidden} processes could not be examined; run as root (sudo)", err=True)
        if not outcomes:
            raise SystemExit(exit_codes.NOT_PERMITTED)
    raise SystemExit(_exit_code(outcomes, named=bool(chosen)))


def _everywhere(hotpatch: Hotpatch, *, include_init: bool) -> tuple[int, ...]:
    pids, _ = Finder(image.old_build_id for image in hotpatch.images).everywhere()
    return tuple(pid for pid in pids if pid != INIT or include_init)


def _dry_run(hotpatch: Hotpatch, targets: tuple[int, ...], ledger: Ledger) -> None:
    for pid in targets:
        try:
            with LinuxProcess(pid, writable=False) as process:
                made = planned(process, hotpatch, "", remembered(process, ledger))
                if isinstance(made, Outcome):
                    for line in lines([made]):
                        click.echo(line)
                    continue
                click.echo(f"{process.command}  {pid}")
                for image in made.images:
                    click.echo(f"  {image.image.name} at {image.module.start:#x}")
                    for step in image.steps:
                        click.echo(f"    {step}")
        except ProcessGone:
            click.echo(f"· {pid}  gone")
        except Refused as no:
            click.echo(f"✗ {pid}  refused\n    {no.refusal}")


def _closing(hotpatch: Hotpatch, outcomes: list[Outcome]) -> None:
    if not outcomes:
        click.echo(f"no process maps the old build of {hotpatch.package}; nothing to do")
        return
    waiting = [o for o in outcomes if o.kind in (OutcomeKind.REFUSED, OutcomeKind.BLOCKED)]
    if waiting:
        click.echo(
            f"✗ {len(waiting)} of {len(outcomes)} processes still run the old code → "
            f"restart them, or hotmend apply again",
            err=True,
        )


def _exit_code(outcomes: list[Outcome], *, named: bool) -> int:
    codes = [o.refusal.code for o in outcomes if o.refusal is not None]
    if codes and all(code is RefusalCode.PROCESS_NOT_PERMITTED for code in codes):
        return exit_codes.NOT_PERMITTED
    missing = (OutcomeKind.GONE, OutcomeKind.NOT_MAPPED)
    if named and outcomes and all(o.kind in missing for o in outcomes):
        return exit_codes.FAILED
    return exit_code(outcomes)
