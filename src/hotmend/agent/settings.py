"""The settings of an agent, and where each comes from.

What is not said anywhere is built in; ``/etc/hotmend/agent.toml`` says otherwise for a machine, and
the command line for one start. The control plane sets none of them: it orders, within them.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hotmend.agent.errors import AgentError
from hotmend.agent.probe import CommandProbe, HttpProbe, Probe, TcpProbe

FILE = Path("/etc/hotmend/agent.toml")
BUILT_IN = "built in"
COMMAND_LINE = "command line"
_MOST_BYTES = 1 << 16
_MOST_PROBES = 32
_MOST_WORDS = 64


@dataclass(frozen=True)
class Settings:
    """``assess_every_s``, ``verify_every_s``: how often this machine is assessed and its patched
    memory read again unasked; ``health_every_s``: how often its health is told where nothing has
    changed; ``may_restart``: whether anybody may have the agent restart it."""

    assess_every_s: float = 24 * 3600.0
    verify_every_s: float = 3600.0
    health_every_s: float = 60.0
    may_restart: bool = True
    probes: tuple[Probe, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    def source(self, name: str) -> str:
        """Where a setting comes from."""
        return self.sources.get(name, BUILT_IN)

    def given(self, source: str, **values: Any) -> Settings:
        """With these from there."""
        sources = {**self.sources, **dict.fromkeys(values, source)}
        return replace(self, **values, sources=sources)


NAMES = tuple(one.name for one in fields(Settings) if one.name != "sources")
# Shortest and longest, seconds.
_BOUNDS = {
    "assess_every_s": (3600.0, 24 * 3600.0),
    "verify_every_s": (10.0, 24 * 3600.0),
    "health_every_s": (5.0, 600.0),
}


def load(path: Path = FILE) -> Settings:
    """What is built in where there is no such file. Raises AgentError."""
    try:
        with path.open("rb") as file:
            _owned(path, os.fstat(file.fileno()))
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise AgentError(f"{path} cannot be read: {error.strerror}") from None
    try:
        if len(data) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        return parse(data.decode(), str(path))
    except (ValueError, TypeError) as error:
        raise AgentError(f"{path} cannot be used: {error}") from None


def parse(text: str, source: str) -> Settings:
    """From TOML. Raises ValueError, TypeError."""
    settings = Settings()
    for name, value in tomllib.loads(text).items():
        if name in _BOUNDS:
            settings = settings.given(source, **{name: _seconds(name, value, *_BOUNDS[name])})
        elif name == "may_restart":
            if not isinstance(value, bool):
                raise TypeError("may_restart is true or false")
            settings = settings.given(source, may_restart=value)
        elif name == "probe":
            settings = settings.given(source, probes=_probes(value))
        else:
            raise ValueError(
                f"{name} is no setting; there are {', '.join(_BOUNDS)}, may_restart and [[probe]]"
            )
    return settings


def _probes(rows: Any) -> tuple[Probe, ...]:
    if not isinstance(rows, list) or len(rows) > _MOST_PROBES:
        raise ValueError(f"probes are at most {_MOST_PROBES} [[probe]] tables")
    probes = tuple(_probe(row) for row in rows)
    if len({probe.name for probe in probes}) != len(probes):
        raise ValueError("every probe has a name of its own")
    return probes


def _probe(row: dict[str, Any]) -> Probe:
    name = _text(row.get("name"), "a probe's name")
    unknown = set(row) - {"name", "http", "status", "tcp", "command", "every_s", "timeout_s"}
    if unknown:
        raise ValueError(f"probe {name}: {', '.join(sorted(unknown))} is not known")
    timeout = _seconds("timeout_s", row.get("timeout_s", 5.0), 0.1, 60.0)
    every = _seconds("every_s", row.get("every_s", 30.0), 1.0, 3600.0)
    match [kind for kind in ("http", "tcp", "command") if kind in row]:
        case ["http"]:
            url, status = _text(row["http"], "a URL"), row.get("status", 200)
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise ValueError(f"probe {name}: {url} is no http:// or https:// address")
            if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status < 600:
                raise ValueError(f"probe {name}: {status!r} is no status")
            return Probe(name, HttpProbe(url, status), every, timeout)
        case ["tcp"]:
            host, _, port = _text(row["tcp"], "an address").rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
                raise ValueError(f"probe {name}: {row['tcp']} is not host:port")
            return Probe(name, TcpProbe(host.strip("[]"), int(port)), every, timeout)
        case ["command"]:
            words = row["command"]
            if not isinstance(words, list) or not 0 < len(words) <= _MOST_WORDS:
                raise ValueError(f"probe {name}: a command is a list of words")
            words = tuple(_text(word, "a word of a command") for word in words)
            if not words[0].startswith("/"):
                raise ValueError(f"probe {name}: {words[0]} is not the full path of a program")
            return Probe(name, CommandProbe(words), every, timeout)
        case _:
            raise ValueError(f"probe {name}: one of http, tcp and command")


def _owned(path: Path, status: os.stat_result) -> None:
    """A command in it is run by root. Raises AgentError."""
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise AgentError(f"{path} cannot be used: others than root may write it")


def _seconds(name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} is a number of seconds from {low:g} to {high:g}")
    return float(value)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value or len(value) > 1024 or "\0" in value:
        raise ValueError(f"{what} is a text")
    return value
