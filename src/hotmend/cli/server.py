"""``hotmend server``: the control plane. Without a word more it starts with all that it needs."""

from __future__ import annotations

import time
from pathlib import Path

import click

from hotmend.client.audit import problem as audit_problem
from hotmend.server import checkpoints
from hotmend.server.control import Control, prepared
from hotmend.server.folder import DataFolder, own_names
from hotmend.server.identity import principals
from hotmend.server.identity.roles import Role
from hotmend.server.resource_id import ResourceId
from hotmend.server.serve import serve
from hotmend.server.storage import audit, machines

_DATA = Path.home() / ".local/share/hotmend/server"
_PORT = 8443


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
@click.pass_context
def command(
    context: click.Context, data: Path, database: str, host: str, port: int, names: tuple[str, ...]
) -> None:
    """Run the control plane."""
    hosts = list(dict.fromkeys([*names, *own_names()]))
    folder = DataFolder.opened(data, hosts)
    control = prepared(folder, f"https://{hosts[0]}:{port}", database)
    context.obj = control
    if context.invoked_subcommand is not None:
        return
    click.echo(f"Hotmend at {control.base_url}")
    click.echo(f"  its certificate authority: {data / 'ca.pem'}")
    click.echo(f"  subscription {folder.subscription}")
    _first_admin(control)
    click.echo("Ctrl-C ends it.")
    serve(control, host, port)


@command.command("principal")
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), default="operator")
@click.option("--scope", default="/", show_default=True, help="A resource id, or / for all.")
@click.pass_obj
def principal(control: Control, name: str, role: str, scope: str) -> None:
    """Make a service principal NAME, and print its secret once."""
    identifier, secret = control.database.write(
        lambda c: principals.create(c, name, Role(role), scope, time.time())
    )
    _audit(control, "principal", name, role=role, scope=scope)
    _say(control, identifier, secret)


@command.command("code")
@click.argument("machine")
@click.option("--group", default="machines", show_default=True, help="Its resource group.")
@click.option("--location", default="local", show_default=True, help="Its region.")
@click.pass_obj
def code(control: Control, machine: str, group: str, location: str) -> None:
    """Print a one-time code with which one agent may enrol as MACHINE within an hour."""
    identifier = ResourceId(
        control.folder.subscription, group, "Microsoft.Compute/virtualMachines", machine
    )
    made = control.database.write(
        lambda c: machines.new_code(c, str(identifier), location, time.time())
    )
    _audit(control, "enrolment code", str(identifier))
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


def _first_admin(control: Control) -> None:
    with control.database.reading() as connection:
        if not principals.nobody_yet(connection):
            return
    identifier, secret = control.database.write(
        lambda c: principals.create(c, "first admin", Role.ADMIN, "/", time.time())
    )
    _audit(control, "principal", "first admin", role="admin", scope="/")
    click.echo("  the first admin, shown this once:")
    _say(control, identifier, secret)


def _say(control: Control, identifier: str, secret: str) -> None:
    click.echo(f"    tenant {control.folder.tenant}")
    click.echo(f"    client {identifier}")
    click.echo(f"    secret {secret}")


def _audit(control: Control, what: str, subject: str, **details: str) -> None:
    control.database.write(
        lambda c: audit.append(c, time.time(), "the server's command line", what, subject, details)
    )
