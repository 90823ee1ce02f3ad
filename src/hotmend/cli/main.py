"""The ``hotmend`` command. Commands are imported when they are called: start-up counts."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

import click

from hotmend import __version__
from hotmend.cli import exit_codes
from hotmend.cli.errors import CommandError

_COMMANDS = {
    "agent": "hotmend.cli.agent",
    "apply": "hotmend.cli.apply",
    "assess": "hotmend.cli.assess",
    "audit": "hotmend.cli.audit",
    "baseline": "hotmend.cli.baseline",
    "build": "hotmend.cli.build",
    "calendar": "hotmend.cli.calendar",
    "catalogue": "hotmend.cli.catalogue",
    "demo": "hotmend.cli.demo",
    "enroll": "hotmend.cli.enroll",
    "history": "hotmend.cli.history",
    "inspect": "hotmend.cli.inspect",
    "install": "hotmend.cli.install",
    "login": "hotmend.cli.login",
    "machines": "hotmend.cli.machines",
    "patches": "hotmend.cli.patches",
    "policy": "hotmend.cli.policy",
    "ps": "hotmend.cli.ps",
    "release": "hotmend.cli.release",
    "repo": "hotmend.cli.repo",
    "revert": "hotmend.cli.revert",
    "rollouts": "hotmend.cli.rollouts",
    "server": "hotmend.cli.server",
    "simulate": "hotmend.cli.simulate",
    "status": "hotmend.cli.status",
    "symbols": "hotmend.cli.symbols",
    "verify": "hotmend.cli.verify",
    "vex": "hotmend.cli.vex",
    "watch": "hotmend.cli.watch",
    "why": "hotmend.cli.why",
}
_EXTRAS = {
    "agent": "agent",
    "assess": "client",
    "audit": "client",
    "baseline": "release",
    "build": "build",
    "calendar": "release",
    "catalogue": "release",
    "demo": "build,release,server,agent",
    "enroll": "agent",
    "history": "client",
    "install": "client",
    "login": "client",
    "machines": "client",
    "patches": "client",
    "policy": "agent",
    "release": "build",
    "repo": "release",
    "rollouts": "client",
    "server": "server",
    "simulate": "simulation",
    "vex": "release",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        try:
            module = importlib.import_module(_COMMANDS[cmd_name])
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("hotmend"):
                raise
            extra = _EXTRAS.get(cmd_name, "")
            raise CommandError(
                f"hotmend {cmd_name} needs {error.name}: pip install 'hotmend[{extra}]'"
            ) from None
        command: click.Command = module.command
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hotmend")
def hotmend() -> None:
    """Security updates into the memory of running processes: no reboot, no restart."""


def main() -> NoReturn:
    """The entry point: every known error is one line, the next thing to do, and its exit code."""
    try:
        hotmend(standalone_mode=False)
        sys.exit(exit_codes.DONE)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.Abort:
        _fail("interrupted", exit_codes.FAILED)
    except click.UsageError as error:
        hint = f"{error.ctx.command_path} --help" if error.ctx is not None else "hotmend --help"
        _fail(f"{error.format_message()} → {hint}", exit_codes.USAGE)
    except click.ClickException as error:
        _fail(error.format_message(), exit_codes.USAGE)
    except CommandError as error:
        _fail(str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(exit_codes.FAILED)
    except Exception as error:
        if os.environ.get("HOTMEND_DEBUG") == "1":
            raise
        _fail(*_explain(error))


def _explain(error: Exception) -> tuple[str, int]:
    """(sentence, exit code). The errors' modules are imported by whoever raised them."""
    names = {kind.__module__ + "." + kind.__name__ for kind in type(error).__mro__}
    if names & {"hotmend.surgery.errors.NotPermitted", "hotmend.client.errors.NotPermitted"}:
        return str(error), exit_codes.NOT_PERMITTED
    if "hotmend.client.errors.Unreachable" in names:
        return str(error), exit_codes.SERVER_UNREACHABLE
    known = {
        "hotmend.surgery.errors.SurgeryError",
        "hotmend.hotpatch.errors.HotpatchError",
        "hotmend.binary.errors.BinaryError",
        "hotmend.build.errors.BuildError",
        "hotmend.release.errors.ReleaseError",
        "hotmend.agent.errors.AgentError",
        "hotmend.client.errors.ClientError",
        "hotmend.server.errors.ServerError",
    }
    if names & known:
        return str(error), exit_codes.FAILED
    return (
        f"unexpected {type(error).__name__}: {error}; this is a fault in hotmend, please report "
        "it with the output of HOTMEND_DEBUG=1",
        exit_codes.FAILED,
    )


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(f"hotmend: {sentence}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
