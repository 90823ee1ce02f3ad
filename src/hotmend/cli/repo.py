"""``hotmend repo``: the signed repository, from both ends. docs/repository.md is the guide."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hotmend.cli.errors import CommandError
from hotmend.release.repository import client, keys
from hotmend.release.repository.client import Place
from hotmend.release.repository.publisher import Keys, Repository

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_KEY = click.Path(dir_okay=False, path_type=Path)


@click.group("repo")
@click.option("--metadata-dir", type=_FOLDER, help="The machine's trusted metadata.")
@click.option("--metadata-url", help="Where the repository's metadata is served.")
@click.option("--target-name", help="Which target to download.")
@click.option("--target-base-url", help="Where the repository's targets are served.")
@click.option("--target-dir", type=_FOLDER, help="Where downloaded targets go.")
@click.pass_context
def command(
    context: click.Context,
    metadata_dir: Path | None,
    metadata_url: str | None,
    target_name: str | None,
    target_base_url: str | None,
    target_dir: Path | None,
) -> None:
    """Publish releases, and fetch them: root and targets signed offline, by as many as agreed."""
    context.obj = {
        "--metadata-dir": metadata_dir,
        "--metadata-url": metadata_url,
        "--target-name": target_name,
        "--target-base-url": target_base_url,
        "--target-dir": target_dir,
    }


# The machine's end.


@command.command("init")
@click.argument("root", type=_FILE)
@click.pass_obj
def init(given: dict[str, Path | str | None], root: Path) -> None:
    """Trust ROOT, a root.json that you received in a trusted way."""
    client.trust(Path(_needed(given, "--metadata-dir")), root)


@command.command("refresh")
@click.pass_obj
def refresh(given: dict[str, Path | str | None]) -> None:
    """Bring the trusted metadata up to date."""
    result = client.poll(_place(given))
    if result.problem:
        alarm = f" (for the {result.failures}. time in a row)" if result.alarm else ""
        raise CommandError(f"{result.problem}{alarm}")


@command.command("download")
@click.pass_obj
def download(given: dict[str, Path | str | None]) -> None:
    """Fetch a target and verify it."""
    place = _place(given)
    place = Place(place.metadata, place.metadata_url, _slashed(_needed(given, "--target-base-url")))
    folder = Path(_needed(given, "--target-dir"))
    click.echo(client.download(place, _needed(given, "--target-name"), folder).path)


# The publisher's end.


@command.command("key")
@click.argument("path", type=_KEY)
@click.option("--token", help="Of a key in the PKCS#11 token with this label ($PYKCS11LIB).")
@click.option("--id", "number", type=int, default=1, show_default=True, help="The key's id there.")
@click.option("--new", is_flag=True, help="Make it in the token.")
def key(path: Path, token: str | None, number: int, new: bool) -> None:
    """Make a key: PATH.pem and PATH.pub; or PATH.pub for a key that is in a token."""
    made = keys.in_token(path, number, token, new=new) if token else keys.create(path)
    click.echo(f"{path.with_suffix('.pub')}  {made.keyid}")


def _with_keys(function: Callable[..., None]) -> Callable[..., None]:
    """The options that name all keys of a repository; ``function`` gets them as ``wanted``."""

    @functools.wraps(function)
    def called(
        root: tuple[Path, ...],
        root_threshold: int,
        targets: tuple[Path, ...],
        targets_threshold: int,
        online: Path,
        **others: Any,
    ) -> None:
        function(wanted=_keys(root, root_threshold, targets, targets_threshold, online), **others)

    for option in reversed(
        (
            click.option("--root", "root", type=_KEY, multiple=True, required=True),
            click.option("--root-threshold", type=int, default=2, show_default=True),
            click.option("--targets", "targets", type=_KEY, multiple=True, required=True),
            click.option("--targets-threshold", type=int, default=2, show_default=True),
            click.option("--online", type=_KEY, required=True),
        )
    ):
        called = option(called)
    return called


@command.command("begin")
@click.argument("folder", type=_FOLDER)
@_with_keys
@click.option("--bits", type=int, default=8, show_default=True, help="2**bits hash bins.")
def begin(folder: Path, wanted: Keys, bits: int) -> None:
    """Stage a new repository in FOLDER, to be signed by the keys given as .pub files."""
    repository = Repository(folder)
    repository.begin(wanted, bits, datetime.now(UTC))
    _say_missing(repository)


@command.command("rotate")
@click.argument("folder", type=_FOLDER)
@_with_keys
def rotate(folder: Path, wanted: Keys) -> None:
    """Stage other keys: those that are not named any more are revoked. The keys of the old root
    sign, too, as many as it asks for."""
    repository = Repository(folder)
    repository.rotate(wanted, datetime.now(UTC))
    _say_missing(repository)


@command.command("add")
@click.argument("folder", type=_FOLDER)
@click.argument("files", type=_FILE, nargs=-1, required=True)
@click.option(
    "--unproven", default="", metavar="REASON", help="Publish although nothing shows it works."
)
@click.option(
    "--gaps",
    default="",
    metavar="REASON",
    help="Publish a release although it is not at par; two publishers at least sign for that.",
)
def add(folder: Path, files: tuple[Path, ...], unproven: str, gaps: str) -> None:
    """Stage FILES as targets. Hotpatches have to be proven (hotmend release prove), releases
    (…release.json) at par (hotmend release parity)."""
    repository = Repository(folder)
    repository.add(files, datetime.now(UTC), unproven, gaps)
    _say_missing(repository)


@command.command("remove")
@click.argument("folder", type=_FOLDER)
@click.argument("names", nargs=-1, required=True)
def remove(folder: Path, names: tuple[str, ...]) -> None:
    """Stage that the targets NAMES are gone."""
    repository = Repository(folder)
    repository.remove(names, datetime.now(UTC))
    _say_missing(repository)


@command.command("sign")
@click.argument("folder", type=_FOLDER)
@click.option("--key", "path", type=_KEY, required=True, help="A .pub file, its .pem beside it.")
def sign(folder: Path, path: Path) -> None:
    """Add a key's signature to everything staged that wants it."""
    repository = Repository(folder)
    signed = repository.sign(keys.signer(path))
    click.echo(f"signed {_some(signed)}")
    _say_missing(repository)


