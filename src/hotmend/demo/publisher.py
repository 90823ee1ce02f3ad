"""A vendor with two signers, as the guide for publishers has it: plan, prove, sign, publish."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hotmend.demo.errors import DemoError

_SIGNERS = ("root1", "root2", "targets1", "targets2")


class Publisher:
    """``folder``: keys, drafts, and the repository, which any web server could serve."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = folder / "repository"

    @property
    def root(self) -> Path:
        """What machines are given to trust."""
        return self.repository / "metadata" / "1.root.json"

    def begin(self) -> None:
        """Make keys and an empty repository."""
        self.folder.mkdir()
        for name in (*_SIGNERS, "online"):
            run("repo", "key", str(self.folder / name))
        words = ["--bits", "2", "--online", str(self.folder / "online.pub")]
        for name in _SIGNERS:
            words += [f"--{name.rstrip('12')}", str(self.folder / f"{name}.pub")]
        run("repo", "begin", str(self.repository), *words)
        self._sign_and_publish(_SIGNERS)

    def release(
        self, month: str, packages: Sequence[tuple[Path, Path]], proofs: Path, gaps: str
    ) -> Path:
        """Publish the month's release from (old, fixed) packages; its draft's file."""
        channel, output = self.folder / "channel", self.folder / month
        shutil.rmtree(channel, ignore_errors=True)
        channel.mkdir()
        for pair in packages:
            for package in pair:
                (channel / package.name).symlink_to(package)
        words = ["--month", month, "--proofs", str(proofs), "-o", str(output)]
        run("release", "plan", "--folder", str(channel), *words)
        draft = output / "release.json"
        named = output / f"{month}.release.json"
        draft.rename(named)
        olds = {old.name.partition("_")[0]: old for old, _ in packages}
        files = [named]
        for update in json.loads(named.read_text())["updates"]:
            if update["hotpatch"]:
                files.append(self._proven(output / update["hotpatch"], olds, update, proofs))
        words = [str(file) for file in files]
        run("repo", "add", str(self.repository), *words, "--gaps", gaps)
        self._sign_and_publish(("targets1", "targets2"))
        return named

    def _proven(
        self, file: Path, olds: dict[str, Path], update: dict[str, str], proofs: Path
    ) -> Path:
        unproven = file.rename(file.with_name(f"unproven-{file.name}"))
        words = [str(unproven), str(olds[update["package"]]), "-o", str(file)]
        live = {v["id"] for v in update["verdicts"] if v["state"] == "live"}  # type: ignore[index]
        for script in sorted((proofs / update["package"]).glob("CVE-*.py")):
            if script.stem in live:
                words += ["--proof", f"{script.stem}={script}"]
        run("release", "prove", *words)
        return file

    def _sign_and_publish(self, names: Sequence[str]) -> None:
        for name in names:
            run("repo", "sign", str(self.repository), "--key", str(self.folder / f"{name}.pub"))
        run("repo", "publish", str(self.repository), "--online", str(self.folder / "online.pub"))


def run(*words: str) -> str:
    """``hotmend WORDS``, what it printed. Raises DemoError."""
    done = subprocess.run(
        [sys.executable, "-m", "hotmend.cli.main", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise DemoError(f"hotmend {' '.join(words[:2])} ended with {done.returncode}: {said[-1]}")
    return done.stdout
