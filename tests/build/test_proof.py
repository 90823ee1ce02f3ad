from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

import pytest

from hotmend.binary.deb import unpack
from hotmend.build.errors import BuildError
from hotmend.build.proof import (
    Proof,
    ProofOutcome,
    ProofResult,
    Seen,
    apply_command,
    parse_proof,
    run_proof,
)
from real_packages import EXPAT, XML2, real

CVE = "CVE-2020-0001"
# A stand-in for the flawed program: a live process whose memory says "flawed" until something
# from outside, given its pid, says otherwise.
VICTIM = """#!{python}
import os, shlex, signal, subprocess, sys
state = ["flawed"]
signal.signal(signal.SIGUSR1, lambda *_: state.__setitem__(0, "fixed"))
command = os.environ.get("HOTMEND_APPLY")
if command and subprocess.run([*shlex.split(command), str(os.getpid())]).returncode:
    sys.exit(2)
print("the process is", state[0])
sys.exit(1 if state[0] == "flawed" else 0)
"""


def script(folder: Path, text: str) -> Proof:
    path = folder / "proof"
    path.write_text(text.replace("{python}", sys.executable))
    path.chmod(0o755)
    return parse_proof(f"{CVE}={path}")


def tool(folder: Path, text: str) -> tuple[str, ...]:
    path = folder / "apply tool.py"
    path.write_text(text)
    return (sys.executable, str(path), "--pid")


def sh(folder: Path, body: str, apply: tuple[str, ...] = ("true",)) -> ProofResult:
    return run_proof(script(folder, f"#!/bin/sh\n{body}\n"), folder, apply, time_limit=5)


def test_a_flaw_that_a_live_process_loses_is_fixed(tmp_path: Path) -> None:
    fix = tool(tmp_path, "import os, sys; os.kill(int(sys.argv[2]), 10)")
    result = run_proof(script(tmp_path, VICTIM), tmp_path, fix)
    assert result.outcome is ProofOutcome.FIXED
    assert result.before.sentence == "the process is flawed"
    assert result.after is not None
    assert result.after.sentence == "the process is fixed"
    assert "the process is flawed; with the hotpatch: the process is fixed" in result.because
    assert result.sha256 == hashlib.sha256((tmp_path / "proof").read_bytes()).hexdigest()


def test_a_hotpatch_that_changes_nothing_leaves_the_flaw_there(tmp_path: Path) -> None:
    idle = tool(tmp_path, "pass")
    assert run_proof(script(tmp_path, VICTIM), tmp_path, idle).outcome is ProofOutcome.STILL_THERE


def test_a_hotpatch_that_cannot_be_applied_decides_nothing(tmp_path: Path) -> None:
    failing = tool(tmp_path, "import sys; print('refused: data-layout-changed'); sys.exit(1)")
    result = run_proof(script(tmp_path, VICTIM), tmp_path, failing)
    assert result.outcome is ProofOutcome.UNDECIDED
    assert result.after is not None
    assert "refused: data-layout-changed" in result.after.output


def test_a_flaw_that_does_not_show_in_the_old_build_proves_nothing(tmp_path: Path) -> None:
    result = sh(tmp_path, "touch ran$HOTMEND_APPLY; echo all well; exit 0")
    assert result.outcome is ProofOutcome.SHOWS_NOTHING
    assert result.after is None
    assert "proves nothing" in result.because


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ("exit 2", 2, "exit status 2, no output"),
        ("echo odd; exit 77", 77, "odd"),
        ("kill -SEGV $$", -11, "ended by SIGSEGV"),
    ],
)
def test_other_endings_cannot_tell(body: str, status: int, sentence: str, tmp_path: Path) -> None:
    result = sh(tmp_path, body)
    assert result.outcome is ProofOutcome.UNDECIDED
    assert (result.before.seen, result.before.status) == (Seen.CANNOT_TELL, status)
    assert result.before.sentence == sentence


def test_a_stuck_proof_is_ended_with_its_children(tmp_path: Path) -> None:
    proof = script(tmp_path, f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/child\nwait\n")
    started = time.monotonic()
    result = run_proof(proof, tmp_path, ("true",), time_limit=2)
    assert time.monotonic() - started < 7
    assert result.before.sentence == "no answer within 2 s"
    assert not alive(int((tmp_path / "child").read_text()))


def test_a_child_left_behind_is_ended_too(tmp_path: Path) -> None:
    sh(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; exit 2")
    assert not alive(int((tmp_path / "child").read_text()))


def alive(pid: int) -> bool:
    """Running; an orphan that waits for init to reap it is not."""
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state in "ZX":
            return False
        time.sleep(0.02)
    return True


def test_endless_output_is_neither_kept_nor_waited_for(tmp_path: Path) -> None:
    result = sh(tmp_path, "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last; exit 2")
    assert len(result.before.output) <= 128 << 10
    assert result.before.sentence == "last"


def test_the_script_gets_the_environment_of_the_convention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("HOTMEND_APPLY", "left from outside")
    monkeypatch.setenv("SECRET", "1")
    result = sh(tmp_path, "env; ls -A | wc -l; read x; echo $?; exit 2")
    lines = result.before.output.splitlines()
    names = {line.partition("=")[0] for line in lines if "=" in line}
    allowed = {"PATH", "HOME", "LANG", "PWD", "OLDPWD", "SHLVL", "_"}
    assert {n for n in names if not n.startswith("HOTMEND_")} <= allowed
    assert "HOTMEND_APPLY" not in names
    assert f"HOTMEND_TREE={tmp_path}" in lines
    assert [line.strip() for line in lines[-2:]] == ["0", "1"]  # empty folder, stdin at its end


def test_the_apply_command_is_hotmends_own_command_line() -> None:
    command = apply_command(Path("x.hotpatch"))
    assert command[0] == sys.executable
    assert command[1:4] == ("-m", "hotmend.cli.main", "apply")
    assert command[4:] == (f"{os.getcwd()}/x.hotpatch", "--pid")  # noqa: PTH109


def test_options_that_name_no_usable_script_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("#!/bin/sh\n")
    assert script(tmp_path, "#!/bin/sh\n").id == CVE
    for option, what in (
        (CVE, "write it as"),
        ("=x", "write it as"),
        ("CVE-1=x", "write it as"),
        (f"{CVE}=", "write it as"),
        (f"{CVE}={tmp_path}/absent", "cannot be read"),
        (f"{CVE}={tmp_path}/text", "not executable"),
    ):
        with pytest.raises(BuildError, match=what):
            parse_proof(option)


def test_a_script_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="cannot be started"):
        run_proof(script(tmp_path, "#!/no/such/program\n"), tmp_path, ("true",))


@pytest.mark.parametrize(
    ("names", "path"),
    [
        (EXPAT, "libexpat1/CVE-2026-93990.py"),
        (XML2, "libxml2/CVE-2025-8732.py"),
        (XML2, "libxml2/CVE-2026-0989.py"),
        (XML2, "libxml2/CVE-2026-0990.py"),
    ],
)
def test_the_projects_proofs_show_the_flaw_in_the_old_build_only(
    names: tuple[str, str], path: str, tmp_path: Path
) -> None:
    proof = parse_proof(f"{Path(path).stem}={Path(__file__).parents[2] / 'proofs' / path}")
    for name, seen in zip(names, (Seen.PRESENT, Seen.ABSENT), strict=True):
        unpack(real(name), tmp_path / name)
        result = run_proof(proof, tmp_path / name, ("false",))
        assert result.before.seen is seen, result.before.output
        assert result.outcome in (ProofOutcome.UNDECIDED, ProofOutcome.SHOWS_NOTHING)
