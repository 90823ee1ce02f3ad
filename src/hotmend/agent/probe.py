"""Probes of what a machine is for: its owner says what to ask, and what the answer must be.

They are read from a file on the machine that only root may write, never from the control plane,
and run in the agent's worker, which has no rights. Time and output are bounded.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import assert_never

import urllib3
from urllib3.exceptions import HTTPError

from hotmend.model.agent_messages import ProbeResult

_MOST_OUTPUT = 4096
_SHOWN = 200


@dataclass(frozen=True)
class HttpProbe:
    """``url`` must answer with ``status``; nothing is followed."""

    url: str
    status: int = 200


@dataclass(frozen=True)
class TcpProbe:
    """Something must take a connection there."""

    host: str
    port: int


@dataclass(frozen=True)
class CommandProbe:
    """A program, without a shell, must end with 0."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Probe:
    """``every_s``: from one beginning to the next; ``timeout_s``: later is unhealthy."""

    name: str
    asks: HttpProbe | TcpProbe | CommandProbe
    every_s: float = 30.0
    timeout_s: float = 5.0


def ask(probe: Probe, clock: Callable[[], float] = time.time) -> ProbeResult:
    """Once. Everything that goes wrong is an answer: unhealthy, and why."""
    began, when = time.monotonic(), clock()
    match probe.asks:
        case HttpProbe(url, status):
            because = _http(url, status, probe.timeout_s)
        case TcpProbe(host, port):
            because = _tcp(host, port, probe.timeout_s)
        case CommandProbe(words):
            because = _command(words, probe.timeout_s)
        case _:
            assert_never(probe.asks)
    took = round(time.monotonic() - began, 3)
    return ProbeResult(probe.name, not because, when, took, because)


def _http(url: str, status: int, timeout_s: float) -> str:
    pool = urllib3.PoolManager(retries=False)
    deadline = time.monotonic() + timeout_s
    try:
        answer = pool.request(
            "GET",
            url,
            redirect=False,
            preload_content=False,
            timeout=urllib3.Timeout(total=timeout_s),
        )
        # A server that trickles its answer is not healthy either.
        left = 16 * _MOST_OUTPUT
        while left > 0 and (data := answer.read1(_MOST_OUTPUT)):
            left -= len(data)
            if time.monotonic() > deadline:
                return f"{url} did not end its answer within {timeout_s:g} s"
        if answer.status != status:
            return f"{url} answered {answer.status}, not {status}"
    except (HTTPError, OSError, ValueError) as error:
        return f"{url}: {str(error)[:_SHOWN]}"
    finally:
        pool.clear()
    return ""


def _tcp(host: str, port: int, timeout_s: float) -> str:
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError as error:
        return f"{host} port {port}: {error}"
    return ""


def _command(words: Sequence[str], timeout_s: float) -> str:
    name = words[0]
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"{name}: {error}"
    with process:
        said = _output(process, time.monotonic() + timeout_s)
        ended = process.poll() is not None
        with suppress(ProcessLookupError):  # with whatever it started
            os.killpg(process.pid, signal.SIGKILL)
    if not ended:
        return f"{name} did not end within {timeout_s:g} s"
    if process.returncode:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        return f"{name} ended with {process.returncode}: {last[:_SHOWN]}".removesuffix(": ")
    return ""


def _output(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """The end of what it says, until it ends or the time is up."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    said = b""
    while True:
        ended = process.poll() is not None
        while data := process.stdout.read(_MOST_OUTPUT):
            said = (said + data)[-_MOST_OUTPUT:]
            if time.monotonic() > deadline:
                return said
        if ended or time.monotonic() > deadline:
            return said
        if data is None:  # there may be more
            select.select([process.stdout], [], [], 0.01)
        else:
            time.sleep(0.01)
