"""``hotmend vex``: what is live on this machine, for scanners."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from hotmend.hotpatch.codec import decode
from hotmend.hotpatch.hotpatch import Hotpatch
from hotmend.model.advisory import AdvisoryState, AdvisoryVerdict
from hotmend.release.vex import Finding, Status, cyclonedx, openvex
from hotmend.surgery.errors import ProcessError, ProcessGone, Refused
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.settle import remembered
from hotmend.surgery.standing import in_place
from hotmend.surgery.targets import Finder


@click.command("vex")
@click.option(
    "--format",
    "style",
    type=click.Choice(["openvex", "cyclonedx"]),
    default="openvex",
    show_default=True,
)
def command(style: str) -> None:
    """Say of every advisory of every hotpatch known here how this machine's processes stand."""
    ledger = Ledger()
    findings = [
        finding
        for sha256 in sorted(ledger.kept())
        for finding in _findings(decode(ledger.package(sha256)), sha256, ledger)
    ]
    if style == "cyclonedx":
        click.echo(cyclonedx(findings))
    else:
        document = openvex(findings, platform.node() or "a machine", datetime.now(UTC))
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))


def _findings(hotpatch: Hotpatch, sha256: str, ledger: Ledger) -> Iterator[Finding]:
    patched, running, hidden = _processes(hotpatch, sha256, ledger)
    for verdict in hotpatch.advisories:
        status, note = _status(verdict, patched, running)
        if hidden and status is Status.FIXED:
            status = Status.UNDER_INVESTIGATION
            note = f"{note}; {hidden} processes could not be examined, run as root (sudo)"
        yield Finding(
            verdict.id, hotpatch.package, hotpatch.old_version, hotpatch.architecture, status, note
        )


def _processes(hotpatch: Hotpatch, sha256: str, ledger: Ledger) -> tuple[int, int, int]:
    """(processes that run the hotpatch, that map an old build, that could not be examined)."""
    pids, hidden = Finder(image.old_build_id for image in hotpatch.images).everywhere()
    patched = running = 0
    for pid in pids:
        try:
            with LinuxProcess(pid, writable=False) as process:
                running += 1
                known = remembered(process, ledger)
                patched += any(e.sha256 == sha256 and in_place(process, e) for e in known)
        except (ProcessGone, ProcessError, Refused):
            continue
    return patched, running, hidden


def _status(verdict: AdvisoryVerdict, patched: int, running: int) -> tuple[Status, str]:
    if verdict.state is AdvisoryState.UNKNOWN:
        return Status.UNDER_INVESTIGATION, f"not known to be fixed in memory: {verdict.because}"
    if not running:
        return Status.FIXED, "no process runs the old build"
    if verdict.state is AdvisoryState.NEEDS_RESTART:
        return Status.AFFECTED, f"restart {running} processes: {verdict.because}"
    if patched < running:
        return Status.AFFECTED, f"{running - patched} of {running} processes run the old code"
    return Status.FIXED, f"hotpatched in all {running} processes that map the old build"
