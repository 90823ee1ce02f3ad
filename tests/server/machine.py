"""A machine as the control plane sees it: its messages, without anything behind them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from hotmend.agent.identity import new_request
from hotmend.agent.link import HttpsLink
from hotmend.model.agent_messages import (
    Assessment,
    AvailablePatch,
    Enrol,
    Facts,
    Health,
    Poll,
    Polled,
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
    number: int = 0

    def poll(self, wait_s: float = 0.0, known: tuple[str, ...] = ()) -> Polled:
        return self.link.orders(Poll(wait_s, known))

    def report(
        self, run: Run | None = None, number: int | None = None, health: Health | None = None
    ) -> Reported:
        if number is None:
            self.number += 1
            number = self.number
        return self.link.report(Report(number, time.time(), FACTS, run, health))

    def assessed(self, identifier: str, *patches: AvailablePatch) -> Run:
        now = time.time()
        done = Run(identifier, RunKind.ASSESS, now, RunStatus.SUCCEEDED)
        return replace(done, finished=now, assessment=Assessment(False, patches))


def code_for(plane: Plane, name: str, location: str = "westeurope") -> str:
    group = f"/subscriptions/{plane.subscription}/resourceGroups/fleet"
    resource = f"{group}/providers/Microsoft.Compute/virtualMachines/{name}"
    now = plane.clock()
    return plane.control.database.write(lambda c: machines.new_code(c, resource, location, now))


def enrolled(plane: Plane, name: str, folder: Path) -> Machine:
    """Through the real link."""
    key, request = new_request(name)
    link = HttpsLink(plane.base, plane.authority, None)
    answer = link.enrol(Enrol(code_for(plane, name), request.decode(), replace(FACTS, host=name)))
    identity = folder / f"{name}.pem"
    identity.write_bytes(key + answer.certificate.encode())
    return Machine(
        name,
        answer.resource,
        answer.machine,
        identity,
        HttpsLink(plane.base, plane.authority, identity),
    )
