"""``hotmend server principal``: who may do what, at the server itself and without a login."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from sqlalchemy import Connection

from hotmend.server.control import Control
from hotmend.server.identity import principals
from hotmend.server.identity.roles import Role
from hotmend.server.storage import audit

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_role = click.option("--role", type=click.Choice([r.value for r in Role]), default="operator")
_scope = click.option(
    "--scope", default="/", show_default=True, help="A resource id, or / for all."
)

T = TypeVar("T")


@click.group("principal")
def command() -> None:
    """Service principals and people, and their roles."""


@command.command("create")
@click.argument("name")
@_role
@_scope
@click.option("--password-file", type=_FILE, help="Makes it a person, with this password.")
@click.pass_obj
def create(control: Control, name: str, role: str, scope: str, password_file: Path | None) -> None:
    """Make a service principal NAME, and print its secret once; or a person."""
    password = password_file.read_text(encoding="utf-8").strip() if password_file else ""
    identifier, secret = _done(
        control,
        "principal",
        name,
        lambda c: principals.create(c, name, Role(role), scope, time.time(), password),
        role=role,
        scope=scope,
    )
    click.echo(f"    tenant {control.folder.tenant}")
    click.echo(f"    client {identifier}")
    if not password:
        click.echo(f"    secret {secret}")


@command.command("list")
@click.option("--json", "as_object", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def everybody(control: Control, as_object: bool) -> None:
    """Show who there is, and what each may do."""
    with control.database.reading() as connection:
        found = principals.everybody(connection)
    if as_object:
        rows = [
            {
                "id": one.id,
                "name": one.name,
                "kind": "person" if one.person else "service",
                "assignments": [{"role": a.role.value, "scope": a.scope} for a in one.assignments],
            }
            for one in found
        ]
        click.echo(json.dumps({"version": 1, "principals": rows}, ensure_ascii=False))
        return
    for one in found:
        kind = "person" if one.person else "service"
        roles = ", ".join(f"{a.role.value} of {a.scope}" for a in one.assignments) or "no role"
        click.echo(f"{one.id}  {kind}  {one.name}  {roles}")


@command.command("rotate")
@click.argument("identifier", metavar="ID")
@click.pass_obj
def rotate(control: Control, identifier: str) -> None:
    """Print a new secret; the old one and all tokens are good no more."""
    secret = _done(control, "rotate secret", identifier, lambda c: principals.rotate(c, identifier))
    click.echo(f"    secret {secret}")


@command.command("remove")
@click.argument("identifier", metavar="ID")
@click.pass_obj
def remove(control: Control, identifier: str) -> None:
    """Take a principal away, with its tokens and sessions."""
    _done(control, "remove principal", identifier, lambda c: principals.remove(c, identifier))


@command.command("give")
@click.argument("identifier", metavar="ID")
@_role
@_scope
@click.pass_obj
def give(control: Control, identifier: str, role: str, scope: str) -> None:
    """Give a role."""
    _done(
        control,
        "give role",
        identifier,
        lambda c: principals.give(c, identifier, Role(role), scope),
        role=role,
        scope=scope,
    )


@command.command("take")
@click.argument("identifier", metavar="ID")
@_role
@_scope
@click.pass_obj
def take(control: Control, identifier: str, role: str, scope: str) -> None:
    """Take a role away."""
    _done(
        control,
        "take role",
        identifier,
        lambda c: principals.take(c, identifier, Role(role), scope),
        role=role,
        scope=scope,
    )


def _done(
    control: Control, what: str, subject: str, work: Callable[[Connection], T], **details: str
) -> T:
    """In one transaction with its entry in the audit log."""

    def all_of_it(connection: Connection) -> T:
        result = work(connection)
        who = "the server's command line"
        audit.append(connection, time.time(), who, what, subject, details)
        return result

    return control.database.write(all_of_it)
