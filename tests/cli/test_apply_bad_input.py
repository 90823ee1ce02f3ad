"""``hotmend apply`` and its kin with bad input: the sentence, the exit status, nothing changed."""

from __future__ import annotations

import ctypes
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

import hotmend.cli.apply  # noqa: F401 - imported now, since nobody may not be able to
from cli.conftest import Run
from hotmend.cli import exit_codes
from hotmend.cli.main import main
from hotmend.hotpatch.codec import decode, encode
from hotmend.hotpatch.errors import HotpatchError
from hotmend.model.build_id import BuildId
from surgery import workshop
from surgery.workshop import running

NOBODY = 65534


def test_a_good_file_is_applied_and_reverted(run: Run, victim_patch: Path) -> None:
    """The positive control of everything below."""
    with running("idle") as target:
        said = run("apply", victim_patch, "--pid", target.pid, check=exit_codes.DONE)
        assert "applied" in said.out and target.ask() == 2
        said = run("apply", victim_patch, "--pid", target.pid, check=exit_codes.DONE)
        assert "already" in said.out
        run("verify", "--pid", target.pid, check=exit_codes.DONE)
        run("revert", victim_patch, "--pid", target.pid, check=exit_codes.DONE)
        assert target.ask() == 1


def test_every_flipped_byte_is_noticed(victim_patch: Path) -> None:
    good = victim_patch.read_bytes()
    decode(good)
    for at in range(len(good)):
        for bit in (0x01, 0x80):
            bad = bytearray(good)
            bad[at] ^= bit
            with pytest.raises(HotpatchError):
                decode(bytes(bad))


def test_a_damaged_file_changes_nothing(run: Run, victim_patch: Path, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    good = victim_patch.read_bytes()
    at = random.Random(seed).randrange(64, len(good))
    damage = {
        "flipped": good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :],
        "truncated": good[:-1],
        "extended": good + b"\0",
        "empty": b"",
        "another kind": b"\x7fELF" + bytes(200),
    }
    with running("idle") as target:
        for name, data in damage.items():
            file = tmp_path / "bad.hotpatch"
            file.write_bytes(data)
            for verb in ("apply", "revert"):
                said = run(verb, file, "--pid", target.pid, check=exit_codes.FAILED)
                assert said.err.startswith("hotmend: "), name
            said = run("inspect", file, check=exit_codes.FAILED)
            assert said.err.count("\n") == 1, name
        assert target.ask() == 1


def test_another_build_is_refused_with_both_build_ids(run: Run, tmp_path: Path) -> None:
    other = BuildId("ab" * 20)
    file = tmp_path / "other.hotpatch"
    file.write_bytes(encode(workshop.hotpatch("answer", old_build_id=other)))
    with running("idle") as target:
        words = ("apply", file, "--pid", target.pid, "--json")
        said = run(*words, check=exit_codes.NEEDS_RESTART)
        refusal = json.loads(said.out)["outcomes"][0]["refusal"]
        assert refusal["code"] == "build-id-mismatch"
        mine = workshop.build_id(workshop.library()).hex
        assert set(refusal["evidence"].values()) == {mine, other.hex}
        assert target.ask() == 1


