"""The surgeon and its worker: each can do what the other cannot, and both are held to it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hotmend.hotpatch.codec import encode
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.surgery import order as words
from hotmend.surgery.errors import OrderError
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.order import Order, Summary, Verb
from hotmend.surgery.publishing import Consistency
from hotmend.surgery.surgeon import Surgeon
from surgery.hired import served
from surgery.workshop import hotpatch, is_root, running

PATCH = hotpatch("answer")
DATA = encode(PATCH)
ORDER = Order(
    Verb.APPLY,
    sha256=hashlib.sha256(DATA).hexdigest(),
    builds=tuple(image.old_build_id.hex for image in PATCH.images),
)


@pytest.fixture(name="served")
def _served(ledger: Ledger) -> Iterator[tuple[Surgeon, socket.socket]]:
    """(its worker's side, the bare socket)."""
    with served(ledger) as made:
        yield made


def test_processes_that_map_no_old_build_are_passed_over_when_asked(
    served: tuple[Surgeon, socket.socket],
) -> None:
    surgeon, _ = served
    with running("idle") as target, subprocess.Popen(["sleep", "60"]) as other:
        order = replace(ORDER, pids=(other.pid, target.pid))
        try:
            for mapped_only, pids in ((False, {other.pid, target.pid}), (True, {target.pid})):
                asked = replace(order, mapped_only=mapped_only)
                outcomes, _ = words.collected(surgeon.perform(asked, DATA))
                assert {outcome.pid for outcome in outcomes} == pids
        finally:
            other.kill()
        assert target.ask() == 2


def test_an_order_without_a_stop(served: tuple[Surgeon, socket.socket]) -> None:
    surgeon, _ = served
    data = encode(hotpatch("answer", independent=True))
    order = replace(
        ORDER,
        sha256=hashlib.sha256(data).hexdigest(),
        consistency=Consistency.NO_STOP,
    )
    with running("idle") as target:
        outcome, _ = surgeon.perform(replace(order, pids=(target.pid,)), data)
        assert isinstance(outcome, Outcome)
        assert (outcome.kind, outcome.pause_ms) == (OutcomeKind.APPLIED, 0.0)
        assert target.ask() == 2


def test_an_order_is_carried_out(served: tuple[Surgeon, socket.socket]) -> None:
    surgeon, _ = served
    with running("idle") as target:
        order = replace(ORDER, pids=(target.pid,))
        outcome, summary = surgeon.perform(order, DATA)
        assert isinstance(outcome, Outcome) and outcome.kind is OutcomeKind.APPLIED
        assert summary == Summary()
        assert target.ask() == 2
        outcome, _ = surgeon.perform(replace(order, verb=Verb.REVERT), DATA)
        assert isinstance(outcome, Outcome) and outcome.kind is OutcomeKind.REVERTED
        assert target.ask() == 1


@pytest.mark.parametrize(
    ("order", "data", "sentence"),
    [
        (replace(ORDER, sha256="00" * 32), DATA, "not the one that the order names"),
        (ORDER, DATA[:-1] + b"x", "not the one that the order names"),
        (replace(ORDER, builds=("ab" * 20,)), DATA, "disagree"),
        (replace(ORDER, builds=()), DATA, "disagree"),
        (replace(ORDER, sha256=""), b"", "no package"),
        (
            replace(ORDER, sha256=hashlib.sha256(DATA[:-1]).hexdigest()),
            DATA[:-1],
            ".",
        ),
    ],
)
def test_an_order_that_disagrees_with_its_package_is_refused(
    served: tuple[Surgeon, socket.socket], order: Order, data: bytes, sentence: str
) -> None:
    surgeon, _ = served
    with running("idle") as target:
        with pytest.raises(OrderError, match=sentence):
            list(surgeon.perform(replace(order, pids=(target.pid,)), data))
        assert target.ask() == 1
        list(surgeon.perform(replace(ORDER, pids=(target.pid,)), DATA))
        assert target.ask() == 2


@pytest.mark.parametrize("seals", [0, fcntl.F_SEAL_WRITE, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW])
def test_a_package_that_somebody_can_still_change_is_refused(
    served: tuple[Surgeon, socket.socket], seals: int
) -> None:
    surgeon, bare = served
    with running("idle") as target:
        order = replace(ORDER, pids=(target.pid,))
        file = os.memfd_create("soft", os.MFD_ALLOW_SEALING)
        os.write(file, DATA)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
        socket.send_fds(bare, [words.encode_order(order)], [file])
        os.close(file)
        with pytest.raises(OrderError, match="not sealed"):
            words.decode_answer(bare.recv(words.MOST_BYTES))
        assert target.ask() == 1
        list(surgeon.perform(order, DATA))
        assert target.ask() == 2


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "explode"},
        {"pids": [0]},
        {"pids": [-1]},
        {"pids": ["1"]},
        {"pids": [True]},
        {"pids": list(range(1, 20_000))},
        {"budget_ms": 1e9},
        {"budget_ms": "fast"},
        {"patience_s": -1},
        {"package": "x" * 300},
        {"builds": 7},
    ],
    ids=str,
)
def test_what_is_no_order_is_refused(change: dict[str, object]) -> None:
    row = json.loads(words.encode_order(ORDER))
    assert words.decode_order(json.dumps(row).encode()) == ORDER
    with pytest.raises(OrderError):
        words.decode_order(json.dumps(row | change).encode())
    for name in row:
        with pytest.raises(OrderError):
            words.decode_order(json.dumps({k: v for k, v in row.items() if k != name}).encode())


