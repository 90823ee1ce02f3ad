"""A rollout begins by itself when a release with Critical or Security content is published."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from hotmend.fleet import phases as planning
from hotmend.fleet.regions import pairs
from hotmend.fleet.rollout import CANARIES, RolloutState
from hotmend.model.agent_messages import Order, RebootSetting, RunKind, Selection
from hotmend.release import parity
from hotmend.release.classification import Classification
from hotmend.release.draft import Draft
from hotmend.release.release import Kind
from hotmend.server.storage import audit, rollouts
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.tables import machines

_AUTOMATIC = tuple(c.value for c in Classification if c.automatic)
_LONGEST_S = 3600.0


@dataclass(frozen=True)
class Published:
    """A signed description of a release that the repository has; ``name``: its target's."""

    name: str
    draft: Draft

    @property
    def wanted(self) -> bool:
        """It has content that is installed without being asked for."""
        return any(update.classification.automatic for update in self.draft.updates)

    @property
    def order(self) -> Order:
        """What machines are told. A hotpatch asks for no restart; a baseline, planned or not,
        restarts as each machine's owner set it."""
        live = parity.propose(self.draft.updates).kind is Kind.HOTPATCH
        selection = Selection(_AUTOMATIC, only_without_reboot=live)
        return Order("", RunKind.INSTALL, selection, _LONGEST_S, RebootSetting.NEVER)


def begin(
    connection: Connection, published: Published, settings: Mapping[str, object], now: float
) -> Rollout:
    """A rollout of it to all machines with automatic patching on; the older ones of releases that
    it supersedes go on, and find nothing left to do."""
    counted = connection.execute(
        select(machines.c.region, func.count())
        .where(machines.c.automatic, ~machines.c.canary)
        .group_by(machines.c.region)
    )
    phases = planning.planned({region: count for region, count in counted}, pairs())
    identifier = str(uuid.uuid4())
    rollout = Rollout(
        id=identifier,
        name=published.name,
        kind=rollouts.AUTOMATIC,
        state=RolloutState.RUNNING,
        because="",
        created=now,
        ended=None,
        phase=CANARIES,
        phase_began=now,
        last_phase=max(phases.values(), default=CANARIES + 1),
        phases=phases,
        size=0,
        order=published.order,
        written_settings=settings,
        frozen=frozenset(),
        pardoned={},
        warned="",
        opens=None,
        closes=None,
    )
    rollouts.create(connection, rollout, machines.c.automatic)
    details = {"release": published.draft.title, "phases": phases}
    audit.append(connection, now, "release", "rollout began", identifier, details)
    return rollout
