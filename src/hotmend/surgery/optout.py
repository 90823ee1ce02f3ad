"""Processes that are not to be hotpatched, because somebody on the machine said so.

A unit says ``X-Hotpatch=no`` in any section of its file or a drop-in (systemd ignores names that
begin with X-); /etc/hotmend/opt-out names units and commands, one a line, # for remarks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery import procfs

_UNIT_FOLDERS = ("etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system")
_LIST = "etc/hotmend/opt-out"
_UNIT = re.compile(r"[\w@:.\\-]+\.(service|scope)")
_WISH = re.compile(r"^\s*X-Hotpatch\s*=\s*(\w+)\s*$", re.IGNORECASE | re.MULTILINE)
_NO = ("no", "false", "off", "0")


def asked_for(pid: int, command: str) -> Refusal | None:
    """The refusal for a process that is to be left alone. ``$HOTMEND_ROOT`` stands for /."""
    root = Path(os.environ.get("HOTMEND_ROOT", "/"))
    return wish(command, unit_of(pid), root)


def wish(command: str, unit: str, root: Path) -> Refusal | None:
    """What the files under ``root`` say of a command in a unit ("" for none)."""
    for name in _listed(root / _LIST):
        if name in (command, unit):
            return _opted_out(command, f"{root / _LIST} names {name}")
    for path in _unit_files(unit, root):
        last = _WISH.findall(_text(path))[-1:]
        if last and last[0].lower() in _NO:
            return _opted_out(command, f"{path} says X-Hotpatch={last[0]}")
    return None


def unit_of(pid: int) -> str:
    """The systemd unit that a process runs in, "" where there is none."""
    try:
        lines = procfs.lines(f"{pid}/cgroup")
    except OSError:
        return ""
    for line in lines:
        for part in reversed(line.rpartition(":")[2].split("/")):
            if _UNIT.fullmatch(part):
                return part
    return ""


def _listed(path: Path) -> Iterator[str]:
    for line in _text(path).splitlines():
        name = line.partition("#")[0].strip()
        if name:
            yield name


def _unit_files(unit: str, root: Path) -> Iterator[Path]:
    """Its file, its template's, and the drop-ins of both."""
    if not unit:
        return
    stem, _, kind = unit.rpartition(".")
    names = [unit]
    if "@" in stem:
        names.append(f"{stem.partition('@')[0]}@.{kind}")
    for folder in _UNIT_FOLDERS:
        for name in names:
            yield root / folder / name
            yield from sorted((root / folder / f"{name}.d").glob("*.conf"))


def _text(path: Path) -> str:
    try:
        with path.open(errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""


def _opted_out(command: str, where: str) -> Refusal:
    return Refusal(
        RefusalCode.OPTED_OUT,
        f"{command} is not to be hotpatched: {where}",
        command,
        (("found in", where),),
    )
