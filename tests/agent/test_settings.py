"""Settings: what is built in, what a file says, and what no file may say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hotmend.agent import settings
from hotmend.agent.errors import AgentError
from hotmend.agent.probe import CommandProbe, HttpProbe, Probe, TcpProbe
from hotmend.agent.settings import Settings, load
from hotmend.cli.policy import command

GOOD = """
verify_every_s = 600
may_restart = false

[[probe]]
name = "front page"
http = "http://127.0.0.1:8080/healthz"
status = 204
every_s = 5

[[probe]]
name = "database"
tcp = "[::1]:5432"

[[probe]]
name = "queue"
command = ["/usr/bin/check-queue", "--quick"]
timeout_s = 1.5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(GOOD)
    return path


def test_without_a_file_everything_is_built_in(tmp_path: Path) -> None:
    assert load(tmp_path / "none.toml") == Settings()
    assert Settings().source("may_restart") == settings.BUILT_IN


def test_a_file_says_otherwise_and_is_named(file: Path) -> None:
    found = load(file)
    assert (found.verify_every_s, found.may_restart, found.assess_every_s) == (600, False, 86400)
    assert found.probes == (
        Probe("front page", HttpProbe("http://127.0.0.1:8080/healthz", 204), every_s=5.0),
        Probe("database", TcpProbe("::1", 5432)),
        Probe("queue", CommandProbe(("/usr/bin/check-queue", "--quick")), timeout_s=1.5),
    )
    assert found.source("may_restart") == str(file)
    assert found.source("assess_every_s") == settings.BUILT_IN
    assert found.given(settings.COMMAND_LINE, may_restart=True).source("may_restart") == (
        "command line"
    )


def test_a_file_that_others_may_write_is_not_used(file: Path) -> None:
    """A command in it would be run by root."""
    file.chmod(0o664)
    with pytest.raises(AgentError, match="others than root"):
        load(file)
    file.chmod(0o644)
    load(file)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("verify_every_s = 1", "from 10 to 86400"),
        ("verify_every_s = nan", "from 10 to"),
        ("verify_every_s = true", "from 10 to"),
        ("assess_every_s = 90000", "from 3600 to 86400"),
        ("may_restart = 1", "true or false"),
        ("colour = 1", "colour is no setting"),
        ("probe = 1", r"\[\[probe\]\] tables"),
        ("[[probe]]\nname = 'x'", "one of http, tcp and command"),
        ("[[probe]]\ntcp = 'a:1'", "name is a text"),
        ("[[probe]]\nname = 'x'\ntcp = 'a:1'\nhttp = 'http://a'", "one of http"),
        ("[[probe]]\nname = 'x'\ntcp = 'a:70000'", "not host:port"),
        ("[[probe]]\nname = 'x'\nhttp = 'file:///etc/passwd'", "no http"),
        ("[[probe]]\nname = 'x'\nhttp = 'http://a'\nstatus = 99", "no status"),
        ("[[probe]]\nname = 'x'\ncommand = 'rm -rf /'", "list of words"),
        ("[[probe]]\nname = 'x'\ncommand = ['check']", "full path"),
        ("[[probe]]\nname = 'x'\ntcp = 'a:1'\nshell = true", "shell is not known"),
        ("[[probe]]\nname = 'x'\ntcp = 'a:1'\ntimeout_s = 900", "from 0.1 to 60"),
        ("[[probe]]\nname='x'\ntcp='a:1'\n[[probe]]\nname='x'\ntcp='a:2'", "of its own"),
        ("[[probe]]\nname = 'x'\ntcp = 'a:1'\n" * 33, "at most 32"),
        ("= =", "Invalid"),
        ("x" * 70000, "more than"),
    ],
)
def test_what_is_not_understood_is_refused_as_a_whole(file: Path, text: str, why: str) -> None:
    file.write_text(text)
    with pytest.raises(AgentError, match=why):
        load(file)


def test_the_effective_settings_are_shown_with_their_sources(file: Path) -> None:
    shown = CliRunner().invoke(command, ["show", "--settings", str(file)])
    assert shown.exit_code == 0
    assert f"may_restart     no       {file}" in shown.output
    assert "assess_every_s  86400 s  built in" in shown.output
    assert "front page: GET http://127.0.0.1:8080/healthz → 204 every 5 s" in shown.output
    rows = json.loads(
        CliRunner().invoke(command, ["show", "--settings", str(file), "--json"]).output
    )["settings"]
    assert rows["verify_every_s"] == {"value": 600.0, "from": str(file)}
    assert len(rows["probes"]["value"]) == 3
