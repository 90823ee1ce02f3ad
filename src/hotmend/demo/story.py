"""The story, step by step. A step that does not end as it should raises DemoError."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hotmend
from hotmend import pairs
from hotmend.demo.command import Hotmend
from hotmend.demo.errors import DemoError
from hotmend.demo.flaw import ADVISORY, look
from hotmend.demo.screen import Screen
from hotmend.demo.server import CRAFTED, Server, ServerProcess
from hotmend.demo.traffic import Count, Traffic
from hotmend.model.advisory import AdvisoryState
from hotmend.model.outcome import OutcomeKind

_PROGRAM = "usr/sbin/nginx"
_PROOFS = Path(hotmend.__file__).parents[2] / "proofs" / "nginx"
_SHOWN_PROCESSES = 6


@dataclass(frozen=True)
class _Scene:
    """Everything that the steps work on."""

    screen: Screen
    hotmend: Hotmend
    folder: Path
    server: Server
    traffic: Traffic
    before: list[ServerProcess]

    @property
    def pids(self) -> list[str]:
        return [word for process in self.before for word in ("--pid", str(process.pid))]


def tell(screen: Screen, *, keep: bool) -> None:
    """Run all of it. Raises DemoError; leaves nothing behind unless ``keep``."""
    pair = pairs.PAIRS["nginx"]
    screen.title("Hotmend: a security update into a running server, no restart")
    with folder_for_all(keep) as folder:
        screen.step("Two builds of nginx, as Debian released them")
        trees = []
        for role, package in (("old  ", pair.old), ("fixed", pair.new)):
            trees.append(unpacked(package, folder / role.strip()))
            screen.good(f"{role} nginx {package.version}  sha256 {package.sha256[:16]}… verified")
        screen.step("The old build serves, and visitors come")
        server = Server(trees[0] / _PROGRAM, folder)
        try:
            with Traffic(server.port) as traffic:
                machine = Hotmend(None if keep else folder / "state")
                scene = _Scene(screen, machine, folder, server, traffic, server.processes())
                _play(scene, pair, trees[1])
            if keep:
                _leave_running(scene)
        finally:
            if not keep:
                server.stop()


def _play(scene: _Scene, pair: pairs.Pair, fixed: Path) -> None:
    screen = scene.screen
    shown = ", ".join(f"{process.role} {process.pid}" for process in scene.before)
    screen.good(f"{scene.server.url}  {shown}")
    screen.good(
        f"{scene.traffic.count().held} keep-alive connections held open from here to the end, "
        "and new ones all the time"
    )
    screen.step(f"The flaw, {ADVISORY}: a crafted URL reads a file that is not public")
    _look(scene, flawed=True)
    file = _build(scene, pair)
    screen.step("Apply it to the master and its workers, while they serve")
    _operate(scene, OutcomeKind.APPLIED, "apply", str(file))
    _look(scene, flawed=False)
    screen.step("Undo it, and do it again")
    _operate(scene, OutcomeKind.REVERTED, "revert", str(file))
    _look(scene, flawed=True)
    _operate(scene, OutcomeKind.APPLIED, "apply", str(file))
    _look(scene, flawed=False)
    screen.step("What did it cost the visitors?")
    _account(scene)
    screen.step("Is the memory as it should be?")
    _verify(scene)
    screen.step("What on this machine runs outdated code?")
    _outdated(scene, fixed)
    _same_processes(scene)


def _build(scene: _Scene, pair: pairs.Pair) -> Path:
    screen = scene.screen
    screen.step("Build the hotpatch from the two packages: no source, no symbols")
    file = scene.folder / "nginx.hotpatch"
    old, new = pairs.find(pair.old), pairs.find(pair.new)
    proofs = sorted(_PROOFS.glob("CVE-*.py"))
    screen.command(f"hotmend build {old.name} {new.name} -o {file.name} --proof …")
    words = [word for p in proofs for word in ("--proof", f"{p.stem}={p}")]
    with screen.busy("comparing every function, running the proofs"):
        built = scene.hotmend.run("build", str(old), str(new), "-o", str(file), *words).data
    for image in built["images"]:
        screen.good(
            f"{image['matched']:,} functions matched, {image['identical']:,} identical, "
            f"{image['changed']} changed, {image['carried']} carried; "
            f"{built['bytes']:,} bytes in {built['seconds']:.1f} s"
        )
    _verdicts(screen, built["advisories"])
    by_size = sorted(built["left"], key=lambda refusal: "old size" not in refusal["evidence"])
    for refusal in by_size[:1]:
        screen.note(f"left out, {refusal['code']}: {refusal['sentence']}")
    live = [a["id"] for a in built["advisories"] if a["state"] == AdvisoryState.LIVE]
    if proofs and ADVISORY not in live:
        raise DemoError(f"the hotpatch does not make {ADVISORY} live")
    return file


def _verdicts(screen: Screen, advisories: list[dict[str, str]]) -> None:
    for advisory in advisories:
        match AdvisoryState(advisory["state"]):
            case AdvisoryState.LIVE:
                screen.good(f"{advisory['id']}  live, by {advisory['by']}")
            case AdvisoryState.NEEDS_RESTART:
                screen.bad(f"{advisory['id']}  needs-restart, by {advisory['by']}")
            case AdvisoryState.UNKNOWN:
                pass
    unknown = sum(a["state"] == AdvisoryState.UNKNOWN for a in advisories)
    if unknown:
        screen.open(
            f"{unknown} more  unknown: part of the update is left out, and nothing tells "
            "whether these are whole. Hotmend does not call them live"
        )


def _operate(scene: _Scene, wanted: OutcomeKind, *words: str) -> None:
    """Apply or revert on all processes of the server."""
    scene.screen.command(f"hotmend {words[0]} nginx.hotpatch {' '.join(scene.pids)}")
    outcomes = scene.hotmend.run(*words, *scene.pids).data["outcomes"]
    if [o["outcome"] for o in outcomes] != [wanted.value] * len(scene.before):
        raise DemoError(f"hotmend {words[0]}: {[o['outcome'] for o in outcomes]}")
    roles = {process.pid: process.role for process in scene.before}
    pauses = ", ".join(f"{roles[o['pid']]} {o['pid']}: {o['pause_ms']:.2f} ms" for o in outcomes)
    scene.screen.good(f"{wanted.value}; paused  {pauses}")


def _look(scene: _Scene, *, flawed: bool) -> None:
    look(scene.screen, scene.server, scene.before, flawed=flawed)


def _account(scene: _Scene) -> None:
    _same_processes(scene)
    scene.screen.good("the same processes, by pid and start time")
    count = scene.traffic.count()
    no_harm(count)
    scene.screen.good(f"{count.answered:,} requests answered, {count.failed} failed")
    scene.screen.good(f"{count.open} of {count.held} keep-alive connections never broke")
    scene.screen.note(f"longest wait of any visitor in all this: {count.longest_ms:.0f} ms")


def no_harm(count: Count) -> None:
    """Raises DemoError when a visitor suffered."""
    if count.failed or count.open != count.held:
        raise DemoError(
            f"{count.failed} requests failed, {count.open} of {count.held} connections held: "
            + "; ".join(count.why)
        )


def _same_processes(scene: _Scene) -> None:
    now = scene.server.processes()
    if now != scene.before:
        raise DemoError(f"the processes are not the same: {scene.before} became {now}")


def _verify(scene: _Scene) -> None:
    scene.screen.command(f"hotmend verify {' '.join(scene.pids)}")
    rows = scene.hotmend.run("verify", *scene.pids).data["processes"]
    good = [r for r in rows if r["state"] == "applied" and not r["differences"]]
    if {r["pid"] for r in good} != {process.pid for process in scene.before}:
        raise DemoError(f"hotmend verify: {rows}")
    for row in good:
        scene.screen.good(
            f"{row['command']} {row['pid']}: {row['detours']} detours and their payload as written"
        )


def _outdated(scene: _Scene, fixed: Path) -> None:
    screen = scene.screen
    replaced = scene.server.program
    shutil.copy2(fixed / _PROGRAM, replaced.with_name("nginx.dpkg-new"))
    replaced.with_name("nginx.dpkg-new").replace(replaced)
    screen.note("the fixed package is installed meanwhile: what starts from now on is fixed")
    screen.command("hotmend ps")
    seen = scene.hotmend.run("ps").data
    ours = {process.pid for process in scene.before}
    rows = {row["pid"]: row for row in seen["processes"]}
    for pid in sorted(ours):
        row = rows.get(pid)
        if row is None or not row["outdated"] or not row["hotpatched"]:
            raise DemoError(f"hotmend ps does not say how process {pid} stands")
        screen.good(f"{row['command']} {pid}  old file, hotpatched")
    others = [row for pid, row in rows.items() if pid not in ours and row["outdated"]]
    for row in others[:_SHOWN_PROCESSES]:
        files = ", ".join(Path(file["path"]).name for file in row["outdated"][:3])
        screen.bad(f"{row['command']} {row['pid']}  {files}")
    if len(others) > _SHOWN_PROCESSES:
        screen.note(f"and {len(others) - _SHOWN_PROCESSES} more")
    if not others:
        screen.good(f"none of the other {seen['examined'] - len(ours)} processes does")
    if seen["not_examined"]:
        screen.note(f"not allowed to examine: {seen['not_examined']} more")


def _leave_running(scene: _Scene) -> None:
    master = scene.before[0].pid
    screen = scene.screen
    screen.step("Left running for you (--keep)")
    screen.command(f"curl --path-as-is http://127.0.0.1:{scene.server.port}{CRAFTED}")
    screen.command(f"hotmend revert {scene.folder / 'nginx.hotpatch'} {' '.join(scene.pids)}")
    screen.command(f"kill {master} && rm -r {scene.folder}")


@contextmanager
def folder_for_all(keep: bool) -> Iterator[Path]:
    """A folder that an unprivileged worker can enter."""
    folder = Path(tempfile.mkdtemp(prefix="hotmend-demo-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def unpacked(package: pairs.Package, folder: Path) -> Path:
    """Its files, below ``folder``. Raises DemoError."""
    try:
        file = pairs.find(package)
        subprocess.run(
            ["dpkg-deb", "-x", str(file), str(folder)], check=True, capture_output=True, timeout=60
        )
    except pairs.PackageMissing as error:
        raise DemoError(str(error)) from None
    except (OSError, subprocess.SubprocessError) as error:
        raise DemoError(f"{package.file_name} cannot be unpacked: {error}") from None
    return folder
