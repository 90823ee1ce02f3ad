"""A rollout begins by itself when a release with Critical or Security content is published."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from hotmend.fleet.phases import Member, chosen_canaries, region_phases
from hotmend.fleet.regions import pairs
from hotmend.fleet.rollout import CANARIES, RolloutState
from hotmend.fleet.settings import parsed
from hotmend.fleet.turn import TurnState
from hotmend.model.agent_messages import Order, RebootSetting, RunKind, Selection
from hotmend.release import parity
from hotmend.release.debian_catalogue import of_update
from hotmend.release.draft import Draft
from hotmend.release.policy import Policy
from hotmend.release.release import Kind
from hotmend.server.storage import audit, rollouts, turns
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.tables import machines
from hotmend.server.storage.tables import turns as turn_table

_LONGEST_S = 3600.0
# A release has one rollout: two replicas that begin it begin the same.
_IDS = uuid.UUID("0b0ef3c4-6a0e-4f0c-8a6e-0c3a0f2a9a55")


@dataclass(frozen=True)
class Published:
    """A signed description of a release that the repository has; ``name``: its target's;
    ``policy``: the signed rollout policy, which agents enforce, each for itself. How many machines
    go at a time no single one of them can know: that is kept here."""

    name: str
    draft: Draft
    policy: Policy | None = None

    @property
    def wanted(self) -> bool:
        """It has content that is installed without being asked for."""
        return any(update.classification.automatic for update in self.draft.updates)

    @property
    def order(self) -> Order:
        """What machines are told: to install what this very release brings, by its articles, and
        nothing that is published meanwhile. A hotpatch asks for no restart but of machines that are
        not on its baseline, which it brings there; that, and a baseline, planned or not, restarts
        as each machine's owner set it."""
        updates = self.draft.updates
        live = parity.propose(updates).kind is Kind.HOTPATCH
        wanted = (one for one in updates if one.classification.automatic)
        articles = tuple(patch.article for one in wanted for patch in of_update(one))
        selection = Selection((), articles, only_without_reboot=live, baseline_first=live)
        return Order(
            "", RunKind.INSTALL, selection, _LONGEST_S, RebootSetting.NEVER, release=self.name
        )


def begin(
    connection: Connection, published: Published, written: Mapping[str, object], now: float
) -> Rollout:
    """A rollout of it to all machines with automatic patching on."""
    identifier = str(uuid.uuid5(_IDS, published.name))
    if published.policy is not None:
        most = min(parsed(written).largest_batch, published.policy.largest_batch)
        written = {**written, "largest_batch": most}
    members, named = _members(connection)
    canaries = named or chosen_canaries(members, parsed(written), identifier)
    sizes = Counter(member.region for member in members if member.machine not in canaries)
    phases = region_phases(sizes, pairs())
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
        last_phase=max(phases.values(), default=CANARIES),
        phases=phases,
        size=0,
        order=published.order,
        written_settings=written,
        frozen=frozenset(),
        warned="",
        opens=None,
        closes=None,
        month=str(published.draft.month),
    )
    rollouts.create(connection, rollout, machines.c.automatic)
    turns.make_canaries(connection, identifier, canaries)
    details = {"release": published.draft.title, "phases": phases, "canaries": len(canaries)}
    audit.append(connection, now, "release", "rollout began", identifier, details)
    _supersede(connection, now)
    return rollout


def newer(rollout: Rollout, known: Iterable[Rollout]) -> Rollout | None:
    """A release that brings newer versions of all that this one brings: machines install no other
    of a package than the newest."""
    packages = _packages(rollout)
    return next(
        (
            one
            for one in known
            if packages
            and one.kind == rollout.kind == rollouts.AUTOMATIC
            and one.state is not RolloutState.CANCELLED
            and (one.month, one.created) > (rollout.month, rollout.created)
            and packages <= _packages(one)
        ),
        None,
    )


def _packages(rollout: Rollout) -> set[str]:
    return {article.partition("=")[0] for article in rollout.order.selection.include}


def _supersede(connection: Connection, now: float) -> None:
    """Nobody waits for what would install nothing any more; what is in flight, or failed, is seen
    to its end."""
    known = rollouts.listed(connection)
    waits = turn_table.c.state == TurnState.WAITING.value
    for rollout in known:
        by = newer(rollout, known) if rollout.state in rollouts.OPEN else None
        if by is None:
            continue
        because = f"{by.name} brings newer versions of all that this one brings"
        gone = turns.leave(connection, rollout.id, waits, because, now)
        details = {"by": by.id, "machines": gone}
        audit.append(connection, now, "release", "rollout superseded", rollout.id, details)


def _members(connection: Connection) -> tuple[list[Member], frozenset[str]]:
    """Machines that a release goes to by itself, and which of them somebody named canaries."""
    columns = (machines.c.id, machines.c.region, machines.c.owner, machines.c.canary)
    found = connection.execute(select(*columns).where(machines.c.automatic)).all()
    named = frozenset(row.id for row in found if row.canary)
    return [Member(row.id, row.region, row.owner) for row in found], named
