"""A machine as the control plane sees it: its messages, without anything behind them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hotmend.agent.identity import new_request
from hotmend.agent.link import HttpsLink
from hotmend.model.agent_messages import (
    Assessment,
    AvailablePatch,
    Enrol,
    Facts,
    Health,
    Installation,
    InstallationState,
    PatchResult,
    Poll,
    Polled,
    RebootStatus,
    Report,
    Reported,
    Run,
    RunKind,
    RunStatus,
)
from hotmend.server.storage import machines
from server.conftest import Plane

FACTS = Facts("host1", "debian", "12", "6.1.0", "0.1", 1.0)
PATCH = AvailablePatch(
    "libxml2=2.9.14+dfsg-1.3~deb12u6",
    "libxml2 2.9.14+dfsg-1.3~deb12u6",
    "2.9.14+dfsg-1.3~deb12u6",
    "Security",
    "NeverReboots",
    hotpatch=True,
    outdated=(17,),
)


@dataclass
class Machine:
    """Speaks as one machine."""

    name: str
    resource: str
    identifier: str
    identity: Path
    link: HttpsLink
    facts: Facts = FACTS
    number: int = 0

    def poll(self, wait_s: float = 0.0, known: tuple[str, ...] = ()) -> Polled:
        return self.link.orders(Poll(wait_s, known))

    def report(
        self, run: Run | None = None, number: int | None = None, health: Health | None = None
    ) -> Reported:
        if number is None:
            self.number += 1
            number = self.number
        return self.link.report(Report(number, time.time(), self.facts, run, health))

    def assessed(self, identifier: str, *patches: AvailablePatch) -> Run:
        now = time.time()
        done = Run(identifier, RunKind.ASSESS, now, RunStatus.SUCCEEDED)
        return replace(done, finished=now, assessment=Assessment(False, patches))


VIRTUAL = "Microsoft.Compute/virtualMachines"
CONNECTED = "Microsoft.HybridCompute/machines"


def code_for(plane: Plane, name: str, location: str = "westeurope", kind: str = VIRTUAL) -> str:
    group = f"/subscriptions/{plane.subscription}/resourceGroups/fleet"
    resource = f"{group}/providers/{kind}/{name}"
    now = plane.clock()
    return plane.control.database.write(lambda c: machines.new_code(c, resource, location, now))


def enrolled(
    plane: Plane, name: str, folder: Path, kind: str = VIRTUAL, facts: Facts = FACTS
) -> Machine:
    """Through the real link."""
    key, request = new_request(name)
    link = HttpsLink(plane.base, plane.authority, None)
    code = code_for(plane, name, kind=kind)
    answer = link.enrol(Enrol(code, request.decode(), replace(facts, host=name)))
    identity = folder / f"{name}.pem"
    identity.write_bytes(key + answer.certificate.encode())
    return Machine(
        name,
        answer.resource,
        answer.machine,
        identity,
        HttpsLink(plane.base, plane.authority, identity),
        replace(facts, host=name),
    )


def assessment(machine: Machine, order: str) -> Run:
    return machine.assessed(order, PATCH)


def installation(machine: Machine, order: str) -> Run:
    run = machine.assessed(order)
    result = PatchResult(
        PATCH.article, PATCH.name, PATCH.version, "Security", InstallationState.INSTALLED
    )
    return Run(
        order,
        RunKind.INSTALL,
        run.started,
        RunStatus.SUCCEEDED,
        run.finished,
        installation=Installation((result,), RebootStatus.NOT_NEEDED),
    )


class answering:
    """The machine polls and answers on a thread."""

    def __init__(self, machine: Machine, answers: Any) -> None:
        self._machine, self._answers = machine, answers
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            for order in self._machine.poll(1.0).orders:
                done = self._machine.report(self._answers[order.kind](self._machine, order.id))
                assert done.accepted, done
