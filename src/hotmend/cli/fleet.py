"""What the commands for a fleet share: the login, tables, and what their exit status says."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from hotmend.cli import exit_codes
from hotmend.client import login
from hotmend.client.api import Api
from hotmend.client.fleet import Fleet

_PLAIN_WIDTH = 200

as_object_option = click.option(
    "--json", "as_object", is_flag=True, help="One JSON object on stdout."
)


def api() -> Api:
    """Of the login that is kept. Raises ClientError."""
    return Api(login.kept(login.place()))


def fleet() -> Fleet:
    """Of the login that is kept. Raises ClientError."""
    return Fleet(api())


def print_object(**content: Any) -> None:
    """``version``: of the schema; a field is never given another meaning."""
    click.echo(json.dumps({"version": 1, **content}, ensure_ascii=False))


def print_table(table: Table) -> None:
    """As wide as the terminal; off one, as wide as it must be."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    console.print(table)


def name_of(machine: dict[str, Any]) -> str:
    """Simulated ones say so wherever they are shown."""
    return f"{machine['name']} (simulated)" if machine["simulated"] else str(machine["name"])


def when(time: str | None) -> str:
    """An ISO time to the minute, UTC."""
    return time[:16].replace("T", " ") if time else "never"


def exit_code_of(patches: Iterable[dict[str, Any]], *, reboot_pending: bool) -> int:
    """Of an assessment: the most pressing thing that there is to know."""
    words: list[str] = []
    for patch in patches:  # in Azure's form, or in the fleet's
        words += patch.get("classifications") or [patch["classification"]]
    if {"Critical", "Security"} & set(words):
        return exit_codes.SECURITY_UPDATES
    if words:
        return exit_codes.UPDATES_AVAILABLE
    return exit_codes.REBOOT_REQUIRED if reboot_pending else exit_codes.DONE


def most_pressing(codes: list[int]) -> int:
    """Of several machines' exit statuses: a failure, else the first in the order of urgency."""
    order = (
        exit_codes.FAILED,
        exit_codes.NEEDS_RESTART,
        exit_codes.SECURITY_UPDATES,
        exit_codes.REBOOT_REQUIRED,
        exit_codes.UPDATES_AVAILABLE,
        exit_codes.OUTSIDE_WINDOW,
        exit_codes.WAITING,
    )
    return next((code for code in order if code in codes), exit_codes.DONE)


def leave(code: int) -> None:
    """With the exit status ``code``, 0 too."""
    if code:
        sys.exit(code)
