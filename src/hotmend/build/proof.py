"""A publisher's proof: a script that shows the flaw in the old build, and its absence in a process
that runs the hotpatch. Both runs happen here; docs/proofs.md is the convention for scripts.

The hotpatch goes in through the ``hotmend apply`` command line, in a process of its own: the
builder never touches another process's memory itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from hotmend.build.errors import BuildError

TIME_LIMIT = 120.0
_KEPT_OUTPUT = 64 << 10
_MAX_SENTENCE = 300
_ID = re.compile(r"^(CVE-\d{4}-\d{4,}|DSA-\d{3,5}(-\d+)?)$")


class Seen(StrEnum):
    """What one run of the script says."""

    ABSENT = "absent"
    PRESENT = "present"
    CANNOT_TELL = "cannot tell"


class ProofOutcome(StrEnum):
    """What the two runs say together."""

    FIXED = "fixed"
    STILL_THERE = "still there"
    SHOWS_NOTHING = "shows nothing"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Proof:
    """``--proof ID=SCRIPT``, checked: the script exists and is executable."""

    id: str
    script: Path
    sha256: str


@dataclass(frozen=True)
class ProofRun:
    """``status``: exit status, minus the signal's number, or None at the time limit.
    ``sentence``: the last line of stdout. ``output``: the end of stdout and stderr, for people."""

    seen: Seen
    status: int | None
    sentence: str
    output: str


@dataclass(frozen=True)
class ProofResult:
    """``after`` is None when the flaw did not show in the old build: there was nothing to try."""

    id: str
    before: ProofRun
    after: ProofRun | None
    sha256: str

    @property
    def outcome(self) -> ProofOutcome:
        if self.before.seen is Seen.ABSENT:
            return ProofOutcome.SHOWS_NOTHING
        if self.before.seen is Seen.CANNOT_TELL or self.after is None:
            return ProofOutcome.UNDECIDED
        match self.after.seen:
            case Seen.ABSENT:
                return ProofOutcome.FIXED
            case Seen.PRESENT:
                return ProofOutcome.STILL_THERE
            case Seen.CANNOT_TELL:
                return ProofOutcome.UNDECIDED

    @property
    def because(self) -> str:
        """One sentence, for people."""
        before = f"old build: {self.before.sentence}"
        after = f"with the hotpatch: {self.after.sentence}" if self.after else "not run again"
        match self.outcome:
            case ProofOutcome.FIXED:
                return f"the proof shows the flaw and its absence ({before}; {after})"
            case ProofOutcome.STILL_THERE:
                return f"the proof still shows the flaw in a patched process ({before}; {after})"
            case ProofOutcome.SHOWS_NOTHING:
                return f"the proof does not show the flaw in the old build, so it proves nothing ({before})"  # noqa: E501
            case ProofOutcome.UNDECIDED:
                return f"the proof could not tell ({before}; {after})"


def parse_proof(option: str) -> Proof:
    """``CVE-2025-8732=path/to/script``. Raises BuildError."""
    name, equals, path = option.partition("=")
    if not equals or not _ID.match(name) or not path:
        raise BuildError(f"--proof {option}: write it as CVE-2025-8732=SCRIPT")
    script = Path(path).absolute()
    try:
        digest = hashlib.sha256(script.read_bytes()).hexdigest()
    except OSError as error:
        raise BuildError(f"--proof {name}: {path} cannot be read: {error.strerror}") from None
    if not os.access(script, os.X_OK):
        raise BuildError(f"--proof {name}: {path} is not executable; chmod +x it")
    return Proof(name, script, digest)


def apply_command(hotpatch: Path) -> tuple[str, ...]:
    """The command line that applies ``hotpatch``; the pid follows as its last word."""
    return (sys.executable, "-m", "hotmend.cli.main", "apply", str(hotpatch.absolute()), "--pid")


def run_proof(
    proof: Proof, tree: Path, apply: Sequence[str], time_limit: float = TIME_LIMIT
) -> ProofResult:
    """Run ``proof`` on the old build and then, if the flaw shows, with ``apply``.

    ``tree``: the old build as extracted. ``time_limit``: seconds, for each run. Raises BuildError
    when the script cannot be started.
    """
    environment = _environment(os.environ, tree)
    before = _run(proof, environment, time_limit)
    after = None
    if before.seen is Seen.PRESENT:
        after = _run(proof, environment | {"HOTMEND_APPLY": shlex.join(apply)}, time_limit)
    return ProofResult(proof.id, before, after, proof.sha256)


def run_workload(
    script: Path, tree: Path, apply: Sequence[str], time_limit: float = TIME_LIMIT
) -> tuple[ProofRun, ProofRun]:
    """Run a script that says, with exit status 0, that the software does its work: on the old
    build as it is, and in processes that run the hotpatch. Raises BuildError when it cannot be
    started."""
    work = Proof("", script, "")
    environment = _environment(os.environ, tree)
    before = _run(work, environment, time_limit)
    return before, _run(work, environment | {"HOTMEND_APPLY": shlex.join(apply)}, time_limit)


def _environment(ours: Mapping[str, str], tree: Path) -> dict[str, str]:
    """Only what the convention promises; the tool's own settings reach the tool."""
    kept = {
        name: value
        for name, value in ours.items()
        if name in ("PATH", "HOME") or name.startswith("HOTMEND_")
    }
    kept.pop("HOTMEND_APPLY", None)
    return kept | {"LANG": "C.UTF-8", "HOTMEND_TREE": str(tree.absolute())}


def _run(proof: Proof, environment: dict[str, str], time_limit: float) -> ProofRun:
    with tempfile.TemporaryDirectory(prefix="hotmend-proof-") as folder:
        try:
            process = subprocess.Popen(
                [proof.script],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise BuildError(
                f"the proof of {proof.id} cannot be started: {error.strerror} ({proof.script})"
            ) from None
        with process:
            out, err = _Tail(process.stdout), _Tail(process.stderr)
            in_time = _wait(process, time_limit)
            status = process.wait()
            out.finish()
            err.finish()
    stdout, stderr = out.text(), err.text()
    lines = [line.strip() for line in stdout.splitlines() if line.strip()]
    output = stdout + stderr
    if not in_time:
        return ProofRun(Seen.CANNOT_TELL, None, f"no answer within {time_limit:g} s", output)
    seen = {0: Seen.ABSENT, 1: Seen.PRESENT}.get(status, Seen.CANNOT_TELL)
    sentence = lines[-1][:_MAX_SENTENCE] if lines else _ending(status)
    return ProofRun(seen, status, sentence, output)


def _wait(process: subprocess.Popen[bytes], time_limit: float) -> bool:
    """Wait for the end, then end what is left of the session. The leader is reaped after that, so
    its number still belongs to it while the group is killed."""
    descriptor = os.pidfd_open(process.pid)
    try:
        ended, _, _ = select.select([descriptor], [], [], time_limit)
        os.killpg(process.pid, signal.SIGKILL)
    finally:
        os.close(descriptor)
    return bool(ended)


def _ending(status: int) -> str:
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"exit status {status}, no output"


class _Tail:
    """Keeps the end of a stream without ever holding more, and never blocks its writer."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        assert stream is not None
        self._stream = stream
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._stream.fileno(), 1 << 16):
            self._kept = (self._kept + data)[-_KEPT_OUTPUT:]

    def finish(self) -> None:
        # A daemon that left the session may hold the pipe open for ever.
        self._thread.join(timeout=2)

    def text(self) -> str:
        text = self._kept.decode("utf-8", "replace")
        return "".join(c for c in text if c.isprintable() or c in "\n\t")
