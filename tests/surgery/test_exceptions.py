"""Exceptions and debuggers see through a hotpatch."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hotmend.model.outcome import OutcomeKind
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.symbols import LivePayload, perf_map, symbol_file
from surgery.test_apply import free_and_untraced, put, take
from surgery.workshop import eventually, hotpatch, running


def test_an_exception_passes_through_a_replaced_function(ledger: Ledger) -> None:
    patch = hotpatch("call_back")
    with running("exceptions") as target:
        assert target.ask("throw") == 42
        for _ in range(3):
            assert put(target.pid, ledger, patch).kind is OutcomeKind.APPLIED
            assert target.ask("throw") == 42
            assert target.ask("many") == 4000
            assert take(target.pid, ledger).kind is OutcomeKind.REVERTED
            assert target.ask("throw") == 42
        assert target.ask("many") == 4000
        assert free_and_untraced(target)


def test_without_unwind_tables_an_exception_would_end_the_process(ledger: Ledger) -> None:
    """The control of the test above."""
    with running("exceptions") as target:
        assert put(target.pid, ledger, hotpatch("call_back", framed=False)).kind is (
            OutcomeKind.APPLIED
        )
        with pytest.raises(AssertionError, match="-6"):
            target.ask("throw")


def test_the_borrowed_call_goes_on(ledger: Ledger) -> None:
    """The thread that told the unwinder had been waiting in read(); it reads what comes."""
    with running("exceptions") as target:
        for _ in range(5):
            put(target.pid, ledger, hotpatch("answer"))
            assert target.ask() == 2
            take(target.pid, ledger)
            assert target.ask() == 1
        assert eventually(lambda: target.state() == "S")  # it answers, then reads again


def _backtrace(pid: int, *before: str) -> str:
    words = [word for command in (*before, "bt") for word in ("-ex", command)]
    return subprocess.run(
        ["gdb", "-p", str(pid), "-batch", "-nx", *words],
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


@pytest.mark.skipif(shutil.which("gdb") is None, reason="there is no gdb")
def test_a_debugger_shows_a_replaced_function_and_its_callers(
    ledger: Ledger, tmp_path: Path
) -> None:
    patch = hotpatch("call_back")
    with running("exceptions") as target:
        assert put(target.pid, ledger, patch).kind is OutcomeKind.APPLIED
        assert target.ask("wait") == 7
        assert "main" not in _backtrace(target.pid)  # the control: gdb is not told
        with LinuxProcess(target.pid) as process:
            (entry,) = ledger.of(process.identity)
            payload = LivePayload(patch.images[0], entry.images[0].payload)
            (tmp_path / "symbols").write_bytes(symbol_file(process, payload))
        seen = _backtrace(target.pid, f"add-symbol-file {tmp_path / 'symbols'}")
        assert re.search(r"call_back@hotpatch.*(\n.*)*\bmain\b", seen), seen
        assert target.ask("on") == 207
        take(target.pid, ledger)
        assert target.ask("wait") == 7
        seen = _backtrace(target.pid)
        assert re.search(r"\bcall_back \(.*(\n.*)*\bmain\b", seen), seen
        assert target.ask("on") == 107
        assert free_and_untraced(target)


def test_perf_is_told_the_names(ledger: Ledger) -> None:
    image = hotpatch("answer", "other").images[0]
    lines = perf_map([LivePayload(image, 0x7F0000001000)]).splitlines()
    assert [line.split()[2] for line in lines] == ["answer@hotpatch", "other@hotpatch"]
    assert lines[0].startswith("7f0000001000 ")
