"""``hotmend server``: the control plane. Without a word more it starts with all that it needs."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import click
from sqlalchemy import Connection

from hotmend.cli import server_principal
from hotmend.client.audit import problem as audit_problem
from hotmend.server import checkpoints
from hotmend.server.control import Control, prepared
from hotmend.server.errors import ServerError
from hotmend.server.folder import DataFolder, own_names
from hotmend.server.identity import first_admin
from hotmend.server.identity.oidc import ProviderSettings
from hotmend.server.resource_id import ResourceId
from hotmend.server.serve import serve
from hotmend.server.storage import audit, machines

_DATA = Path.home() / ".local/share/hotmend/server"
_PORT = 8443
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("server", invoke_without_command=True)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=_DATA,
    show_default=True,
    help="Keys, certificates, the embedded database; made when it is not there.",
)
@click.option("--database", default="", metavar="URL", help="postgresql+psycopg://… instead.")
@click.option("--host", default="0.0.0.0", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=_PORT, show_default=True)
@click.option("--name", "names", multiple=True, help="A name clients use, for the certificate.")
@click.option("--oidc", metavar="URL", help="The issuer where people may log in, too.")
@click.option("--oidc-client", metavar="ID", help="This server's name there.")
@click.option("--oidc-secret-file", type=_FILE, help="And its secret.")
@click.option("--oidc-ca", type=_FILE, help="Who vouches for its TLS.  [default: the system's]")
@click.pass_context
def command(
    context: click.Context,
    data: Path,
    database: str,
    host: str,
    port: int,
    names: tuple[str, ...],
    oidc: str | None,
    oidc_client: str | None,
    oidc_secret_file: Path | None,
    oidc_ca: Path | None,
) -> None:
    """Run the control plane."""
    hosts = list(dict.fromkeys([*names, *own_names()]))
    folder = DataFolder.opened(data, hosts)
    elsewhere = _provider(oidc, oidc_client, oidc_secret_file, oidc_ca)
    control = prepared(folder, f"https://{hosts[0]}:{port}", database, elsewhere=elsewhere)
    context.obj = control
    if context.invoked_subcommand is not None:
        return
    click.echo(f"Hotmend at {control.base_url}")
    click.echo(f"  its certificate authority: {data / 'ca.pem'}")
    click.echo(f"  subscription {folder.subscription}")
    link = control.database.write(lambda c: first_admin.new_link(c, control.base_url, time.time()))
    if link:
        click.echo(f"  be its first admin, once, within the hour: {link}")
    click.echo("Ctrl-C ends it.")
    serve(control, host, port)


@command.command("code")
@click.argument("names", nargs=-1, required=True, metavar="MACHINE...")
@click.option("--group", default="machines", show_default=True, help="Its resource group.")
@click.option("--location", default="local", show_default=True, help="Its region.")
@click.pass_obj
def code(control: Control, names: tuple[str, ...], group: str, location: str) -> None:
    """Print a code for each MACHINE, with which one agent may enrol as it once, within an hour."""
    subscription, kind = control.folder.subscription, "Microsoft.Compute/virtualMachines"
    for name in names:
        identifier = str(ResourceId(subscription, group, kind, name))
        made = control.database.write(partial(_code, identifier=identifier, location=location))
        _audit(control, "enrolment code", identifier)
        click.echo(made)


@command.command("audit")
@click.pass_obj
def verify_audit(control: Control) -> None:
    """Compute the audit log's chain and tree again, and compare them with every checkpoint."""
    with control.database.reading() as connection:
        wrong = audit.problem(connection)
        head = audit.head(connection)
        if not wrong:
            kept = [note.checkpoint for note in checkpoints.kept(connection)]
            wrong = audit_problem(audit.entries(connection), kept)[1]
    if wrong:
        click.echo(f"✗ {wrong}", err=True)
        raise SystemExit(1)
    click.echo(f"✓ {head.size} entries, as they were written")


command.add_command(server_principal.command)


def _provider(
    issuer: str | None, client: str | None, secret: Path | None, authority: Path | None
) -> ProviderSettings | None:
    if issuer is None:
        return None
    if client is None or secret is None:
        raise click.UsageError("--oidc needs --oidc-client and --oidc-secret-file")
    try:
        text = secret.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ServerError(f"{secret} cannot be read: {error}") from None
    return ProviderSettings(issuer, client, text, str(authority) if authority else "")


def _code(connection: Connection, identifier: str, location: str) -> str:
    return machines.new_code(connection, identifier, location, time.time())


def _audit(control: Control, what: str, subject: str, **details: str) -> None:
    control.database.write(
        lambda c: audit.append(c, time.time(), "the server's command line", what, subject, details)
    )
