"""``hotmend baseline``: back to the last good set of packages, by the book."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import click

from hotmend.cli import exit_codes
from hotmend.cli.errors import CommandError
from hotmend.cli.files import read_text
from hotmend.release import archive
from hotmend.release.baseline import Package, Place, compare
from hotmend.surgery.ledger import Ledger, State
from hotmend.surgery.outdated import scan
from hotmend.surgery.procfs import lives

_MARKS = {Place.ON: "✓", Place.BEHIND: "✗", Place.AHEAD: "↑", Place.MISSING: "·"}
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_REBOOT = Path("/run/reboot-required")


@click.group("baseline")
def command() -> None:
    """See how this machine stands to a baseline, and bring it back to it."""


@command.command("status")
@click.argument("file", type=_FILE)
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout.")
def status(file: Path, as_object: bool) -> None:
    """Compare what is installed with the baseline FILE, lines of package=version."""
    packages = _compared(file)
    live = _hotpatched()
    if as_object:
        rows = [asdict(p) | {"hotpatched": p.name in live} for p in packages]
        click.echo(json.dumps({"version": 1, "packages": rows}))
    else:
        for package in packages:
            click.echo(f"{_MARKS[package.place]} {_line(package)}")
            if package.name in live:
                click.echo(
                    "    hotpatched in memory; undone live by: hotmend revert --package "
                    f"{package.name} --all"
                )
    off = [p for p in packages if p.place is not Place.ON]
    if off and not as_object:
        click.echo(
            f"{len(off)} of {len(packages)} packages are not on the baseline → "
            f"hotmend baseline install {file}"
        )
    raise SystemExit(exit_codes.UPDATES_AVAILABLE if off else exit_codes.DONE)


@command.command("install")
@click.argument("file", type=_FILE)
@click.option("--dry-run", is_flag=True, help="Show what the package manager would do.")
def install(file: Path, dry_run: bool) -> None:
    """Install exactly the versions of the baseline FILE with the package manager: later updates of
    these packages are undone. Processes go on with what they run until they are restarted."""
    packages = [p for p in _compared(file) if p.place is not Place.ON]
    if not packages:
        click.echo("✓ every package is on the baseline")
        return
    words = ["apt-get", "install", "--yes", "--allow-downgrades", "--no-install-recommends"]
    words += ["--simulate"] * dry_run
    words += [f"{package.name}={package.baseline}" for package in packages]
    try:
        done = subprocess.run(words, text=True, capture_output=dry_run)
    except FileNotFoundError:
        raise CommandError("there is no apt-get on this machine") from None
    if done.returncode:
        last = ((done.stderr or "").strip().splitlines() or ["apt-get said so above"])[-1]
        raise CommandError(f"the baseline was not installed: {last}")
    if dry_run:
        click.echo(done.stdout, nl=False)
        return
    _say_what_restarts()


def _compared(file: Path) -> list[Package]:
    baseline = archive.baseline_in(read_text(file), file.name)
    if not baseline:
        raise CommandError(f"{file} names no package; write package=version")
    return compare(baseline, archive.installed())


def _line(package: Package) -> str:
    found = package.installed or "not installed"
    change = "" if package.place is Place.ON else f"  {found}, baseline {package.baseline}"
    return f"{package.name}  {package.place}{change or f'  {package.baseline}'}"


def _hotpatched() -> set[str]:
    entries, _ = Ledger().entries()
    return {e.package for e in entries if e.state is State.APPLIED and lives(e.identity)}


def _say_what_restarts() -> None:
    processes, _ = scan()
    waiting = [process for process in processes if process.outdated]
    for process in waiting:
        click.echo(f"✗ {process.command}  {process.pid}  runs what was there before: restart it")
    if _REBOOT.exists():
        click.echo("✗ the machine must be restarted (/run/reboot-required)")
        raise SystemExit(exit_codes.REBOOT_REQUIRED)
    if waiting:
        raise SystemExit(exit_codes.NEEDS_RESTART)
    click.echo("✓ installed; nothing runs what was there before")
