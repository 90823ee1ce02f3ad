"""``hotmend login URL``: a token for the commands that speak to a control plane."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from hotmend.cli.errors import CommandError
from hotmend.client import login
from hotmend.client.api import Api, token
from hotmend.client.errors import NotPermitted
from hotmend.client.login import Login

_SECRET = "HOTMEND_SECRET"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("login")
@click.argument("url")
@click.option("--ca", type=_FILE, required=True, help="The server's ca.pem, pinned.")
@click.option("--client", metavar="ID", help="A service principal.")
@click.option("--user", metavar="NAME", help="A person.")
@click.option("--secret-file", type=_FILE, help=f"The secret or password; or in {_SECRET}.")
def command(
    url: str, ca: Path, client: str | None, user: str | None, secret_file: Path | None
) -> None:
    """Log in at the control plane URL, for an hour."""
    url = url.rstrip("/")
    if not url.startswith("https://"):
        raise click.UsageError(f"{url} is not an https:// address")
    if (client is None) == (user is None):
        raise click.UsageError("either --client ID or --user NAME")
    try:
        authority = ca.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{ca} cannot be read: {error}") from None
    name, now = client or user or "", time.time()
    made, expires = token(
        url, authority, name, _secret(secret_file), person=user is not None, now=now
    )
    seen = Api(Login(url, authority, "", made, expires)).get("/subscriptions")["value"]
    if not seen:
        raise NotPermitted(f"{name} has no role in any subscription of {url}")
    subscription = str(seen[0]["subscriptionId"])
    login.keep(Login(url, authority, subscription, made, expires), login.place())
    click.echo(f"✓ logged in at {url} as {name}, subscription {subscription}")


def _secret(file: Path | None) -> str:
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {error}") from None
    given = os.environ.get(_SECRET)
    if given:
        return given
    if not sys.stdin.isatty():
        raise click.UsageError(f"--secret-file FILE, or the secret in {_SECRET}")
    return str(click.prompt("Secret", hide_input=True))
