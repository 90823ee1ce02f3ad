"""``hotmend release``: what a month's release should be, and whether it is at par."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from hotmend.binary.errors import BinaryError, NoCode
from hotmend.build.bench import make
from hotmend.build.builder import Build
from hotmend.build.errors import BuildError
from hotmend.build.proof import Proof, parse_proof
from hotmend.cli import exit_codes, prove
from hotmend.cli.errors import CommandError
from hotmend.cli.files import read_text
from hotmend.cli.output import write_atomically
from hotmend.hotpatch.codec import encode
from hotmend.model.advisory import AdvisoryVerdict
from hotmend.release import archive, draft, report
from hotmend.release.candidates import Available, Candidate, candidates
from hotmend.release.classification import classify
from hotmend.release.errors import CatalogueError
from hotmend.release.parity import Proposal, Standing, Update, propose
from hotmend.release.release import Kind, Month

_MARKS = {
    Standing.LIVE: "✓ live",
    Standing.NEEDS_RESTART: "✗ needs-restart",
    Standing.NOT_CODE: "· not-code",
    Standing.UNKNOWN: "? unknown",
}
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PLAIN_WIDTH = 200


@click.group("release")
def command() -> None:
    """Plan a month's release, and see what it covers."""


command.add_command(prove.command)


@command.command("plan")
@click.option(
    "--folder",
    type=_FOLDER,
    help="A channel as a folder of .deb files: the oldest of each package is the baseline.",
)
@click.option("--suite", help="A channel as apt sees it, such as bookworm-security.")
@click.option(
    "--baseline",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Lines of package=version.  [default: what is installed here]",
)
@click.option("--only", multiple=True, metavar="PACKAGE", help="Look at these packages only.")
@click.option("--proofs", type=_FOLDER, help="Scripts by package: PROOFS/nginx/CVE-2026-15176.py")
@click.option("--list", "only_list", is_flag=True, help="List what is behind; build nothing.")
@click.option("--month", default=None, metavar="YYYY-MM", help="[default: this month]")
@click.option("--title", default=None, help='Such as "2026-11 for Debian 12".')
@click.option(
    "-o",
    "output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where hotpatches and the draft go.",
)
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout.")
def plan(
    folder: Path | None,
    suite: str | None,
    baseline: Path | None,
    only: tuple[str, ...],
    proofs: Path | None,
    only_list: bool,
    month: str | None,
    title: str | None,
    output: Path | None,
    as_object: bool,
) -> None:
    """Compare a baseline with a channel, try to build a hotpatch for every update, and propose the
    month's release: a hotpatch, or an unplanned baseline, with the reasons."""
    if (folder is None) == (suite is None):
        raise click.UsageError("say which channel: --folder or --suite")
    try:
        when = Month.parse(month) if month else _this_month()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    found, behind = _behind(folder, suite, baseline, only)
    if only_list:
        _list(behind, as_object=as_object)
        return
    if output is None:
        raise click.UsageError("say where hotpatches and the draft go: -o FOLDER")
    output.mkdir(parents=True, exist_ok=True)
    updates = []
    for candidate in behind:
        click.echo(f"building {candidate.package} {candidate.newest.version}", err=True)
        try:
            with _files(candidate, found, folder) as (old, new):
                updates.append(_update(candidate, old, new, _proofs_of(proofs, candidate), output))
        except CatalogueError as error:
            updates.append(_not_built(candidate, str(error), code=True))
    release = draft.Draft(title or f"{when} for {suite or 'a folder'}", when, tuple(updates))
    path = output / "release.json"
    write_atomically(path, draft.encode(release).encode())
    _show(release, as_object=as_object)
    if not as_object:
        click.echo(f"{path} → hotmend release parity {path}")


@command.command("parity")
@click.argument("file", type=_FILE)
@click.option("--markdown", "as_markdown", is_flag=True, help="A report to publish.")
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout.")
def parity(file: Path, as_markdown: bool, as_object: bool) -> None:
    """Every advisory of the month against what the hotpatches of the draft FILE carry."""
    release = draft.decode(read_text(file), file.name)
    if as_markdown:
        proposal = propose(release.updates)
        click.echo(report.markdown(release.title, proposal), nl=False)
    else:
        proposal = _show(release, as_object=as_object)
    raise SystemExit(exit_codes.NEEDS_RESTART if proposal.gaps else exit_codes.DONE)


def _this_month() -> Month:
    now = datetime.now(UTC)
    return Month(now.year, now.month)