_ATTEMPTS = """
    import ctypes, os, socket, subprocess, sys
    from hotmend.surgery import confinement, surgeon
    from hotmend.surgery.ledger import Ledger
    from pathlib import Path

    def attempt(name, work):
        try:
            work()
            print(name, "done")
        except OSError as error:
            print(name, error.errno)

    def trace():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(0x4206, int(sys.argv[1]), None, None):
            raise OSError(ctypes.get_errno(), "ptrace")

    def attempts(who):
        for family in ("AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET"):
            kind = socket.SOCK_RAW if family in ("AF_NETLINK", "AF_PACKET") else socket.SOCK_STREAM
            attempt(f"{who} {family}", lambda: socket.socket(getattr(socket, family), kind).close())
        attempt(f"{who} execve", lambda: subprocess.run(["/bin/true"]))
        attempt(f"{who} ptrace", trace)
        attempt(f"{who} memory", lambda: open(f"/proc/{sys.argv[1]}/mem", "r+b").close())
        sys.stdout.flush()
"""


def _attempts(body: str, pid: int) -> dict[str, str]:
    source = textwrap.dedent(_ATTEMPTS) + textwrap.dedent(body)
    done = subprocess.run(
        [sys.executable, "-c", source, str(pid)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    lines = [line.rpartition(" ") for line in done.stdout.splitlines()]
    return {name: value for name, _, value in lines}


@pytest.mark.skipif(not is_root(), reason="only root has the rights that are given up here")
def test_the_surgeon_has_no_network_and_the_worker_may_not_trace(tmp_path: Path) -> None:
    with running("idle") as target:
        free = _attempts("attempts('free')", target.pid)
        assert {v for k, v in free.items() if "AF_PACKET" not in k} == {"done"}
        surgeon = _attempts("surgeon.confine(); attempts('surgeon')", target.pid)
        assert surgeon["surgeon ptrace"] == surgeon["surgeon memory"] == "done"
        refused = {k: v for k, v in surgeon.items() if "AF_" in k or "execve" in k}
        assert len(refused) == 6 and set(refused.values()) == {"1"}, refused
        worker = _attempts(
            f"""
            surgeon.hire(Ledger(Path({str(tmp_path)!r})))
            attempts("worker")
            """,
            target.pid,
        )
        assert worker["worker ptrace"] == "1" and worker["worker memory"] == "13"
        assert worker["worker AF_INET"] == "done"


@pytest.mark.skipif(not is_root(), reason="only root has the rights that are given up here")
def test_a_surgeon_keeps_three_capabilities() -> None:
    body = """
    surgeon.confine()
    for line in open("/proc/self/status"):
        print(line.replace(":", "").strip().replace("\\t", " "))
    """
    status = _attempts(body, os.getpid())
    kept = sum(1 << number for number in (1, 19, 23))
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {kept}
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
