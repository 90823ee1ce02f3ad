"""The ``hotmend`` command as a user has it: words in, an exit status and a JSON object out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotmend.demo.errors import DemoError

_NOT_PERMITTED = 3
_TIME_LIMIT_S = 300


@dataclass(frozen=True)
class Answer:
    """``data``: what stood on stdout; empty where there was no JSON object."""

    exit_code: int
    data: dict[str, Any]
    said: str


class Hotmend:
    """``state``: the folder of the ledger, None for the machine's own."""

    def __init__(self, state: Path | None) -> None:
        self._environment = dict(os.environ)
        if state is not None:
            self._environment["HOTMEND_STATE"] = str(state)

    def run(self, *words: str) -> Answer:
        """Run ``hotmend WORDS --json``. Raises DemoError when it did not do what was asked."""
        try:
            done = subprocess.run(
                [sys.executable, "-m", "hotmend.cli.main", *words, "--json"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIME_LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"hotmend {words[0]} took more than {_TIME_LIMIT_S} s") from None
        try:
            data = json.loads(done.stdout)
        except ValueError:
            data = {}
        answer = Answer(done.returncode, data, done.stderr.strip())
        if done.returncode == _NOT_PERMITTED:
            raise DemoError("this machine lets only root patch other processes: use sudo")
        if done.returncode or not data:
            raise DemoError(f"hotmend {words[0]} ended with {done.returncode}: {_why(answer)}")
        return answer


def _why(answer: Answer) -> str:
    """The refusals or blocking threads that the answer names, else its last words."""
    reasons = []
    for outcome in answer.data.get("outcomes", []):
        if outcome["refusal"]:
            reasons.append(f"{outcome['pid']}: {outcome['refusal']['sentence']}")
        elif outcome["blocked"]:
            reasons.append(f"{outcome['pid']}: blocked by {outcome['blocked']['function']}")
    return "; ".join(reasons) or (answer.said.splitlines() or ["it said nothing"])[-1]
