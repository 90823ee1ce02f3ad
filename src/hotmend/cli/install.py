"""``hotmend install MACHINE…``: install updates now."""

from __future__ import annotations

from typing import Any

import click

from hotmend.cli import exit_codes
from hotmend.cli.fleet import as_object_option, fleet, leave, most_pressing, print_object
from hotmend.client.fleet import Wish

_REBOOT = {"never": "Never", "if-required": "IfRequired", "always": "Always"}
_URGENT = ("Critical", "Security")
_STILL_OLD = {"refused": exit_codes.NEEDS_RESTART, "blocked": exit_codes.WAITING}


@click.command("install")
@click.argument("machines", nargs=-1, required=True)
@click.option("--class", "classifications", multiple=True, help="[default: Critical, Security]")
@click.option("--include", multiple=True, metavar="MASK", help="Articles or names; * is any text.")
@click.option("--exclude", multiple=True, metavar="MASK", help="Whatever chose it.")
@click.option("--maximum", default="PT3H55M", show_default=True, help="An ISO 8601 duration.")
@click.option("--reboot", type=click.Choice(list(_REBOOT)), default="never", show_default=True)
@click.option("--wait", "wait_s", type=click.FloatRange(0), default=4 * 3600.0, show_default=True)
@as_object_option
def command(
    machines: tuple[str, ...],
    classifications: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    maximum: str,
    reboot: str,
    wait_s: float,
    as_object: bool,
) -> None:
    """Install updates on MACHINES now, all at once, and wait for what comes of it."""
    known = fleet()
    wanted = classifications or (() if include else _URGENT)
    wish = Wish(wanted, include, exclude, maximum, _REBOOT[reboot])
    resources = [known.resource(name) for name in machines]
    begun = [known.install(resource, wish) for resource in resources]
    codes, results = [], []
    for name, resource, operation in zip(machines, resources, begun, strict=True):
        result = known.ended(operation, wait_s)
        run = None
        if result is not None:
            identifier = result["installationActivityId"]
            run = next((r for r in known.history(resource, 1) if r["id"] == identifier), None)
        results.append({"machine": name, "result": result, "run": run})
        codes.append(_code(result, run))
        if not as_object:
            for line in _lines(name, result, run):
                click.echo(line)
    if as_object:
        print_object(installations=results)
    leave(most_pressing(codes))


def _code(result: dict[str, Any] | None, run: dict[str, Any] | None) -> int:
    """A process that was refused needs a restart; what was blocked, or had no time left, waits."""
    if result is None:
        return exit_codes.WAITING
    if result["status"] == "Failed":
        failed = [p for p in (run or {}).get("patches", []) if p["state"] == "Failed"]
        kinds = {process["outcome"] for patch in failed for process in patch["processes"]}
        for kind, code in _STILL_OLD.items():
            if kind in kinds and all(patch["processes"] for patch in failed):
                return code
        if not failed and result["maintenanceWindowExceeded"]:
            return exit_codes.WAITING
        return exit_codes.FAILED
    if result["rebootStatus"] == "Required":
        return exit_codes.REBOOT_REQUIRED
    return exit_codes.DONE if result["status"] == "Succeeded" else exit_codes.FAILED


def _lines(name: str, result: dict[str, Any] | None, run: dict[str, Any] | None) -> list[str]:
    if result is None:
        return [f"⧗ {name}  has not ended; it goes on → hotmend history {name}"]
    mark = "✓" if result["status"] == "Succeeded" else "✗"
    lines = [
        f"{mark} {name}  {result['installedPatchCount']} installed, "
        f"{result['failedPatchCount']} failed, {result['pendingPatchCount']} had no time left"
    ]
    if "error" in result:
        lines.append(f"    {result['error']['message']}")
    for patch in (run or {}).get("patches", []):
        if patch["state"] not in ("NotSelected", "Excluded"):
            because = f"  {patch['because']}" if patch["because"] else ""
            lines.append(f"    {patch['article']}  {patch['state']}{because}")
    if result["rebootStatus"] not in ("NotNeeded", "Unknown"):
        lines.append(f"    restart: {result['rebootStatus']}")
    return lines