def _behind(
    folder: Path | None, suite: str | None, baseline: Path | None, only: tuple[str, ...]
) -> tuple[list[Available], list[Candidate]]:
    """(everything in the channel, the packages that are behind)."""
    channel = archive.in_folder(folder) if folder is not None else archive.in_suite(suite or "")
    if baseline is not None:
        known = archive.baseline_in(read_text(baseline), baseline.name)
    else:
        known = archive.baseline_of(channel) if folder is not None else archive.installed()
    behind = [c for c in candidates(known, channel) if not only or c.package in only]
    if not behind:
        raise CommandError("nothing in the channel is newer than the baseline", exit_codes.DONE)
    return channel, behind


@contextmanager
def _files(
    candidate: Candidate, channel: list[Available], folder: Path | None
) -> Iterator[tuple[Path, Path]]:
    """The old and the new .deb."""
    newest = candidate.newest
    if folder is not None:
        old = next(
            (
                Path(a.place)
                for a in channel
                if (a.package, a.version) == (candidate.package, candidate.baseline)
            ),
            None,
        )
        if old is None:
            raise CommandError(f"{folder} has no {candidate.package} {candidate.baseline}")
        yield old, Path(newest.place)
        return
    with tempfile.TemporaryDirectory(prefix="hotmend-plan-") as fetched:
        where = Path(fetched)
        yield (
            archive.download(newest, candidate.baseline, where),
            archive.download(newest, newest.version, where),
        )


def _proofs_of(folder: Path | None, candidate: Candidate) -> list[Proof]:
    if folder is None:
        return []
    scripts = sorted((folder / candidate.package).glob("CVE-*"))
    return [parse_proof(f"{script.stem}={script}") for script in scripts]


def _update(
    candidate: Candidate, old: Path, new: Path, proofs: list[Proof], output: Path
) -> Update:
    try:
        result, _ = make(old, new, None, proofs)
    except NoCode as error:
        return _not_built(candidate, str(error), code=False)
    except (BinaryError, BuildError) as error:
        return _not_built(candidate, str(error), code=True)
    return _as_update(candidate, result, output)


def _not_built(candidate: Candidate, because: str, *, code: bool) -> Update:
    return Update(
        candidate.package,
        candidate.baseline,
        candidate.newest.version,
        classify(from_security_suite=True, advisories=0),
        (),
        code,
        because=because,
    )


def _as_update(candidate: Candidate, result: Build, output: Path) -> Update:
    file, verdicts = "", tuple[AdvisoryVerdict, ...]()
    if result.hotpatch is not None:
        file = f"{candidate.package}_{candidate.baseline}_{candidate.newest.version}.hotpatch"
        file = file.replace(":", "%3a")
        write_atomically(output / file, encode(result.hotpatch))
        verdicts = result.hotpatch.advisories
    codes = Counter(refusal.code.value for refusal in result.left)
    return Update(
        package=candidate.package,
        old_version=candidate.baseline,
        new_version=candidate.newest.version,
        classification=classify(from_security_suite=True, advisories=len(result.advisories)),
        advisories=result.advisories,
        code=bool(result.results),
        hotpatch=file,
        verdicts=verdicts,
        left=tuple(sorted(codes.items())),
    )


def _list(behind: list[Candidate], *, as_object: bool) -> None:
    if as_object:
        rows = [asdict(candidate) for candidate in behind]
        click.echo(json.dumps({"version": 1, "behind": rows}, ensure_ascii=False))
        return
    for candidate in behind:
        newest = candidate.newest
        click.echo(
            f"{candidate.package}  {candidate.baseline} → {newest.version}  ({newest.source})"
        )


def _show(release: draft.Draft, *, as_object: bool) -> Proposal:
    proposal = propose(release.updates)
    if as_object:
        content = {
            "version": 1,
            "title": release.title,
            "proposal": proposal.kind.value,
            "reasons": proposal.reasons,
            "rows": [asdict(row) for row in proposal.rows],
            "gaps": len(proposal.gaps),
        }
        click.echo(json.dumps(content, ensure_ascii=False))
        return proposal
    table = Table("advisory", "package", "class", "standing", "because", title=release.title)
    for row in proposal.rows:
        standing = _MARKS[row.standing]
        table.add_row(row.advisory, row.package, row.classification, standing, row.because)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    console.print(table)
    counts = Counter(row.standing for row in proposal.rows)
    said = ", ".join(f"{counts[standing]} {standing}" for standing in Standing if counts[standing])
    click.echo(f"{len(proposal.rows)} rows: {said}")
    if proposal.kind is Kind.HOTPATCH:
        click.echo("✓ proposed: a hotpatch")
        return proposal
    click.echo("✗ proposed: an unplanned baseline, or a hotpatch with its gaps signed for by two:")
    for reason in proposal.reasons:
        click.echo(f"    {reason}")
    return proposal
