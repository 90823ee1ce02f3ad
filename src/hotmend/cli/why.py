"""``hotmend why PID``: what of a process is hotpatched, and what stands in the way of the rest.
``hotmend why MACHINE``: why a machine of the fleet waits."""

from __future__ import annotations

import json
from typing import Any

import click

from hotmend.cli import exit_codes
from hotmend.cli.errors import CommandError
from hotmend.hotpatch.codec import decode
from hotmend.hotpatch.hotpatch import Hotpatch
from hotmend.model.outcome import Outcome
from hotmend.surgery import optout
from hotmend.surgery.apply import planned
from hotmend.surgery.ledger import Ledger, LedgerEntry, State
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.plan import Plan
from hotmend.surgery.process import Ending, Process, Publication
from hotmend.surgery.publishing import Terms, publish
from hotmend.surgery.settle import remembered
from hotmend.surgery.standing import in_place, not_published

_PATIENCE_S = 1.0  # a busy machine may not stop a process at once


@click.command("why")
@click.argument("subject", metavar="PID|MACHINE")
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout.")
def command(subject: str, as_object: bool) -> None:
    """Say of each hotpatch that this machine has seen how it stands with process PID, and why; or
    why a MACHINE of the fleet waits for its update.

    A hotpatch that could go in is rehearsed: the process is stopped for a moment as in an apply,
    and nothing is written.
    """
    if not subject.isdigit():
        # Most who ask about a process have no control plane, nor what talking to one takes.
        from hotmend.cli import waiting

        waiting.say(subject, as_object=as_object)
        return
    pid = int(subject)
    if pid < 1:
        raise CommandError("a process has a number from 1 on")
    ledger = Ledger()
    with LinuxProcess(pid) as process:
        unwilling = optout.asked_for(pid, process.command)
        known = remembered(process, ledger)
        rows = []
        for sha256 in sorted({e.sha256 for e in known} | ledger.kept()):
            hotpatch = decode(ledger.package(sha256))
            standing = _standing(process, hotpatch, sha256, known)
            if standing is not None:
                rows.append((hotpatch, *standing))
        command = process.command
    if as_object:
        click.echo(json.dumps(_as_json(pid, command, rows), ensure_ascii=False))
    else:
        click.echo(f"{command}  {pid}")
        for hotpatch, state, reasons in rows:
            click.echo(f"  {hotpatch.package} {hotpatch.new_version}: {state}")
            for reason in reasons:
                click.echo(f"    {reason}")
        if unwilling is not None:
            click.echo(f"  {unwilling}")
        if not rows:
            click.echo("  it maps no build that a hotpatch known here is for")
    live = all(state == "applied" for _, state, _ in rows)
    raise SystemExit(exit_codes.DONE if live else exit_codes.WAITING)


def _standing(
    process: Process, hotpatch: Hotpatch, sha256: str, known: list[LedgerEntry]
) -> tuple[str, list[str]] | None:
    """(state, reasons); None when the process has nothing to do with the hotpatch."""
    if any(e.sha256 == sha256 and in_place(process, e) for e in known):
        return "applied", []
    newer = [e for e in known if e.package == hotpatch.package and e.state is State.APPLIED]
    if newer:
        return "superseded", [f"by {newer[0].package} {newer[0].version}"]
    made = planned(process, hotpatch, sha256, known)
    if isinstance(made, Plan):
        return _rehearsed(process, made)
    return None if made.refusal is None else ("refused", [str(made.refusal)])


def _rehearsed(process: Process, made: Plan) -> tuple[str, list[str]]:
    ranges = tuple(r for image in made.images for r in image.old_ranges)
    attempt = publish(process, Publication((), ranges), Terms(patience_s=_PATIENCE_S))
    if attempt.ending is Ending.PUBLISHED:
        return "could be applied now", [f"a stop of {attempt.pause_ms:.2f} ms found nobody inside"]
    outcome: Outcome = not_published(process, attempt)
    if outcome.blocked is None:
        return outcome.kind.value, []
    blocked = outcome.blocked
    return "blocked", [f"thread {blocked.tid}: {blocked.function}", *blocked.stack]


def _as_json(pid: int, command: str, rows: list[tuple[Hotpatch, str, list[str]]]) -> dict[str, Any]:
    return {
        "version": 1,
        "pid": pid,
        "command": command,
        "hotpatches": [
            {
                "package": hotpatch.package,
                "version": hotpatch.new_version,
                "state": state,
                "reasons": reasons,
            }
            for hotpatch, state, reasons in rows
        ],
    }