@command.command("publish")
@click.argument("folder", type=_FOLDER)
@click.option("--online", type=_KEY, required=True, help="The .pub file of the online key.")
def publish(folder: Path, online: Path) -> None:
    """Publish what is staged and signed by enough."""
    moved = Repository(folder).publish(keys.signer(online), datetime.now(UTC))
    click.echo(f"published {_some(moved)}")


@command.command("renew")
@click.argument("folder", type=_FOLDER)
@click.option("--online", type=_KEY, required=True, help="The .pub file of the online key.")
def renew(folder: Path, online: Path) -> None:
    """Sign a new timestamp: once a day at least, or machines raise an alarm."""
    Repository(folder).renew(keys.signer(online), datetime.now(UTC))


def _keys(
    root: tuple[Path, ...],
    root_threshold: int,
    targets: tuple[Path, ...],
    targets_threshold: int,
    online: Path,
) -> Keys:
    return Keys(
        tuple(map(keys.public, root)),
        root_threshold,
        tuple(map(keys.public, targets)),
        targets_threshold,
        keys.public(online),
    )


def _place(given: dict[str, Path | str | None]) -> Place:
    folder = Path(_needed(given, "--metadata-dir"))
    return Place(folder, _slashed(_needed(given, "--metadata-url")))


def _needed(given: dict[str, Path | str | None], name: str) -> str:
    value = given[name]
    if value is None:
        raise click.UsageError(f"add {name}, before the command's name")
    return str(value)


def _slashed(url: str) -> str:
    return url if url.endswith("/") else f"{url}/"


def _say_missing(repository: Repository) -> None:
    missing = repository.missing()
    for one in missing[:4]:
        click.echo(f"  {one.name}: {one.have} of {one.need} signatures")
    if len(missing) > 4:
        click.echo(f"  and {len(missing) - 4} more")
    click.echo("→ hotmend repo sign" if missing else "→ hotmend repo publish")


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
