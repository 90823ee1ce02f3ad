"""Where the signals of a machine's health come from: the ledger, /proc, the kernel, the probes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from hotmend.agent import probe
from hotmend.agent.endings import Exits
from hotmend.agent.probe import Probe
from hotmend.model.agent_messages import ProbeResult
from hotmend.surgery.ledger import Ledger, State
from hotmend.surgery.process import Identity, boot_id
from hotmend.surgery.procfs import lives


class MachineSenses:
    """The real ones."""

    def __init__(self, ledger: Ledger, exits: Exits, probes: ProbeRounds) -> None:
        self._ledger = ledger
        self._exits = exits
        self._probes = probes

    def patched(self) -> dict[Identity, str]:
        known, _ = self._ledger.entries()
        return {e.identity: e.command for e in known if e.state is State.APPLIED}

    def having(self, sha256: str) -> set[int]:
        known, _ = self._ledger.entries()
        applied = [e for e in known if e.state is State.APPLIED and e.sha256 == sha256]
        return {e.identity.pid for e in applied if lives(e.identity)}

    def lives(self, identity: Identity) -> bool:
        return lives(identity)

    def boot_id(self) -> str:
        return boot_id()

    def exits(self) -> dict[int, tuple[float, int]]:
        return self._exits.seen()

    def probes(self) -> tuple[ProbeResult, ...]:
        return self._probes.latest()


class ProbeRounds:
    """Each probe again and again, in a thread of its own: a slow one delays no other."""

    def __init__(self, probes: Iterable[Probe]) -> None:
        self._probes = tuple(probes)
        self._latest: dict[str, ProbeResult] = {}

    def begin(self) -> None:
        """For ever."""
        for one in self._probes:
            name = f"probe {one.name}"
            threading.Thread(target=self._ask, args=(one,), name=name, daemon=True).start()

    def latest(self) -> tuple[ProbeResult, ...]:
        """In the order of the file; those that have not answered yet are not there."""
        return tuple(self._latest[p.name] for p in self._probes if p.name in self._latest)

    def _ask(self, one: Probe) -> None:
        while True:
            began = time.monotonic()
            self._latest[one.name] = probe.ask(one)
            time.sleep(max(0.0, one.every_s - (time.monotonic() - began)))