def test_a_process_that_does_not_exist_is_gone(run: Run, victim_patch: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as ended:
        ended.kill()
    said = run("apply", victim_patch, "--pid", ended.pid, check=exit_codes.FAILED)
    assert "gone" in said.out


def test_a_pid_that_is_none_is_a_wrong_use(run: Run, victim_patch: Path) -> None:
    for pid in ("0", "-1", "nginx"):
        run("apply", victim_patch, "--pid", pid, check=exit_codes.USAGE)


def test_somebody_must_be_named(run: Run, victim_patch: Path) -> None:
    said = run("apply", victim_patch, check=exit_codes.USAGE)
    assert "--pid N" in said.err and "--all" in said.err


def test_init_is_patched_only_on_request(run: Run, victim_patch: Path) -> None:
    said = run("apply", victim_patch, "--pid", 1, check=exit_codes.NEEDS_RESTART)
    assert "process-is-init" in said.out and "--include-init" in said.out


@pytest.mark.skipif(not workshop.is_root(), reason="only root can become somebody else")
def test_somebody_elses_process_is_not_permitted(victim_patch: Path) -> None:
    state = Path(tempfile.mkdtemp(prefix="hotmend-nobody-"))
    state.chmod(0o777)
    file = state / "victim.hotpatch"
    file.write_bytes(victim_patch.read_bytes())
    try:
        with running("idle") as target:
            code, said = _by_nobody(state, "apply", str(file), "--pid", str(target.pid))
            assert code == exit_codes.NOT_PERMITTED and "sudo" in said
            assert target.ask() == 1
        with running("idle", user=NOBODY) as own:
            code, said = _by_nobody(state, "apply", str(file), "--pid", str(own.pid))
            assert (code, "applied" in said) == (0, True) or _ptrace_is_restricted(), said
    finally:
        shutil.rmtree(state)


def test_a_process_under_a_debugger_is_left_to_it(run: Run, victim_patch: Path) -> None:
    with running("idle") as target:
        with _debugger(target.pid) as debugger:
            words = ("apply", victim_patch, "--pid", target.pid)
            said = run(*words, check=exit_codes.NEEDS_RESTART)
            assert "already-traced" in said.out
            assert str(debugger) in said.out
        run("apply", victim_patch, "--pid", target.pid, check=exit_codes.DONE)
        assert target.ask() == 2


def test_a_32_bit_process_is_refused(run: Run, victim_patch: Path) -> None:
    try:
        workshop.program("bits32")
    except subprocess.CalledProcessError:
        pytest.skip("this compiler makes no 32-bit programs")
    with running("bits32") as target:
        said = run("apply", victim_patch, "--pid", target.pid, check=exit_codes.NEEDS_RESTART)
        assert "not-64-bit" in said.out
        assert target.process.poll() is None


@pytest.mark.parametrize("name", ["alone", "alone_pie"])
def test_a_static_program_is_refused(run: Run, victim_patch: Path, name: str) -> None:
    with running(name) as target:
        said = run("apply", victim_patch, "--pid", target.pid, check=exit_codes.NEEDS_RESTART)
        assert "static-target" in said.out
        assert target.ask() == 1


def test_a_ledger_that_cannot_be_written_patches_nothing(
    run: Run, victim_patch: Path, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with running("idle") as target:
        said = run("apply", victim_patch, "--pid", target.pid, check=exit_codes.FAILED)
        assert "state" in said.err and "nothing was patched" in said.err
        assert target.ask() == 1


def _by_nobody(state: Path, *words: str) -> tuple[int, str]:
    """(exit status, everything said) of the command. In a fork: nobody may not be able to read
    the interpreter's files."""

    def command() -> str:
        said = io.StringIO()
        sys.argv = ["hotmend", *words]
        os.environ["HOTMEND_STATE"] = str(state)
        with redirect_stdout(said), redirect_stderr(said):
            try:
                main()
            except SystemExit as ending:
                return json.dumps([ending.code, said.getvalue()])

    code, said = json.loads(workshop.as_nobody(command))
    return code, said


@contextmanager
def _debugger(pid: int) -> Iterator[int]:
    """A process that traces ``pid``, as a debugger does; its pid."""
    seize = (
        "import ctypes, sys, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"code = libc.ptrace(0x4206, {pid}, None, None)\n"
        "print(code, flush=True); sys.stdin.read()"
    )
    tracer = subprocess.Popen(
        [sys.executable, "-c", seize], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert tracer.stdout is not None and tracer.stdout.readline() == "0\n"
        yield tracer.pid
    finally:
        tracer.communicate()


def _ptrace_is_restricted() -> bool:
    """Yama, or a sandbox, allows nobody but root to trace."""
    libc = ctypes.CDLL(None)
    with running("idle", user=NOBODY) as target:
        return workshop.as_nobody(lambda: str(libc.ptrace(0x4206, target.pid, None, None))) != "0"
