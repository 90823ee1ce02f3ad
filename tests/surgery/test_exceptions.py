"""Exceptions and debuggers see through a hotpatch."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from hotmend.model.outcome import OutcomeKind
from hotmend.surgery.ledger import Ledger
from surgery.test_apply import free_and_untraced, put, take
from surgery.workshop import hotpatch, running


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
        assert target.state() == "S"


@pytest.mark.skipif(shutil.which("gdb") is None, reason="there is no gdb")
def test_a_debugger_shows_the_callers_of_a_replaced_function(ledger: Ledger) -> None:
    patch = hotpatch("hold")
    with running("inside", "plain") as target:
        target.ask("free")
        assert put(target.pid, ledger, patch).kind is OutcomeKind.APPLIED
        done = subprocess.run(
            ["gdb", "-p", str(target.pid), "-batch", "-nx", "-ex", "thread apply all bt"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert re.search(r"#\d+ .*\bmain\b", done.stdout), done.stdout
        assert free_and_untraced(target)
